"""What parent and child say to each other over their private socket pair.

A message is a word and, for `reload`, the new configuration.  On the wire it is
one frame or several: four bytes of length (network order), then word and value,
pickled.  The peer is always our own fork over an unnamed socket, so nobody else
can write to it; the reader still takes nothing but the model's own values
(`_ModelOnly`), so a mistake can never turn into running foreign code.

A large configuration is cut into frames of some kilobytes (`part`): building a
thousand instances takes tens of milliseconds, in which no advert could go out.
The reader takes `PIECE` bytes at a time, so between two pieces its event loop
does what is due.  What a reload leaves as it was becomes the very object that the
reader has already (`Inbox(known)`): whoever compares old and new settings is
done with the unchanged ones at a glance, and the comparison is paid in pieces too.

Words:  parent to child  `reload` (with the configuration), `stop`,
                         `report` (to the BFD process: tell the state of every session again);
        child to parent  `ready` (after start, and after each reload it has taken).
"""

import io
import pickle
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration

# What a reader that must not be late takes from the channel at once.
PIECE = 4096
_PART = "part"
_PART_BYTES = 4096
_LENGTH = struct.Struct("!I")
_LONGEST = 256 * 1024 * 1024
_PLAIN_CLASSES = {("ipaddress", "IPv4Address"), ("ipaddress", "IPv6Address")}


class ChannelBroken(KeepalivedError):
    """The peer went away, or what it sent is no message."""


class Kind(Enum):
    """The words of the channel."""

    RELOAD = "reload"
    READY = "ready"
    REPORT = "report"
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
    """The bytes of one message: its frames, each with its length in front."""
    return b"".join(_frames(message))


def _frames(message: Message) -> Iterator[bytes]:
    whole, rest = message.configuration, {}
    for field in Configuration.fields if whole is not None else ():
        values = getattr(whole, field)
        if type(values) is tuple and len(values) > 1:
            rest[field] = ()
            for part in _parts(values):
                yield _frame(_PART, (field, part))
    yield _frame(message.kind.value, whole if whole is None else replace(whole, **rest))


def _parts(values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """`values` in runs of about `_PART_BYTES`, at least one value each."""
    begin = size = 0
    for at, value in enumerate(values):
        size += len(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
        if size >= _PART_BYTES:
            yield values[begin : at + 1]
            begin, size = at + 1, 0
    if begin < len(values):
        yield values[begin:]


def _frame(word: str, value: object) -> bytes:
    body = pickle.dumps((word, value), protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Puts messages together from pieces as they arrive; for readers that must not block.

    `known`: the configuration that the reader has already, whose values are used again.
    """

    __slots__ = ("_known", "_names", "_parts", "_pending")

    def __init__(self, known: Configuration | None = None) -> None:
        self._pending = bytearray()
        self._parts: dict[str, list[Any]] = {}
        self._names: dict[str, dict[str, Any]] = {}
        self._known = Configuration() if known is None else known

    def feed(self, piece: bytes) -> list[Message]:
        """The messages completed by `piece`, in order; raises ChannelBroken."""
        self._pending += piece
        complete: list[Message] = []
        while (body := self._next()) is not None:
            message = self._take(body)
            if message is not None:
                complete.append(message)
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

    def _take(self, body: bytes) -> Message | None:
        """The message that the frame `body` completes, if any."""
        try:
            word, value = _ModelOnly(io.BytesIO(body)).load()
            if word == _PART:
                field, values = value
                self._parts.setdefault(field, []).extend(self._used_again(field, values))
                return None
            return self._message(Kind(word), value)
        except ChannelBroken:
            raise
        except Exception as fault:  # a pickle that is cut or foreign fails in many ways
            raise ChannelBroken(f"unreadable message: {fault}") from fault

    def _message(self, kind: Kind, configuration: object) -> Message:
        if (kind is Kind.RELOAD) != isinstance(configuration, Configuration):
            raise ChannelBroken(f"{kind.value} with the wrong payload")
        if not isinstance(configuration, Configuration):
            if configuration is not None:
                raise ChannelBroken("the payload is not a configuration")
            return Message(kind)
        parts: dict[str, Any] = {field: tuple(values) for field, values in self._parts.items()}
        self._parts = {}
        if configuration.globals == self._known.globals:
            parts["globals"] = self._known.globals
        self._known = replace(configuration, **parts)
        self._names = {}
        return Message(kind, self._known)

    def _used_again(self, field: str, values: Iterable[Any]) -> Iterator[Any]:
        """`values`, each as the object that is known already, if it is equal to that one."""
        known = self._names.get(field)
        if known is None:
            old_values = getattr(self._known, field)
            known = self._names[field] = {one.name: one for one in old_values if hasattr(one, "name")}
        for value in values:
            old = known.get(getattr(value, "name", ""))
            yield value if old is None or old != value else old


def pair() -> tuple[socket.socket, socket.socket]:
    """A new channel: one end for the parent, one for the child; neither survives an exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def send(channel: socket.socket, kind: Kind, configuration: Configuration | None = None) -> None:
    """Send a whole message, waiting as the socket's own timeout says; raises ChannelBroken."""
    try:
        channel.sendall(encode(Message(kind, configuration)))
    except OSError as fault:
        raise ChannelBroken(f"cannot send {kind.value}: {fault}") from fault


def receive(channel: socket.socket, inbox: Inbox) -> list[Message] | None:
    """The messages completed by what has come, without waiting; None: the other side has left.

    Raises ChannelBroken.
    """
    try:
        piece = channel.recv(PIECE)
    except BlockingIOError:
        return []
    except OSError:
        return None
    return inbox.feed(piece) if piece else None
