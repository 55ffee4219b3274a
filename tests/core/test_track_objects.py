"""Tracked files, processes, BFD sessions and scripts: what they make of the instances that track them."""

from ipaddress import IPv4Address
from typing import Any

import pytest

from keepalived_py.base.clock import Micros, seconds
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.core.track import health
from keepalived_py.core.track import objects as tracked_objects
from keepalived_py.core.track.file import points
from keepalived_py.core.track.objects import ObjectEvent, Objects, Reading
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.model import events as ev
from keepalived_py.model.config import CheckScript, Command, Configuration, Instance, SyncGroup
from keepalived_py.model.effects import Effect, Role, RunCheck, WriteLog
from keepalived_py.model.tracking import (
    TrackedBfd,
    TrackedFile,
    TrackedInterface,
    TrackedProcess,
    TrackedScript,
    TrackFile,
    TrackProcess,
)

ONE, TWO = InstanceName("VI_1"), InstanceName("VI_2")
ETH0 = InterfaceName("eth0")
CHK = ScriptName("chk")
FACTS = {ETH0: ev.InterfaceFacts(ETH0, 2, True)}
SOURCE = IPv4Address("10.0.0.5")


def instance(name: InstanceName = ONE, vrid: int = 51, **settings: Any) -> Instance:
    return Instance(name, ETH0, vrid, **settings)


def check(**settings: Any) -> CheckScript:
    usual: dict[str, Any] = {"interval_us": seconds(1), "timeout_us": seconds(1)}
    return CheckScript(CHK, Command(("/bin/chk",), 0, 0), **{**usual, **settings})


class Bench:
    """The objects of one configuration, at a time that is told."""

    def __init__(self, configuration: Configuration, *found: Reading) -> None:
        self.out: list[Effect] = []
        self.now = Micros(0)
        self._take(configuration)
        self.objects: Objects = tracked_objects.begin(configuration, self.tracks, self.now, self.out, found)

    def _take(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.tracks = health.tracks_of(configuration)

    def feed(self, event: ObjectEvent, at_s: float | None = None) -> "Bench":
        if at_s is not None:
            self.until(at_s)
        self.objects = tracked_objects.on_event(self.objects, event, self.now, self.out)
        return self

    def until(self, at_s: float) -> "Bench":
        end = seconds(at_s)
        while (due := tracked_objects.next_deadline(self.objects)) is not None and due <= end:
            self.now = due
            self.objects = tracked_objects.on_tick(self.objects, self.now, self.out)
        self.now = end
        return self

    def reload(self, configuration: Configuration) -> "Bench":
        self._take(configuration)
        self.objects = tracked_objects.replaced(self.objects, configuration, self.tracks, self.now, self.out)
        return self

    def faults(self, name: InstanceName = ONE) -> list[str]:
        """The lines of all faults (the key where there is none)."""
        settings = self.configuration.instance(name)
        state = InstanceState(settings, Role.BACKUP, 100, SOURCE, None)
        found = health.faults(state, self.tracks[name], self.objects, FACTS)
        return [fault.line or fault.key for fault in found]

    def waiting(self, name: InstanceName = ONE) -> frozenset[str]:
        return health.waiting(self.tracks[name], self.objects)

    def weight(self, name: InstanceName = ONE) -> int:
        settings = self.configuration.instance(name)
        return sum(health.weights(settings, self.tracks[name], self.objects, FACTS))

    def logs(self) -> list[str]:
        return [each.text for each in self.out if isinstance(each, WriteLog)]

    def runs(self) -> int:
        return sum(isinstance(each, RunCheck) for each in self.out)


def with_file(*found: Reading, **tracked: Any) -> Bench:
    settings = instance(track_files=(TrackedFile("f", **tracked),))
    return Bench(Configuration(instances=(settings,), track_files=(TrackFile("f", "/f"),)), *found)


def with_process(weight: int = 0, reverse: bool = False, **process: Any) -> Bench:
    settings = instance(track_processes=(TrackedProcess("p", weight, reverse),))
    return Bench(Configuration(instances=(settings,), track_processes=(TrackProcess("p", "x", **process),)))


# -- files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "reverse", "value", "added"),
    [
        (1, False, 10, 10),
        (1, True, 10, -10),
        (-2, False, 10, -20),
        (-2, True, 10, 20),
        (2, False, 127, 253),
        (1, False, 2**31, 253),
        (1, False, -253, -253),
        (1, False, -254, -254),
        (254, False, -1, -254),
        (1, True, 10_000, -254),
        (0, False, 0, 0),
        (0, False, -7, -254),
        (0, True, 7, 0),
        (0, True, 0, -254),
    ],
)
def test_points_of_a_file(weight: int, reverse: bool, value: int, added: int) -> None:
    assert points(TrackedFile("f", weight, reverse), value) == added


def test_a_file_moves_the_priority() -> None:
    made = with_file(weight=-2)
    assert made.weight() == 0 and not made.waiting()
    assert made.feed(ev.FileRead("f", 30)).weight() == -60
    assert made.feed(ev.FileRead("f", None)).weight() == 0
    assert made.feed(ev.FileRead("unknown", 5)).weight() == 0 and made.logs() == []


def test_a_file_that_is_a_fault() -> None:
    made = with_file(ev.FileRead("f", -300), weight=1)
    assert made.faults() == ["(VI_1): entering FAULT state (tracked file f has status -300)"]
    assert made.weight() == 0 and made.logs() == []
    made.feed(ev.FileRead("f", -20))
    assert made.faults() == [] and made.weight() == -20
    made.feed(ev.FileRead("f", -254))
    assert made.logs() == [
        "(VI_1): tracked file f leaving FAULT state",
        "(VI_1): tracked file f now FAULT state",
    ]


def test_a_file_without_weight() -> None:
    made = with_file(weight=0)
    assert made.faults() == []
    made.feed(ev.FileRead("f", 3))
    assert made.faults() == ["(VI_1): entering FAULT state (tracked file f has status -254)"]
    assert with_file(weight=0, reverse=True).faults() != []


# -- processes ----------------------------------------------------------------


def test_the_first_count_decides_at_once() -> None:
    made = with_process(fork_delay_us=seconds(5))
    assert made.waiting() == {"p"} and made.faults() == []
    made.feed(ev.ProcessesCounted("p", 1))
    assert not made.waiting() and made.faults() == [] and made.logs() == []
    lost = with_process().feed(ev.ProcessesCounted("p", 0))
    assert lost.faults() == ["(VI_1) entering FAULT state (tracked process p quorum not achieved)"]


@pytest.mark.parametrize(
    ("weight", "reverse", "good", "bad"), [(20, False, 20, 0), (-20, False, 0, -20), (20, True, -20, 0)]
)
def test_weights_of_a_process(weight: int, reverse: bool, good: int, bad: int) -> None:
    made = with_process(weight, reverse)
    assert made.weight() == 0
    assert made.feed(ev.ProcessesCounted("p", 1)).weight() == good
    assert made.feed(ev.ProcessesCounted("p", 0)).weight() == bad
    assert made.logs() == ["Quorum lost for tracked process p"]


def test_what_cannot_be_watched_is_not_achieved() -> None:
    made = with_process(quorum=0, quorum_max=0).feed(ev.ProcessesCounted("p", None))
    assert made.faults() == ["(VI_1) entering FAULT state (tracked process p quorum not achieved)"]
    assert made.feed(ev.ProcessesCounted("p", 0)).faults() == []


def test_quorum_and_most() -> None:
    made = with_process(quorum=2, quorum_max=3)
    verdicts = []
    for count in (1, 2, 3, 4, 3, 1):
        made.feed(ev.ProcessesCounted("p", count))
        verdicts.append(not made.faults())
    assert verdicts == [False, True, True, False, True, False]
    assert made.logs() == [
        f"Quorum {how} for tracked process p" for how in ("gained", "lost", "gained", "lost")
    ]


def test_delays_are_those_of_the_direction() -> None:
    """Growing waits for fork_delay, whether the quorum is gained or exceeded; falling for terminate_delay."""
    delays: dict[str, Any] = {"fork_delay_us": seconds(2), "terminate_delay_us": seconds(5)}
    made = with_process(quorum=1, quorum_max=1, **delays).feed(ev.ProcessesCounted("p", 0))
    made.feed(ev.ProcessesCounted("p", 1), 1)
    assert made.faults() and made.until(2.9).faults() and not made.until(3).faults()
    made.feed(ev.ProcessesCounted("p", 2), 10)
    assert not made.until(11.9).faults() and made.until(12).faults()
    made.feed(ev.ProcessesCounted("p", 1), 20)
    assert made.until(24.9).faults() and not made.until(25).faults()
    made.feed(ev.ProcessesCounted("p", 0), 30)
    assert not made.until(34.9).faults() and made.until(35).faults()


def test_a_process_that_is_back_in_time_was_never_missed() -> None:
    made = with_process(terminate_delay_us=seconds(5)).feed(ev.ProcessesCounted("p", 1))
    made.feed(ev.ProcessesCounted("p", 0), 1).feed(ev.ProcessesCounted("p", 1), 3)
    assert tracked_objects.next_deadline(made.objects) is None
    assert made.until(60).logs() == []


# -- BFD ----------------------------------------------------------------------


def test_bfd_begins_down() -> None:
    sessions = (TrackedBfd("b"), TrackedBfd("w", weight=-30))
    made = Bench(Configuration(instances=(instance(track_bfds=sessions),)))
    assert made.faults() == ["bfd b"] and made.weight() == -30
    made.feed(ev.BfdChanged("b", True)).feed(ev.BfdChanged("b", True)).feed(ev.BfdChanged("w", True))
    assert made.faults() == [] and made.weight() == 0
    assert made.logs() == [
        "VRRP_Instance(VI_1) Tracked BFD instance b is UP",
        "VRRP_Instance(VI_1) Tracked BFD instance w is UP",
    ]
    made.feed(ev.BfdChanged("b", False))
    assert made.logs()[-1] == "VRRP_Instance(VI_1) Tracked BFD instance b is DOWN"


# -- groups -------------------------------------------------------------------


def in_group(own: TrackedScript | None, group: TrackedScript) -> Bench:
    mine = () if own is None else (own,)
    pair = (instance(track_scripts=mine), instance(TWO, 52))
    joined = SyncGroup(GroupName("G"), (ONE, TWO), track_scripts=(group,))
    made = Bench(Configuration(instances=pair, groups=(joined,), scripts=(check(),)))
    return made.feed(ev.ScriptFinished(CHK, 1))


def test_objects_of_a_group_count_for_every_member() -> None:
    made = in_group(None, TrackedScript(CHK, -30))
    assert made.weight(ONE) == made.weight(TWO) == -30
    assert in_group(None, TrackedScript(CHK)).faults(TWO) != []


def test_of_two_entries_the_weightless_one_or_the_groups_counts() -> None:
    assert in_group(TrackedScript(CHK, -5), TrackedScript(CHK, -30)).weight(ONE) == -30
    own = in_group(TrackedScript(CHK), TrackedScript(CHK, -30))
    assert own.faults(ONE) != [] and own.weight(ONE) == 0 and own.weight(TWO) == -30


# -- all of them --------------------------------------------------------------


def test_changed_for_names_those_who_are_concerned() -> None:
    pair = (
        instance(track_files=(TrackedFile("f"),), track_scripts=(TrackedScript(CHK, 5),)),
        instance(TWO, 52, track_processes=(TrackedProcess("p"),)),
    )
    made = Bench(
        Configuration(
            instances=pair,
            scripts=(check(),),
            track_files=(TrackFile("f", "/f"),),
            track_processes=(TrackProcess("p", "x"),),
        )
    )
    found = []
    for event in (
        ev.FileRead("f", 1),
        ev.FileRead("f", 1),
        ev.ScriptFinished(CHK, 0),
        ev.ScriptFinished(CHK, 0),
        ev.ProcessesCounted("p", 1),
        ev.ProcessesCounted("p", 2),
    ):
        before = made.objects
        made.feed(event)
        found.append(tracked_objects.changed_for(before, made.objects))
    assert found == [[ONE], [], [ONE], [], [TWO], []]


def test_an_interface_with_a_reversed_weight() -> None:
    links = (TrackedInterface(ETH0, 20, reverse=True), TrackedInterface(InterfaceName("eth9"), -7, True))
    assert Bench(Configuration(instances=(instance(track_interfaces=links),))).weight() == -20 + 7


def test_the_owner_has_no_weights() -> None:
    settings = instance(base_priority=255, track_bfds=(TrackedBfd("b", -30),))
    assert Bench(Configuration(instances=(settings,))).weight() == 0


# -- reload -------------------------------------------------------------------


def test_reload_keeps_verdicts() -> None:
    settings = instance(
        track_files=(TrackedFile("f"),),
        track_processes=(TrackedProcess("p", 10),),
        track_bfds=(TrackedBfd("b", 20),),
        track_scripts=(TrackedScript(CHK, 40),),
    )
    configuration = Configuration(
        instances=(settings,),
        scripts=(check(),),
        track_files=(TrackFile("f", "/f"),),
        track_processes=(TrackProcess("p", "x"),),
    )
    made = Bench(configuration, ev.FileRead("f", 5), ev.ProcessesCounted("p", 1))
    made.feed(ev.BfdChanged("b", True)).feed(ev.ScriptFinished(CHK, 0))
    assert made.weight() == 75
    runs = made.runs()
    assert made.reload(configuration).weight() == 75 and made.runs() == runs
    assert made.logs()[-1] == "VRRP_Script(chk) considered successful on reload"
    assert made.reload(Configuration(instances=(instance(),))).objects._replace(tracks={}) == (
        tracked_objects.NOTHING_TRACKED
    )


def test_a_check_that_became_another_one() -> None:
    settings = instance(track_scripts=(TrackedScript(CHK, -10),))
    made = Bench(Configuration(instances=(settings,), scripts=(check(),))).feed(ev.ScriptFinished(CHK, 1))
    other = Configuration(instances=(settings,), scripts=(check(fall=2),))
    made.reload(other)
    assert made.weight() == -10 and made.runs() == 2
    # One that still runs ends first, and what it says is of no account.
    made.reload(Configuration(instances=(settings,), scripts=(check(rise=1, fall=3),)))
    assert made.runs() == 2
    assert made.feed(ev.ScriptFinished(CHK, 0)).weight() == -10 and made.runs() == 3
    assert made.feed(ev.ScriptFinished(CHK, 0)).weight() == 0


def test_a_process_with_another_quorum_is_judged_by_what_was_counted() -> None:
    settings = instance(track_processes=(TrackedProcess("p"),))

    def configured(**process: Any) -> Configuration:
        return Configuration(instances=(settings,), track_processes=(TrackProcess("p", **process),))

    made = Bench(configured(process="x"), ev.ProcessesCounted("p", 1))
    made.reload(configured(process="x", quorum=2))
    assert made.faults() != [] and made.logs() == ["Quorum lost for tracked process p"]
    # Another program: the verdict stays until it has been counted, and then changes without a delay.
    made.reload(configured(process="y", fork_delay_us=seconds(9)))
    assert made.faults() != []
    assert made.feed(ev.ProcessesCounted("p", 1)).faults() == []
