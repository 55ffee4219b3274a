"""Which sockets are open, and which instance sends through which.

Instances with the same interface and the same multicast group share a socket
(as keepalived's "sockpool").  `follow` brings the open sockets in line with a
configuration and the interfaces that exist: it is called at start, at a reload
and whenever an interface comes, goes, or comes back with another index.

The IP id is a counter of the instance, starting at 1 and skipping 0.
"""

import asyncio
import errno
from collections.abc import Callable, Mapping

from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.model.config import Configuration
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.system.vrrp_socket import VrrpSocket
from keepalived_py.wire.vrrp import AdvertBytes

PACKETS_AT_ONCE = 64

Key = tuple[InterfaceName, Address]


class Listeners:
    """The open sockets.  `received` gets the interface and the bytes from the IP header on."""

    def __init__(self, received: Callable[[InterfaceName, bytes], None]) -> None:
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[Key, tuple[int, VrrpSocket]] = {}
        self._built: dict[InstanceName, tuple[AdvertToSend, AdvertBytes]] = {}
        self._ids: dict[InstanceName, int] = {}
        self.failures: dict[Key, OSError] = {}

    def follow(self, configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts]) -> None:
        """Close what is no longer wanted, open what is missing."""
        wanted = {
            (instance.interface, instance.destination): facts.index
            for instance in configuration.instances
            if (facts := interfaces.get(instance.interface)) is not None and facts.index
        }
        for key, (index, _) in list(self._sockets.items()):
            if wanted.get(key) != index:
                self._close(key)
        for key, index in wanted.items():
            if key not in self._sockets:
                self._open(key, index)

    def send(self, instance: InstanceName, advert: AdvertToSend) -> int:
        """Send `advert` at once; 0, or the errno of what went wrong."""
        entry = self._sockets.get((advert.interface, advert.destination))
        if entry is None:
            return errno.ENODEV
        number = self._ids.get(instance, 0) % 0xFFFF + 1
        self._ids[instance] = number
        return entry[1].send(self._bytes(instance, advert).with_id(number), advert.destination)

    def close(self) -> None:
        """Leave every group and close every socket."""
        for key in list(self._sockets):
            self._close(key)

    def _bytes(self, instance: InstanceName, advert: AdvertToSend) -> AdvertBytes:
        known = self._built.get(instance)
        if known is not None and (known[0] is advert or known[0] == advert):
            return known[1]
        made = AdvertBytes(advert)
        self._built[instance] = (advert, made)
        return made

    def _open(self, key: Key, index: int) -> None:
        interface, group = key
        try:
            opened = VrrpSocket(interface, index, group)
        except OSError as error:
            self.failures[key] = error
            return
        self.failures.pop(key, None)
        self._sockets[key] = (index, opened)
        self._loop.add_reader(opened.fileno(), self._read, interface, opened)

    def _close(self, key: Key) -> None:
        _, closing = self._sockets.pop(key)
        self._loop.remove_reader(closing.fileno())
        closing.close()

    def _read(self, interface: InterfaceName, opened: VrrpSocket) -> None:
        for raw in opened.drain(PACKETS_AT_ONCE):
            self._received(interface, raw)
