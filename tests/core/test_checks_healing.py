"""What somebody else does to our services is undone, and to nothing else."""

from ipaddress import IPv4Address, ip_address

import pytest

from keepalived_py.core.checks.healing import Found, Healing, Wanted, missing
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationEntry,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    Service,
    ServiceEntry,
    ServiceSettings,
    TableChange,
)
from keepalived_py.model.virtual_server import Forwarding, ForwardingMethod, Protocol, Scheduler, TunnelType

OURS = Service(4, Protocol.TCP, ip_address("10.0.0.1"), 80)
FOREIGN = Service(4, mark=9)
ROUND = ServiceSettings(Scheduler.ROUND_ROBIN)
A, B, C = (Destination(ip_address(f"10.1.0.{last}"), 80) for last in (1, 2, 3))
ONE, NONE = DestinationSettings(1), DestinationSettings(0)


class Kernel:
    """The kernel's table, for whoever changes it."""

    def __init__(self) -> None:
        self.table: dict[Service, ServiceEntry] = {}

    def apply(self, change: TableChange) -> None:
        """As the kernel does it; what is impossible is left undone."""
        match change:
            case AddService(service, settings):
                self.table.setdefault(service, ServiceEntry(settings, {}))
            case EditService(service, settings):
                self.table[service] = self.table[service]._replace(settings=settings)
            case DeleteService(service):
                self.table.pop(service, None)
            case AddDestination(service, server, its) | EditDestination(service, server, its):
                self._set(service, {**self.table[service].destinations, server: DestinationEntry(its)})
            case DeleteDestination(service, server):
                kept = {one: its for one, its in self.table[service].destinations.items() if one != server}
                self._set(service, kept)
            case FlushTable():
                self.table.clear()

    def _set(self, service: Service, destinations: dict[Destination, DestinationEntry]) -> None:
        self.table[service] = self.table[service]._replace(destinations=destinations)


class Bench:
    """A kernel, what we want of it, and our eye on it."""

    def __init__(self) -> None:
        self.kernel, self.wanted, self.healing = Kernel(), Wanted(), Healing()
        self.kernel.apply(AddService(FOREIGN, ROUND))
        self.kernel.apply(AddDestination(FOREIGN, C, ONE))
        self.ours(AddService(OURS, ROUND), AddDestination(OURS, A, ONE), AddDestination(OURS, B, ONE))

    def ours(self, *changes: TableChange) -> None:
        for change in changes:
            self.kernel.apply(change)
            self.wanted.apply(change)

    def theirs(self, *changes: TableChange) -> None:
        for change in changes:
            self.kernel.apply(change)

    def look(self, *meanwhile: TableChange) -> Found:
        """`meanwhile`: what we ask for while the table is read, which shows nothing of it."""
        self.healing.begin(self.wanted)
        table = dict(self.kernel.table)
        self.ours(*meanwhile)
        found = self.healing.look(self.wanted, table)
        for change in found.changes:
            self.kernel.apply(change)
            self.wanted.apply(change)
        self.healing.made(self.wanted, found.changes)
        return found


def test_nothing_to_do() -> None:
    bench = Bench()
    assert bench.look() == Found([], [])
    assert bench.healing.healed == 0


ADDED = [AddService(OURS, ROUND), AddDestination(OURS, A, ONE), AddDestination(OURS, B, ONE)]


@pytest.mark.parametrize(
    ("theirs", "remedy"),
    [
        ([DeleteService(OURS)], ADDED),
        ([FlushTable()], ADDED),
        ([EditService(OURS, ServiceSettings(Scheduler.SOURCE_HASHING))], [EditService(OURS, ROUND)]),
        ([DeleteDestination(OURS, A)], [AddDestination(OURS, A, ONE)]),
        ([EditDestination(OURS, B, DestinationSettings(7))], [EditDestination(OURS, B, ONE)]),
        ([EditDestination(OURS, B, ONE._replace(upper_threshold=5))], [EditDestination(OURS, B, ONE)]),
        ([DeleteService(FOREIGN)], []),
        ([AddDestination(FOREIGN, A, NONE)], []),
    ],
)
def test_what_they_change_is_put_back(theirs: list[TableChange], remedy: list[TableChange]) -> None:
    bench = Bench()
    bench.theirs(*theirs)
    found = bench.look()
    assert found.changes == remedy
    assert len(found.lines) == len(remedy)
    assert bench.healing.healed == len(remedy)
    assert bench.look() == Found([], [])


def test_a_failed_server_that_is_put_back_goes_again() -> None:
    bench = Bench()
    bench.ours(DeleteDestination(OURS, A))
    bench.theirs(AddDestination(OURS, A, ONE))
    found = bench.look()
    assert found.changes == [DeleteDestination(OURS, A)]
    assert found.lines == [
        "Server 10.1.0.1:80 of service 10.0.0.1:tcp:80 has been put back by somebody else, removing it"
    ]
    bench.ours(AddDestination(OURS, A, ONE))
    assert bench.look() == Found([], [])


def test_a_server_that_was_never_ours_stays_and_is_told_of_once() -> None:
    bench = Bench()
    bench.theirs(AddDestination(OURS, C, ONE))
    assert bench.look() == Found([], ["Server 10.1.0.3:80 of service 10.0.0.1:tcp:80 is not ours, it stays"])
    assert bench.look() == Found([], [])
    bench.theirs(DeleteDestination(OURS, C))
    assert bench.look() == Found([], [])
    bench.theirs(AddDestination(OURS, C, ONE))
    assert len(bench.look().lines) == 1


def test_a_server_that_is_configured_no_more_is_not_ours_any_longer() -> None:
    bench = Bench()
    bench.ours(DeleteDestination(OURS, A))
    bench.wanted.configured({OURS: {B}})
    bench.theirs(AddDestination(OURS, A, ONE))
    assert bench.look().changes == []


def test_what_does_not_help_is_tried_less_and_less_often_and_told_once() -> None:
    bench = Bench()
    bench.theirs(DeleteDestination(OURS, A))
    tried = []
    lines = 0
    for look in range(1, 41):
        bench.healing.begin(bench.wanted)
        found = bench.healing.look(bench.wanted, bench.kernel.table)  # the kernel refuses
        lines += len(found.lines)
        if found.changes:
            tried.append(look)
    assert tried == [1, 2, 4, 8, 16, 24, 32, 40]
    assert lines == 1
    bench.theirs(AddDestination(OURS, A, ONE))
    bench.look()
    bench.theirs(DeleteDestination(OURS, A))
    assert bench.look().changes == [AddDestination(OURS, A, ONE)]


def test_another_change_of_the_same_is_told_and_put_right_at_once() -> None:
    bench = Bench()
    for theirs, words in (
        (EditService(OURS, ROUND._replace(scheduler=Scheduler.LEAST_CONNECTION)), "changed by somebody else"),
        (DeleteService(OURS), "taken out of the IPVS table"),
    ):
        bench.kernel.apply(theirs)
        assert words in bench.look().lines[0]
        assert bench.kernel.table[OURS].settings == ROUND


def test_what_we_change_meanwhile_waits_and_nothing_else_does() -> None:
    bench = Bench()
    bench.theirs(DeleteDestination(OURS, B))
    found = bench.look(EditDestination(OURS, A, NONE))
    assert found.changes == [AddDestination(OURS, B, ONE)]
    assert bench.look() == Found([], [])
    found = bench.look(AddDestination(OURS, C, ONE))  # a new one is no stranger
    assert found == Found([], [])


def test_a_table_that_shrank_while_it_was_read_lacks_servers_that_are_there() -> None:
    bench = Bench()
    bench.ours(AddDestination(OURS, C, ONE))
    bench.theirs(DeleteDestination(OURS, B), EditDestination(OURS, C, NONE))
    assert bench.look(DeleteDestination(OURS, A)).changes == [EditDestination(OURS, C, ONE)]
    assert bench.look().changes == [AddDestination(OURS, B, ONE)]
    assert bench.look() == Found([], [])


def test_a_service_that_is_gone_comes_back_whole() -> None:
    bench = Bench()
    bench.theirs(DeleteService(OURS))
    bench.healing.begin(bench.wanted)
    for change in (DeleteDestination(OURS, A), EditDestination(OURS, B, NONE)):
        bench.wanted.apply(change)
    found = bench.healing.look(bench.wanted, bench.kernel.table)
    assert found.changes == [AddService(OURS, ROUND), AddDestination(OURS, B, NONE)]


@pytest.mark.parametrize("quarrels", [1, 4, 20])
def test_after_an_order_their_change_is_put_right_at_once(quarrels: int) -> None:
    bench = Bench()
    for _ in range(quarrels):
        bench.theirs(EditDestination(OURS, A, NONE))
        bench.look()
    bench.ours(EditDestination(OURS, A, DestinationSettings(9)))
    bench.theirs(EditDestination(OURS, A, NONE))
    assert bench.look().changes == [EditDestination(OURS, A, DestinationSettings(9))]


def test_many_changes_are_few_lines() -> None:
    bench = Bench()
    servers = [Destination(ip_address("10.2.0.0") + number, 80) for number in range(100)]
    bench.ours(*(AddDestination(OURS, server, ONE) for server in servers))
    bench.theirs(*(DeleteDestination(OURS, server) for server in servers))
    found = bench.look()
    assert len(found.changes) == 100
    assert len(found.lines) == 10
    assert found.lines[-1] == "91 more changes of the IPVS table by somebody else"


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        (
            ServiceSettings(Scheduler.ROUND_ROBIN, persistence_s=9),
            {"granularity": IPv4Address("255.255.255.255")},
        ),
        (ServiceSettings(Scheduler.ROUND_ROBIN, persistence_s=9), {"granularity": 128}),
        (ServiceSettings(Scheduler.ROUND_ROBIN), {"granularity": IPv4Address("255.255.255.255")}),
        (ServiceSettings(Scheduler.ROUND_ROBIN, persistence_s=9), {"engine": ""}),
    ],
)
def test_the_kernels_own_words_for_a_service_are_no_difference(
    ours: ServiceSettings, shown: dict[str, object]
) -> None:
    wanted = Wanted()
    wanted.apply(AddService(OURS, ours))
    assert missing(wanted, {OURS: ServiceEntry(ours._replace(**shown), {})}).changes == []  # type: ignore[arg-type]


def test_another_mask_is_a_difference() -> None:
    wanted = Wanted()
    ours = ServiceSettings(Scheduler.ROUND_ROBIN, persistence_s=9)
    wanted.apply(AddService(OURS, ours))
    shown = ours._replace(granularity=IPv4Address("255.255.0.0"))
    assert missing(wanted, {OURS: ServiceEntry(shown, {})}).changes == [EditService(OURS, ours)]


@pytest.mark.parametrize(
    ("ours", "shown", "same"),
    [
        (ForwardingMethod(), ForwardingMethod(tunnel=TunnelType.GUE, port=5), True),
        (ForwardingMethod(), ForwardingMethod(Forwarding.DIRECT), False),
        (ForwardingMethod(Forwarding.TUNNEL), ForwardingMethod(Forwarding.TUNNEL, port=5), True),
        (
            ForwardingMethod(Forwarding.TUNNEL, TunnelType.GUE, 4),
            ForwardingMethod(Forwarding.TUNNEL, TunnelType.GUE, 5),
            False,
        ),
    ],
)
def test_ways_to_a_server(ours: ForwardingMethod, shown: ForwardingMethod, same: bool) -> None:
    wanted = Wanted()
    wanted.apply(AddService(OURS, ROUND))
    wanted.apply(AddDestination(OURS, A, ONE._replace(method=ours)))
    entry = ServiceEntry(ROUND, {A: DestinationEntry(ONE._replace(method=shown))})
    assert (missing(wanted, {OURS: entry}).changes == []) is same


def test_bookkeeping() -> None:
    wanted = Wanted()
    wanted.apply(AddDestination(OURS, A, ONE))  # of a service that is not there
    assert wanted.services == {}
    before = wanted.version
    wanted.apply(AddService(OURS, ROUND))
    assert wanted.version != before
    wanted.apply(AddDestination(OURS, A, ONE))
    wanted.apply(AddService(OURS, ROUND))  # it stays what it was
    assert list(wanted.services[OURS].destinations) == [A]
    wanted.apply(DeleteDestination(OURS, B))  # it was never there
    assert wanted.services[OURS].released == set()
    wanted.apply(FlushTable())
    assert wanted.services == {}
