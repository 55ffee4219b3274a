"""The virtual world: one queue of dated work, one clock, all routers, the wire between them."""

import heapq
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from random import Random

from keepalived_py.base.names import Address
from keepalived_py.core.vrrp.machine import advert_of
from keepalived_py.model.events import AdvertReceived
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.simulation.bounds import MAX_LATENCY_US
from keepalived_py.simulation.cluster import INTERFACE, OWNER
from keepalived_py.simulation.faults import LinkFault, Pair, RouterName
from keepalived_py.simulation.machine import Machine
from keepalived_py.simulation.network import arrivals, as_heard, spoil
from keepalived_py.simulation.router import Router
from keepalived_py.simulation.scenario import Scenario
from keepalived_py.simulation.watch import Overlaps

STRANGERS: dict[int, Address] = {4: ip_address("10.0.0.200"), 6: ip_address("fe80::200")}


class World:
    """A scenario being played.  `now` is virtual microseconds since its beginning."""

    def __init__(self, scenario: Scenario, machine: Machine, trace: bool = False) -> None:
        self.scenario = scenario
        self.machine = machine
        self.random = Random(f"{scenario.seed}/run")
        self.now = 0
        self.worked = 0
        self.last_role_change_us = 0
        self.lines: list[str] = []
        self.routers = {plan.name: Router(plan, self) for plan in scenario.routers}
        self._tracing = trace
        self._queue: list[tuple[int, int, Callable[[], object]]] = []
        self._number = 0
        self._link_faults: tuple[LinkFault, ...] = ()
        self._last_arrival: dict[Pair, int] = {}
        self._sound_from: dict[Pair, int] = {}
        self._overlaps = Overlaps(self.at, self._sound_since, self.look)
        self._schedule()

    def at(self, when: int, work: Callable[[], object]) -> None:
        """Do `work` at `when`; work of the same instant is done in the order of these calls."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, work))

    def advance(self, until: int) -> None:
        """Let virtual time pass up to and including `until`."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, work = heapq.heappop(queue)
            self.worked += 1
            work()
        self.now = until

    def transmit(self, sender: RouterName, advert: AdvertToSend) -> None:
        """Everybody in the group, or every peer, may hear `advert`, as the faults in force allow."""
        for name, router in self.routers.items():
            to_it = advert.multicast or router.plan.source in advert.destinations
            if name == sender or not to_it:
                continue
            heard = as_heard(advert, None if advert.multicast else router.plan.source)
            event = AdvertReceived(INTERFACE, heard)
            pair = (sender, name)
            for delay in arrivals(self.random, self._link_faults, pair, MAX_LATENCY_US):
                self.at(self._in_order(pair, self.now + delay), partial(self._arrive, router, event))

    def _in_order(self, pair: Pair, arrives: int) -> int:
        """A sound wire keeps the order of one sender's packets; a faulty one lets them overtake."""
        if not any(pair in fault.pairs for fault in self._link_faults):
            arrives = max(arrives, self._last_arrival.get(pair, 0))
        self._last_arrival[pair] = arrives
        return arrives

    def note(self, router: RouterName, mark: str, what: object) -> None:
        """A line of the trace: `<` an event, `>` an effect, `!` what the simulator did."""
        if self._tracing:
            self.lines.append(f"{self.now / 1e6:11.6f} {router:<4} {mark} {what}")

    def role_changed(self) -> None:
        """Remember when the last role changed: a settled network has none."""
        self.last_role_change_us = self.now
        self.look()

    def look(self) -> None:
        """See who is MASTER beside whom."""
        self._overlaps.look(self.now, self.routers.values(), self.scenario.cluster.vrids)

    def _sound_since(self, pair: Pair) -> int | None:
        """From when on the way from one router to the other is sound; None: it is not."""
        if any(pair in fault.pairs for fault in self._link_faults):
            return None
        return self._sound_from.get(pair, 0)

    def _arrive(self, router: Router, event: AdvertReceived) -> None:
        if router.kernel.up:
            router.hear(event)

    def _schedule(self) -> None:
        for router in self.routers.values():
            self.at(router.plan.start_us, router.start)
        for link in self.scenario.link_faults:
            self.at(link.begin_us, partial(self._set_link_fault, link, True))
            self.at(link.end_us, partial(self._set_link_fault, link, False))
        for fault in self.scenario.router_faults:
            self.at(fault.begin_us, partial(self._trouble, fault.router, f"begin {fault}"))
            self.at(fault.begin_us, partial(self.routers[fault.router].begin, fault.trouble))
            self.at(fault.end_us, partial(self._trouble, fault.router, f"end {fault}"))
            self.at(fault.end_us, partial(self.routers[fault.router].end, fault.trouble))
        for reload in self.scenario.reloads:
            self.at(reload.when_us, partial(self._trouble, reload.router, "reload"))
            self.at(reload.when_us, partial(self.routers[reload.router].reload, reload.configuration))
        for when in self.scenario.junk_us:
            self.at(when, self._send_junk)

    def _trouble(self, router: RouterName, what: str) -> None:
        self.note(router, "!", what)

    def _set_link_fault(self, fault: LinkFault, begins: bool) -> None:
        rest = tuple(other for other in self._link_faults if other is not fault)
        self._link_faults = (*rest, fault) if begins else rest
        self.note(RouterName("wire"), "!", f"{'begin' if begins else 'end'} {fault}")
        if not begins:
            # Packets that a fault delayed hold up those behind them for a while.
            self._sound_from.update(dict.fromkeys(fault.pairs, self.now + fault.delay_us))
        self.look()

    def _send_junk(self) -> None:
        """A stranger claims the highest priority in a packet that every router must refuse."""
        router = self.random.choice(list(self.routers.values()))
        settings = self.random.choice(router.configuration.instances)
        sent = advert_of(settings, STRANGERS[settings.family], OWNER - 1)
        if router.kernel.up and sent is not None:
            router.hear(spoil(self.random, sent, INTERFACE))
