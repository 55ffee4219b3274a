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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from errno import ENODEV
from functools import partial
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.election.endpoints import Wanted, protocol_of, wanted_endpoints, watched
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import SendAdvert, WriteLog
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.system.local_groups import LocalGroupReports
from keepalived_py.system.vrrp_socket import Endpoint, Ipv4Socket, Ipv6Packet, Ipv6Socket, open_pair
from keepalived_py.wire.vrrp import DEFAULT_GROUP, OutgoingAdverts, Undecodable, dissect, dissect_ipv6

# Timers have their turn in between: a flood must not make an advert late.
PACKETS_AT_ONCE = 16
# Reading a packet costs little; only those that are judged count as such.
_READ_AT_ONCE = 128
# From how many packets in a moment on they are a swarm, and how long a moment is.
_FEW = 4
_MOMENT_S = 0.005
# How long a socket with a swarm of repeated packets is not read.
_REST_S = 0.001
# Packets do not wait longer than that unless the process was stopped, which is another matter.
_OLDEST_US = 50_000

Packet = TypeVar("Packet")
Received = Callable[[InterfaceName, Advert | Undecodable], None]


class _Open(NamedTuple):
    """An open pair and what it was opened for."""

    sockets: Ipv4Socket | Ipv6Socket
    wanted: Wanted
    filtered: bool
    read: Callable[[], None]


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

    def send_all(self, adverts: Sequence[SendAdvert]) -> list[tuple[SendAdvert, Address, int]]:
        """Send the adverts in their order; which could not be sent where, each with its errno.

        Those that stand together and leave by the same socket over IPv4 leave in one call of the kernel.
        """
        failures: list[tuple[SendAdvert, Address, int]] = []
        for sockets, same in groupby(adverts, self._swarm_sender):
            if sockets is None:
                for one in same:
                    failures += [(one, *failure) for failure in self.send_each(one.instance, one.advert)]
            else:
                failures += self._send_swarm(sockets, list(same))
        return failures

    def _swarm_sender(self, one: SendAdvert) -> Ipv4Socket | None:
        """The pair that the advert may share with others; None if it goes alone."""
        sockets = self._sender(one.instance, one.advert) if one.advert.multicast else None
        return sockets if isinstance(sockets, Ipv4Socket) else None

    def _send_swarm(
        self, sockets: Ipv4Socket, adverts: Sequence[SendAdvert]
    ) -> Iterator[tuple[SendAdvert, Address, int]]:
        of_whom: list[tuple[SendAdvert, Address]] = []
        packets: list[tuple[bytes, Address]] = []
        for one in adverts:
            destinations = one.advert.destinations
            for destination, packet in zip(
                destinations, self._of(one.instance).next(one.advert), strict=True
            ):
                of_whom.append((one, destination))
                packets.append((packet, destination))
        errors = sockets.send_many(packets)
        return ((*whom, error) for whom, error in zip(of_whom, errors, strict=True) if error)

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
        sockets, had, was_filtered, read = opened
        if had.vrids != want.vrids or was_filtered is not filtered:
            sockets.hear_only(want.vrids if filtered else None)
        if had.buffer != want.buffer:
            sockets.set_receive_buffer(want.buffer)
        self._sockets[endpoint] = _Open(sockets, want, filtered, read)

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
        self._sockets[endpoint] = _Open(sockets, want, filtered, self._reader(endpoint, sockets))
        self._log(WriteLog(_sockpool_line(endpoint, want, sockets), detail=True))
        self._loop.add_reader(sockets.fileno(), self._sockets[endpoint].read)
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

    def _reader(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket) -> Callable[[], None]:
        if isinstance(sockets, Ipv4Socket):
            return partial(self._read, endpoint, sockets, Repeats(_said))
        return partial(self._read_ipv6, endpoint, sockets, Repeats())

    def _read(self, endpoint: Endpoint, sockets: Ipv4Socket, repeats: "Repeats[bytes]") -> None:
        for raw in repeats.without(sockets.drain(_READ_AT_ONCE), self._loop.time()):
            self._heard_ns = sockets.heard_ns
            self._received(endpoint.interface, dissect(raw, self._group))
        if repeats.left_out:
            self._rest(endpoint, sockets)

    def _read_ipv6(self, endpoint: Endpoint, sockets: Ipv6Socket, repeats: "Repeats[Ipv6Packet]") -> None:
        for packet in repeats.without(sockets.drain(_READ_AT_ONCE), self._loop.time()):
            self._heard_ns = sockets.heard_ns
            self._received(endpoint.interface, dissect_ipv6(*packet))
        if repeats.left_out:
            self._rest(endpoint, sockets)

    def _rest(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket) -> None:
        """Let packets gather: to wake for each of a swarm is what costs most.  The socket holds hundreds."""
        if self._is_open(endpoint, sockets):
            self._loop.remove_reader(sockets.fileno())
            self._loop.call_later(_REST_S, self._go_on, endpoint, sockets)

    def _go_on(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket) -> None:
        if self._is_open(endpoint, sockets):
            self._loop.add_reader(sockets.fileno(), self._sockets[endpoint].read)

    def _is_open(self, endpoint: Endpoint, sockets: Ipv4Socket | Ipv6Socket) -> bool:
        opened = self._sockets.get(endpoint)
        return opened is not None and opened.sockets is sockets


class Repeats(Generic[Packet]):
    """Leaves out of a swarm of packets those that say the same as one shortly before.

    A loop in the network multiplies frames by thousands, and a broken or hostile sender repeats itself
    as often.  The same again within a moment says nothing new, and judging each would leave no time to
    hear the others, nor to rest: a process that never rests gets the processor late.  A few are judged
    each in any case, so that the counters of an ordinary network are exact.
    """

    def __init__(self, said: Callable[[Packet], object] = lambda packet: packet) -> None:
        self._said = said
        self._known: set[object] = set()
        self._judged = 0
        self._ends = 0.0
        self.left_out = False

    def without(self, packets: Iterable[Packet], time: float) -> Iterator[Packet]:
        """What is to be judged of `packets`, at most PACKETS_AT_ONCE; `left_out`: others were passed over."""
        self.left_out = False
        if time >= self._ends:
            self._ends = time + _MOMENT_S
            self._known.clear()
            self._judged = 0
        passed = 0
        for packet in packets:
            says = self._said(packet)
            if self._judged >= _FEW and says in self._known:
                self.left_out = True
                continue
            self._known.add(says)
            self._judged += 1
            yield packet
            passed += 1
            if passed == PACKETS_AT_ONCE:
                return


def _said(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """All of an IPv4 packet but identification and header checksum, which differ in each that is sent."""
    return packet[:4], packet[6:10], packet[12:]


def _sockpool_line(endpoint: Endpoint, want: Wanted, sockets: Ipv4Socket | Ipv6Socket) -> str:
    index = want.device_index if endpoint.interface else 0
    kind = "mult" if endpoint.multicast else ", un"
    return (
        f"VRRP sockpool: [ifindex({index:3}), family(IPv{endpoint.family}), proto({endpoint.protocol}), "
        f"fd({sockets.fileno()},{sockets.sending_fileno()}) {kind}icast, address({endpoint.address})]"
    )
