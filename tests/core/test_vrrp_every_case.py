"""Every role, every thing that may happen to one instance, every flag: what must hold whatever comes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.integrity import advert_signature
from keepalived_py.core.vrrp import machine, timing
from keepalived_py.model import effects as fx
from keepalived_py.model.config import AuthType, Election
from keepalived_py.model.packet import Advert
from keepalived_py.model.vrrp import AuthHmac, HmacKey, UnicastChecksum
from tests.core.test_vrrp_authentication import numbered
from tests.core.vrrp_solo import LEGAL, Solo, advert, peers

LOW, OURS, HIGH = (
    {4: four, 6: six}
    for four, six in zip(("10.0.0.1", "10.0.0.5", "10.0.0.9"), ("fe80::1", "fe80::5", "fe80::9"), strict=True)
)
CLOCK = 1_800_000_000
KEY = b"k" * 32
HMAC = AuthHmac(keys=(HmacKey(id=1, value=KEY),), active_key=1, time_window_s=5)
ROLES = ("INIT", "BACKUP", "MASTER", "FAULT")

# Ways to be protected, and what they ask of the instance.
KINDS: Mapping[str, dict[str, Any]] = {
    "v2": {},
    "v2 AH": {"auth_type": AuthType.AH, "auth_data": b"secret"},
    "v2 unicast": {"unicast_peers": peers(LOW[4], HIGH[4]), "check_unicast_source": True},
    "v2 v6": {"family": 6, "version": 2},
    "v3": {"version": 3, "advert_interval_us": 500_000},
    "v3 unicast": {"version": 3, "unicast_peers": peers(LOW[4], HIGH[4])},
    "v3 old unicast": {
        "version": 3,
        "unicast_peers": peers(LOW[4], HIGH[4]),
        "unicast_checksum": UnicastChecksum.OLD,
    },
    "v3 v6": {"family": 6},
    "v3 hmac": {"version": 3, "auth_hmac": HMAC},
    "raft": {"election": Election.RAFT, "vrid": 0},
    "raft AH": {"election": Election.RAFT, "auth_type": AuthType.AH, "auth_data": b"secret"},
    "raft unicast": {"election": Election.RAFT, "unicast_peers": peers(LOW[4], HIGH[4])},
    "raft v6": {"election": Election.RAFT, "family": 6},
}
FLAGS: tuple[dict[str, Any], ...] = (
    {"preempt": False, "late_priority": 254},
    {"preempt_delay_us": Micros(2 * SECOND)},
    {"lower_priority_no_advert": True},
    {"higher_priority_send_advert": True},
    {"base_priority": 255},
    {"owner_ignore_adverts": True, "skip_check_adv_addr": True},
)


FRESH = count(1)
Happening = Callable[[Solo], None]


def fresh(solo: Solo, priority: int, source: Mapping[int, str], **fields: Any) -> Advert:
    """An advert that the instance has nothing against, with a sequence that nobody has heard."""
    heard, number = advert(solo.settings, priority, source[solo.settings.family], **fields), next(FRESH)
    size = heard.expected_length
    if solo.settings.auth_type is AuthType.AH:
        header = numbered(number, spi=heard.source.packed)
        size += 24
        return replace(
            heard, has_ah=True, ah=header, received_length=size, total_length=size, expected_length=size
        )
    if solo.settings.auth_hmac is None:
        return heard
    head = bytes((1, 1, 0, 0)) + CLOCK.to_bytes(4, "big") + number.to_bytes(4, "big")
    message = bytes((0x31, 51, priority, 1, 0, 100, 0, 0, 10, 0, 0, 100))
    trailer = head + advert_signature(KEY, heard.source, message, head)
    size += len(trailer)
    return replace(heard, message=message, trailer=trailer, received_length=size, total_length=size)


def hear(priority: Callable[[int], int], source: Mapping[int, str], **fields: Any) -> Happening:
    def happen(solo: Solo) -> None:
        solo.take(fresh(solo, priority(solo.state.effective_priority), source, **fields), None, CLOCK)

    return happen


def hear_twice(solo: Solo) -> None:
    """The very same packet again; a MASTER has given way to the first one."""
    heard = fresh(solo, min(254, solo.state.effective_priority), LOW)
    solo.take(heard, None, CLOCK).take(heard, None, CLOCK)


def tick(solo: Solo) -> None:
    if solo.state.deadline is not None:
        solo.now = max(solo.now, solo.state.deadline)
        solo.due()


def late_tick(solo: Solo) -> None:
    if solo.state.deadline is not None:
        solo.now = Micros(max(solo.now, solo.state.deadline) + solo.until_down // 2 + 1)
        solo.due()


def unready_tick(solo: Solo) -> None:
    if solo.state.deadline is not None:
        solo.now = max(solo.now, solo.state.deadline)
        solo.due(group_ready=False)


def advert_after_a_pause(solo: Solo) -> None:
    solo.now = Micros(solo.now + 60 * SECOND)
    hear(lambda ours: max(1, ours - 1), LOW)(solo)


def pause(solo: Solo) -> None:
    solo.paused(100)


def short_pause(solo: Solo) -> None:
    solo.paused(0.1)


def granted(solo: Solo) -> None:
    if solo.settings.election is Election.RAFT:
        solo.granted()


def lost(solo: Solo) -> None:
    if solo.settings.election is Election.RAFT:
        solo.lost()


def fault(solo: Solo) -> None:
    if solo.role != "FAULT":
        solo.fault()


def other_priority(solo: Solo) -> None:
    solo.state = machine.with_priority(solo.state, 42, solo.out)


def no_source(solo: Solo) -> None:
    solo.state = machine.with_source(solo.state, None)


def stop(solo: Solo) -> None:
    solo.state = machine.stop(solo.state, solo.out, release=True)


EVENTS: Mapping[str, Happening] = {
    "tick": tick,
    "late tick": late_tick,
    "tick of a group that is not ready": unready_tick,
    "better": hear(lambda ours: min(255, ours + 1), HIGH),
    "worse": hear(lambda ours: ours - 1, LOW),
    "equal, higher address": hear(lambda ours: ours, HIGH),
    "equal, lower address": hear(lambda ours: ours, LOW),
    "equal, our address": hear(lambda ours: ours, OURS),
    "another owner": hear(lambda _: 255, HIGH),
    "a lower owner": hear(lambda _: 255, LOW),
    "zero": hear(lambda _: 0, HIGH),
    "another interval": hear(lambda _: 254, HIGH, advert_interval=200),
    "no interval": hear(lambda _: 254, HIGH, advert_interval=0),
    "bad checksum": hear(lambda _: 254, HIGH, checksum_valid=False),
    "old checksum": hear(lambda _: 254, HIGH, checksum_valid=False, old_checksum_valid=True),
    "no addresses": hear(lambda _: 254, HIGH, addresses=(), address_count=0),
    "bad TTL": hear(lambda _: 254, HIGH, ttl=1),
    "a stranger": hear(lambda _: 254, {4: "10.0.0.77", 6: "fe80::77"}),
    "the same again": hear_twice,
    "an advert after a pause": advert_after_a_pause,
    "pause": pause,
    "short pause": short_pause,
    "lease granted": granted,
    "lease lost": lost,
    "fault": fault,
    "priority": other_priority,
    "no source": no_source,
    "stop": stop,
}


def must_hold(solo: Solo, before: str, what: str) -> None:
    state, new = solo.state, solo.out
    changes = [each for each in new if isinstance(each, fx.RoleChanged)]
    assert len(changes) <= 1, "one role change per step"
    for each in changes:
        assert (each.old.name, each.new.name) in LEGAL and each.old.name == before
        assert each.reason and each.evidence and each.new is state.role
    assert changes or state.role.name == before
    takes, leaves = solo.all(fx.AddAddress), solo.all(fx.DeleteAddress)
    entered = bool(changes) and state.role is fx.Role.MASTER
    left = bool(changes) and before == "MASTER"
    assert (len(takes), len(leaves)) == (entered, left), "every exit from MASTER releases"
    idle = state.role in (fx.Role.FAULT, fx.Role.INIT) or solo.settings.election is Election.RAFT
    assert (state.deadline is None) is idle
    assert state.deadline is None or state.deadline > solo.now
    if state.role is not fx.Role.MASTER:
        assert not any(state.announcements)
        assert not any(solo.sent()) or solo.settings.higher_priority_send_advert
    assert state.advert is None or state.advert.priority == state.effective_priority
    assert 1 <= state.effective_priority <= 255 and state.interval > 0
    if solo.settings.election is Election.RAFT:
        assert not solo.sent() and not solo.all(fx.RaiseSequence) and state.advert is None
        assert not changes or what in BY_OTHERS, "nothing heard and no timer moves it"


BY_OTHERS = ("lease granted", "lease lost", "fault", "stop")


def made(role: str, kind: str, flags: dict[str, Any]) -> Solo:
    solo = Solo(role, **{**KINDS[kind], **flags})
    assert solo.role == role
    solo.out.clear()
    return solo


# What differs from another kind in its packets only takes no part in the quick check.
QUICK = ("v2", "v2 unicast", "v3", "v3 v6", "v3 hmac", "raft")
CASES = [
    pytest.param(role, kind, marks=() if kind in QUICK else pytest.mark.slow)
    for role, kind in product(ROLES, KINDS)
]


@pytest.mark.parametrize(("role", "kind"), CASES)
def test_every_case(role: str, kind: str) -> None:
    for chosen in product((False, True), repeat=len(FLAGS)):
        flags: dict[str, Any] = {}
        for flag, on in zip(FLAGS, chosen, strict=True):
            flags.update(flag if on else {})
        for what, happen in EVENTS.items():
            solo = made(role, kind, flags)
            happen(solo)
            must_hold(solo, role, what)


happenings = st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.integers(0, 3_000_000)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), owner=st.booleans(), life=happenings)
def test_random_lives(kind: str, owner: bool, life: list[tuple[str, int]]) -> None:
    solo = Solo("BACKUP", **{**KINDS[kind], **({"base_priority": 255} if owner else {})})
    held = False
    for what, pause in life:
        solo.until((solo.now + pause) / SECOND)
        EVENTS[what](solo)
        if solo.role == "FAULT" and what != "fault":
            solo.backup()
        for each in solo.out:
            if isinstance(each, fx.AddAddress | fx.DeleteAddress):
                assert isinstance(each, fx.AddAddress) is not held
                held = not held
        solo.out.clear()
        assert held is (solo.role == "MASTER")
        idle = solo.role in ("INIT", "FAULT") or kind.startswith("raft")
        assert (solo.state.deadline is None) is idle


numbers = st.integers(0, 255)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "ttl": numbers,
    "version": st.integers(0, 15),
    "kind": st.integers(0, 15),
    "auth_type": numbers,
    "advert_interval": st.integers(0, 4095),
    "checksum_valid": st.booleans(),
    "old_checksum_valid": st.booleans(),
    "has_ah": st.booleans(),
    "address_count": numbers,
    "addresses": st.just(()),
    "received_length": st.integers(0, 1100),
    "expected_length": st.integers(0, 1100),
    "total_length": st.integers(0, 65535),
    "auth_data": st.binary(max_size=8),
    "message": st.binary(min_size=8, max_size=40),
    "trailer": st.binary(max_size=40),
}


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    role=st.sampled_from(ROLES),
    priority=numbers,
    fields=st.fixed_dictionaries({}, optional=FIELDS),
    clock=st.integers(0, 2**33),
)
def test_any_advert_is_survived(
    kind: str, role: str, priority: int, fields: dict[str, Any], clock: int
) -> None:
    """Whatever it says, the state stays sound; if it is refused, no timer moves."""
    solo = made(role, kind, {})
    deadline = solo.state.deadline
    solo.take(advert(solo.settings, priority, HIGH[solo.settings.family], **fields), None, clock)
    must_hold(solo, role, "bad TTL")
    if solo.state.counters.advert_rcvd == 0:
        assert solo.state.deadline == deadline and solo.role == role and solo.sent() == []


def test_the_timers_agree_with_the_state() -> None:
    """What the tests reckon with is what the machine reckons with."""
    solo = Solo(version=3).hear(200, 1, advert_interval=300)
    assert solo.until_down == timing.master_down_interval(solo.settings, 100, Micros(3 * SECOND))
