"""The open sockets of adverts, and which instance sends through which.

`follow` brings the sockets in line with a configuration and the interfaces
that exist (`election.endpoints` says which those are).  It is called at start,
at a reload, and whenever an interface or an address changes; it is cheap when
nothing comes of that.

Joining a group and leaving it waits for a lock that the kernel may hold for
other programs' sake.  Before the first advert that harms nobody; later it is
done in a thread of its own.  A socket that a reload makes superfluous is
closed one turn of the loop later, so that instances which go with it can
still resign through it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from errno import ENODEV
from functools import partial
from typing import NamedTuple, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.election.endpoints import Wanted, protocol_of, wanted_endpoints, watched
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.system.local_groups import LocalGroupReports
from keepalived_py.system.vrrp_socket import Endpoint, Ipv4Socket, Ipv6Socket, open_pair
from keepalived_py.wire.vrrp import DEFAULT_GROUP, OutgoingAdverts, Undecodable, dissect, dissect_ipv6

# Timers have their turn in between: a flood must not make an advert late.
PACKETS_AT_ONCE = 16
# Reading a packet costs little; only those that are judged count as such.
_READ_AT_ONCE = 128
# From how many packets in one wake-up on they are a swarm.
_FEW = 4
# Packets do not wait longer than that unless the process was stopped, which is another matter.
_OLDEST_US = 50_000

Packet = TypeVar("Packet")
Received = Callable[[InterfaceName, Advert | Undecodable], None]


class _Open(NamedTuple):
    """An open pair and what it was opened for."""

    sockets: Ipv4Socket | Ipv6Socket
    wanted: Wanted
    filtered: bool


class Listeners:
    """The open sockets.  `received` gets the interface and what was heard; `log` a line for each
    socket that is opened, or cannot be.
    """

    def __init__(
        self,
        received: Received,
        log: Callable[[WriteLog], None],
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._received = received
        self._log = log
        self._clock = wall_clock_ns
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[Endpoint, _Open] = {}
        self._superfluous: set[Endpoint] = set()
        self._outgoing: dict[InstanceName, OutgoingAdverts] = {}
        self._routes: dict[InstanceName, tuple[AdvertToSend, Ipv4Socket | Ipv6Socket]] = {}
        self._vrfs: dict[InstanceName, InterfaceName] = {}
        self._group = DEFAULT_GROUP
        self._configuration: Configuration | None = None
        self._watched: tuple[frozenset[InterfaceName], frozenset[InterfaceName]] = (frozenset(), frozenset())
        self._situation: object = None
        self._complaints: dict[Endpoint, str] = {}
        self._worker: ThreadPoolExecutor | None = None
        self._heard_ns = 0
        self._reports = LocalGroupReports(lambda text: log(WriteLog(text)))

    def follow(
        self, configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts]
    ) -> None:
        """Close what is no longer wanted, open what is missing.

        `interfaces` with their present addresses: unicast sockets are bound to them.
        """
        first = self._configuration is None
        if configuration is not self._configuration:
            self._configuration = configuration
            self._watched = watched(configuration)
            self._vrfs |= {one.name: one.vrf for one in configuration.instances if one.vrf is not None}
            self._situation = None
            self._group = configuration.globals.multicast_group.packed
            if first and configuration.globals.disable_local_igmp:
                self._reports.silence()
        situation = self._situation_of(interfaces)
        if situation == self._situation:
            return
        wanted = wanted_endpoints(configuration, interfaces)
        self._abandon(wanted)
        for endpoint, want in wanted.items():
            self._meet(endpoint, want, not configuration.globals.log_unknown_vrids, first)
        # What could not be opened is tried again the next time, whatever the occasion.
        self._situation = None if self._complaints else situation

    def send(self, instance: InstanceName, advert: AdvertToSend) -> int:
        """Send the advert at once to all its destinations; 0, or the errno of the first failure."""
        failures = self.send_each(instance, advert)
        return failures[0][1] if failures else 0

    def send_each(self, instance: InstanceName, advert: AdvertToSend) -> list[tuple[Address, int]]:
        """As `send`; the destinations that could not be reached, each with its errno."""
        sockets = self._sender(instance, advert)
        if sockets is None:
            return [(destination, ENODEV) for destination in advert.destinations]
        source, ttl = advert.source, advert.ttl
        packets = self._of(instance).next(advert)
        failures = []
        for destination, packet in zip(advert.destinations, packets, strict=True):
            error = sockets.send(packet, source, destination, ttl)
            if error:
                failures.append((destination, error))
        return failures

    def age_us(self) -> Micros:
        """How long ago the packet that is being handed over came to the kernel.

        0 where that is not known, or the wall clock was set meanwhile.
        """
        age = (self._clock() - self._heard_ns) // 1000
        return Micros(age) if 0 <= age <= _OLDEST_US else Micros(0)

    def prepare(self, instance: InstanceName, advert: AdvertToSend) -> None:
        """Build the bytes of the advert that `instance` would send now."""
        self._of(instance).prepare(advert)

    def raise_sequence(self, instance: InstanceName, heard: int) -> None:
        """The instance's next AH sequence number is greater than `heard`."""
        self._of(instance).raise_sequence(heard)

    def close(self) -> None:
        """Leave every group and close every socket."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None
        self._superfluous.clear()
        for opened in self._sockets.values():
            self._loop.remove_reader(opened.sockets.fileno())
            opened.sockets.close()
        self._sockets.clear()
        self._reports.restore()

    # -- sockets ----------------------------------------------------------------

    def _situation_of(self, interfaces: Mapping[InterfaceName, InterfaceFacts]) -> object:
        """Everything about `interfaces` that the sockets depend on."""
        links, sources = self._watched
        return (
            [(f.name, f.index, f.mtu) for name in links if (f := interfaces.get(name)) is not None],
            [f.addresses for name in sources if (f := interfaces.get(name)) is not None],
        )

    def _abandon(self, wanted: Mapping[Endpoint, Wanted]) -> None:
        for endpoint, opened in list(self._sockets.items()):
            want = wanted.get(endpoint)
            if want is None:
                if not self._superfluous:
                    self._loop.call_soon(self._close_superfluous)
                self._superfluous.add(endpoint)
            elif want.device_index != opened.wanted.device_index:
                self._close(endpoint)
        self._superfluous.difference_update(wanted)
        self._complaints = {e: text for e, text in self._complaints.items() if e in wanted}

    def _close_superfluous(self) -> None:
        while self._superfluous:
            self._close(self._superfluous.pop())

    def _close(self, endpoint: Endpoint) -> None:
        opened = self._sockets.pop(endpoint, None)
        if opened is not None:
            self._routes.clear()
            self._loop.remove_reader(opened.sockets.fileno())
            self._aside(opened.sockets.close)

    def _meet(self, endpoint: Endpoint, want: Wanted, filtered: bool, first: bool) -> None:
        opened = self._sockets.get(endpoint)
        if opened is None:
            self._open(endpoint, want, filtered, first)
            return
        sockets, had, was_filtered = opened
        if had.vrids != want.vrids or was_filtered is not filtered:
            sockets.hear_only(want.vrids if filtered else None)
        if had.buffer != want.buffer:
            sockets.set_receive_buffer(want.buffer)
        self._sockets[endpoint] = _Open(sockets, want, filtered)

    def _open(self, endpoint: Endpoint, want: Wanted, filtered: bool, first: bool) -> None:
        try:
            sockets = open_pair(endpoint, want.device_index)
            sockets.hear_only(want.vrids if filtered else None)
        except OSError as error:
            self._complain(endpoint, error)
            return
        if want.buffer:
            sockets.set_receive_buffer(want.buffer)
        self._complaints.pop(endpoint, None)
        self._routes.clear()
        self._sockets[endpoint] = _Open(sockets, want, filtered)
        self._log(WriteLog(_sockpool_line(endpoint, want, sockets), detail=True))
        read = (
            partial(self._read, endpoint.interface, sockets)
            if isinstance(sockets, Ipv4Socket)
            else partial(self._read_ipv6, endpoint.interface, sockets)
        )
        self._loop.add_reader(sockets.fileno(), read)
        if first:
            try:
                sockets.join()
            except OSError as error:
                self._refused(endpoint, sockets, error)
        elif endpoint.multicast:
            joining = self._aside(sockets.join)
            joining.add_done_callback(partial(self._joined, endpoint, sockets))

    def _aside(self, work: Callable[[], None]) -> "Future[None]":
        """Do what may wait for the kernel's lock in the order of the calls, off the loop."""
        if self._worker is None:
            self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="groups")
        return self._worker.submit(work)

    def _joined(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket, joining: "Future[None]") -> None:
        """In the thread: only a failure is told to the loop."""
        error = joining.exception()
        if isinstance(error, OSError) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._refused, endpoint, sockets, error)

    def _refused(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket, error: OSError) -> None:
        opened = self._sockets.get(endpoint)
        if opened is not None and opened.sockets is sockets:
            self._close(endpoint)
            self._complain(endpoint, error)
            self._situation = None

    def _complain(self, endpoint: Endpoint, error: OSError) -> None:
        text = f"VRRP cannot open a socket on {endpoint.device} for {endpoint.address}: {error}"
        if self._complaints.get(endpoint) != text:
            self._log(WriteLog(text))
        self._complaints[endpoint] = text

    # -- adverts ----------------------------------------------------------------

    def _of(self, instance: InstanceName) -> OutgoingAdverts:
        outgoing = self._outgoing.get(instance)
        if outgoing is None:
            outgoing = self._outgoing[instance] = OutgoingAdverts(self._clock)
        return outgoing

    def _sender(self, instance: InstanceName, advert: AdvertToSend) -> Ipv4Socket | Ipv6Socket | None:
        """The pair that `advert` leaves by."""
        known = self._routes.get(instance)
        if known is not None and known[0] is advert:
            return known[1]
        protocol = protocol_of(advert.auth_type)
        address = advert.destinations[0] if advert.multicast else advert.source
        vrf = InterfaceName("") if advert.interface else self._vrfs.get(instance, InterfaceName(""))
        exact = self._sockets.get(Endpoint(advert.interface, advert.family, protocol, address, vrf))
        sockets = exact.sockets if exact is not None else self._similar(advert, protocol)
        if sockets is not None:
            self._routes[instance] = (advert, sockets)
        return sockets

    def _similar(self, advert: AdvertToSend, protocol: int) -> Ipv4Socket | Ipv6Socket | None:
        """Another pair that can send it: sending sockets are bound to interfaces, not to addresses."""
        for endpoint, opened in self._sockets.items():
            if endpoint[:3] == (advert.interface, advert.family, protocol):
                if endpoint.multicast is advert.multicast:
                    return opened.sockets
        return None

    def _read(self, interface: InterfaceName, sockets: Ipv4Socket) -> None:
        for raw in without_repeats(sockets.drain(_READ_AT_ONCE)):
            self._heard_ns = sockets.heard_ns
            self._received(interface, dissect(raw, self._group))

    def _read_ipv6(self, interface: InterfaceName, sockets: Ipv6Socket) -> None:
        for packet in without_repeats(sockets.drain(_READ_AT_ONCE)):
            self._heard_ns = sockets.heard_ns
            self._received(interface, dissect_ipv6(*packet))


def without_repeats(packets: Iterable[Packet]) -> Iterator[Packet]:
    """At most PACKETS_AT_ONCE; in a swarm of packets, one that equals the one before it is left out.

    A loop in the network multiplies frames by thousands.  The same packet again within a moment says
    nothing new, and judging each would leave no time to hear the others.  A few are judged each in any
    case, so that the counters of an ordinary network are exact.
    """
    last, judged = None, 0
    for packet in packets:
        if judged < _FEW or packet != last:
            last = packet
            judged += 1
            yield packet
            if judged == PACKETS_AT_ONCE:
                return


def _sockpool_line(endpoint: Endpoint, want: Wanted, sockets: Ipv4Socket | Ipv6Socket) -> str:
    index = want.device_index if endpoint.interface else 0
    kind = "mult" if endpoint.multicast else ", un"
    return (
        f"VRRP sockpool: [ifindex({index:3}), family(IPv{endpoint.family}), proto({endpoint.protocol}), "
        f"fd({sockets.fileno()},{sockets.sending_fileno()}) {kind}icast, address({endpoint.address})]"
    )
