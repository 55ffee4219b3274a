"""What parent and child say to each other over their private socket pair.

A message is a word and, for `reload`, the new configuration.  On the wire:
four bytes of length (network order), then the message, pickled.  The peer is
always our own fork over an unnamed socket, so nobody else can write to it; the
reader still takes nothing but the model's own values (`_ModelOnly`), so a
mistake can never turn into running foreign code.

Words:  parent to child  `reload` (with the configuration), `stop`;
        child to parent  `ready` (after start, and after each reload it has taken).
"""

import io
import pickle
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.model.config import Configuration

_LENGTH = struct.Struct("!I")
_LONGEST = 256 * 1024 * 1024
_PLAIN_CLASSES = {("ipaddress", "IPv4Address"), ("ipaddress", "IPv6Address")}


class ChannelBroken(KeepalivedError):
    """The peer went away, or what it sent is no message."""


class Kind(Enum):
    """The words of the channel."""

    RELOAD = "reload"
    READY = "ready"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Message:
    """One message; only `reload` carries a configuration."""

    kind: Kind
    configuration: Configuration | None = None


class _ModelOnly(pickle.Unpickler):
    """Builds nothing but values of the model and plain addresses."""

    def find_class(self, module_name: str, global_name: str) -> type:
        """The class asked for; raises UnpicklingError for anything outside the model."""
        ours = module_name.startswith(("keepalived_py.model.", "keepalived_py.base."))
        if "." in global_name or not (ours or (module_name, global_name) in _PLAIN_CLASSES):
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is no value of the model")
        found = super().find_class(module_name, global_name)
        if not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not a class")
        return found


def encode(message: Message) -> bytes:
    """The bytes of one message, its length in front."""
    body = pickle.dumps((message.kind.value, message.configuration), protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message in `body` (without the length); raises ChannelBroken."""
    try:
        word, configuration = _ModelOnly(io.BytesIO(body)).load()
        kind = Kind(word)
    except Exception as fault:  # a pickle that is cut or foreign fails in many ways
        raise ChannelBroken(f"unreadable message: {fault}") from fault
    if configuration is not None and not isinstance(configuration, Configuration):
        raise ChannelBroken("the payload is not a configuration")
    if (kind is Kind.RELOAD) != (configuration is not None):
        raise ChannelBroken(f"{kind.value} with the wrong payload")
    return Message(kind, configuration)


class Inbox:
    """Puts messages together from pieces as they arrive; for readers that must not block."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> list[Message]:
        """The messages completed by `piece`, in order; raises ChannelBroken."""
        self._pending += piece
        complete: list[Message] = []
        while (body := self._next()) is not None:
            complete.append(decode(body))
        return complete

    def _next(self) -> bytes | None:
        if len(self._pending) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._pending)
        if length > _LONGEST:
            raise ChannelBroken(f"a message of {length} bytes")
        end = _LENGTH.size + length
        if len(self._pending) < end:
            return None
        body = bytes(self._pending[_LENGTH.size : end])
        del self._pending[:end]
        return body


def pair() -> tuple[socket.socket, socket.socket]:
    """A new channel: one end for the parent, one for the child; neither survives an exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def send(channel: socket.socket, kind: Kind, configuration: Configuration | None = None) -> None:
    """Send a whole message, waiting as the socket's own timeout says; raises ChannelBroken."""
    try:
        channel.sendall(encode(Message(kind, configuration)))
    except OSError as fault:
        raise ChannelBroken(f"cannot send {kind.value}: {fault}") from fault


def receive(channel: socket.socket) -> Message:
    """Wait for one whole message, as the socket's own timeout says; raises ChannelBroken."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    if length > _LONGEST:
        raise ChannelBroken(f"a message of {length} bytes")
    return decode(_exactly(channel, length))


def _exactly(channel: socket.socket, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        try:
            piece = channel.recv(size - len(pieces))
        except OSError as fault:
            raise ChannelBroken(f"cannot receive: {fault}") from fault
        if not piece:
            raise ChannelBroken("the peer has closed the channel")
        pieces += piece
    return bytes(pieces)
