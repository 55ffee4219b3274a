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
from ipaddress import IPv4Address

from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.system.vrrp_socket import VrrpSocket, open_pair
from keepalived_py.wire.vrrp import AdvertBytes

PACKETS_AT_ONCE = 64

Key = tuple[InterfaceName, Address]


class Listeners:
    """The open sockets.  `received` gets the interface and the bytes from the IP header
    on; `log` a line for each socket that is opened, or cannot be.
    """

    def __init__(
        self, received: Callable[[InterfaceName, bytes], None], log: Callable[[WriteLog], None]
    ) -> None:
        self._received = received
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[Key, tuple[int, VrrpSocket]] = {}
        self._built: dict[InstanceName, AdvertBytes] = {}
        self._ids: dict[InstanceName, int] = {}

    def follow(
        self, configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts]
    ) -> None:
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
        if not configuration.globals.log_unknown_vrids:
            self._filter(configuration)

    def send(self, instance: InstanceName, advert: AdvertToSend) -> int:
        """Send `advert` at once; 0, or the errno of what went wrong."""
        entry = self._sockets.get((advert.interface, advert.destination))
        if entry is None:
            return errno.ENODEV
        number = self._ids.get(instance, 0) % 0xFFFF + 1
        self._ids[instance] = number
        destination = advert.destination
        assert isinstance(destination, IPv4Address)
        return entry[1].send(self._bytes(instance).packet(advert, number), destination)

    def prepare(self, instance: InstanceName, advert: AdvertToSend) -> None:
        """Build the bytes of the advert that `instance` would send now."""
        self._bytes(instance).prepare(advert)

    def close(self) -> None:
        """Leave every group and close every socket."""
        for key in list(self._sockets):
            self._close(key)

    def _filter(self, configuration: Configuration) -> None:
        for (interface, group), (_, opened) in self._sockets.items():
            opened.hear_only(
                {
                    instance.vrid
                    for instance in configuration.instances
                    if (instance.interface, instance.destination) == (interface, group)
                }
            )

    def _bytes(self, instance: InstanceName) -> AdvertBytes:
        built = self._built.get(instance)
        if built is None:
            built = self._built[instance] = AdvertBytes()
        return built

    def _open(self, key: Key, index: int) -> None:
        interface, group = key
        try:
            assert isinstance(group, IPv4Address)
            opened = open_pair(index, group)
        except OSError as error:
            self._log(WriteLog(f"VRRP cannot open a socket on {interface} for {group}: {error}"))
            return
        self._log(
            WriteLog(
                f"VRRP sockpool: [ifindex({index:3}), family(IPv4), proto(112), "
                f"fd({opened.fileno()},{opened.sending_fileno()}) multicast, address({group})]",
                detail=True,
            )
        )
        self._sockets[key] = (index, opened)
        self._loop.add_reader(opened.fileno(), self._read, interface, opened)

    def _close(self, key: Key) -> None:
        _, closing = self._sockets.pop(key)
        self._loop.remove_reader(closing.fileno())
        closing.close()

    def _read(self, interface: InterfaceName, opened: VrrpSocket) -> None:
        for raw in opened.drain(PACKETS_AT_ONCE):
            self._received(interface, raw)
