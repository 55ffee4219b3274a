"""Every role, every event, every flag: what must hold whatever happens."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.core import node as core
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import CheckScript, Configuration, TrackedScript
from tests.core.vrrp_solo import LEGAL

if TYPE_CHECKING:
    from tests.core.conftest import Bench

Make = Callable[..., "Bench"]
ROLES = ("INIT", "BACKUP", "MASTER", "FAULT")
EVENTS = (
    "tick",
    "early tick",
    "better",
    "worse",
    "equal high",
    "equal low",
    "zero",
    "broken",
    "down",
    "up",
    "fails",
    "succeeds",
    "vip gone",
    "address gone",
    "address back",
    "undecodable",
    "pause",
    "short pause",
    "late tick",
    "rival",
    "same again",
    "stop",
    "leave",
    "reload",
    "reload none",
)
FLAGS: tuple[tuple[str, Any], ...] = (
    ("preempt", False),
    ("preempt_delay_us", 2_000_000),
    ("lower_priority_no_advert", True),
    ("higher_priority_send_advert", True),
    ("base_priority", 255),
)


def in_role(bench: Make, chk: Callable[..., CheckScript], role: str, flags: dict[str, Any]) -> "Bench":
    made = bench(
        {"track_scripts": (TrackedScript(ScriptName("chk")),), **flags}, scripts=(chk(1000),)
    ).start()
    if role != "INIT":
        made.script(1 if role == "FAULT" else 0)
    return made.until(5) if role == "MASTER" else made.until(0.5)


def happen(made: "Bench", what: str) -> "Bench":
    own = ev.InterfaceAddress(next(iter(made.interfaces.values())).addresses[0].address, 24)
    eth0 = InterfaceName("eth0")
    vip = made.configuration.instances[0].addresses[0].address
    priority = made.state.effective_priority
    facts = made.interfaces[eth0]
    match what:
        case "pause" | "short pause":
            return made.feed(ev.Paused(Micros(60_000_000 if what == "pause" else 1_000)))
        case "late tick":
            made.now = Micros(made.now + 60_000_000)
            return made.feed(ev.Tick())
        case "rival":
            return made.hear(255, source="10.0.0.1")
        case "same again":
            return made.hear(min(254, priority), source="10.0.0.1").hear(
                min(254, priority), source="10.0.0.1"
            )
        case "tick":
            due = core.next_deadline(made.node)
            made.last = ()
            return made.until(max(made.now, due or 0) / 1e6)
        case "early tick":
            return made.feed(ev.Tick())
        case "better" | "worse" | "zero":
            return made.hear({"better": min(255, priority + 1), "worse": priority - 1, "zero": 0}[what])
        case "equal high" | "equal low":
            return made.hear(priority, source="10.0.0.9" if what == "equal high" else "10.0.0.1")
        case "broken":
            return made.hear(255, checksum_valid=False)
        case "down" | "up":
            return made.feed(ev.LinkChanged(replace(facts, up=what == "up")))
        case "fails" | "succeeds":
            return made.script(int(what == "fails"))
        case "vip gone":
            return made.feed(ev.AddressRemoved(eth0, ev.InterfaceAddress(vip, 24)))
        case "address gone":
            return made.feed(ev.AddressRemoved(eth0, own))
        case "address back":
            return made.feed(ev.AddressAdded(eth0, own))
        case "undecodable":
            return made.feed(ev.PacketUndecodable(eth0, "too short"))
        case "stop" | "leave":
            return made.feed(ev.StopRequested(release=what == "stop"))
        case "reload":
            return made.feed(ev.SettingsReplaced(made.configuration))
        case _:
            return made.feed(ev.SettingsReplaced(Configuration()))


def must_hold(made: "Bench", before: str, what: str) -> None:
    changes = [each for each in made.last if isinstance(each, fx.RoleChanged)]
    assert len(changes) <= 1
    for change in changes:
        assert change.old.name == before and (before, change.new.name) in LEGAL
        assert change.reason and change.evidence
    state = next(iter(made.node.instances.values()), None)
    if state is None or made.node.stopped:
        assert what in ("leave",) or not made.held
        return
    assert (state.role is fx.Role.MASTER) == bool(made.held)
    if state.role is fx.Role.FAULT:
        assert state.deadline is None
    if state.role in (fx.Role.MASTER, fx.Role.BACKUP):
        assert state.deadline is not None
    if state.role is not fx.Role.MASTER:
        assert not any(state.announcements)
        assert not any(isinstance(each, fx.SendNeighbour) for each in made.last[-1:])
    if before == state.role.name and what not in ("tick", "early tick", "late tick", "vip gone"):
        assert not any(isinstance(each, fx.AddAddress | fx.DeleteAddress) for each in made.last)


@pytest.mark.parametrize(("role", "what"), list(product(ROLES, EVENTS)))
def test_every_role_and_event(bench: Make, chk: Callable[..., CheckScript], role: str, what: str) -> None:
    for chosen in product((False, True), repeat=len(FLAGS)):
        flags = {name: value for (name, value), on in zip(FLAGS, chosen, strict=True) if on}
        made = in_role(bench, chk, role, flags)
        assert made.role.name == role
        happen(made, what)
        must_hold(made, role, what)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.tuples(st.sampled_from(EVENTS[:21]), st.integers(0, 3_000_000)), max_size=40))
def test_random_lives(bench: Make, chk: Callable[..., CheckScript], script: list[tuple[str, int]]) -> None:
    made = in_role(bench, chk, "BACKUP", {})
    for what, pause in script:
        made.until((made.now + pause) / 1e6)
        if what == "vip gone":
            made.held.clear()
        before = made.role.name
        happen(made, what)
        assert (made.role is fx.Role.MASTER) or not made.held
        if what != "tick":
            must = [each for each in made.last if isinstance(each, fx.RoleChanged)]
            assert len(must) <= 1 and all(each.old.name == before for each in must)
        due = core.next_deadline(made.node)
        assert due is None or due > made.now


numbers = st.integers(0, 255)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.fixed_dictionaries(
        {
            "ttl": numbers,
            "version": st.integers(0, 15),
            "kind": st.integers(0, 15),
            "vrid": st.sampled_from((51, 52)),
            "auth_type": numbers,
            "advert_interval": numbers,
            "checksum_valid": st.booleans(),
            "has_ah": st.booleans(),
            "address_count": numbers,
            "received_length": st.integers(20, 100),
            "auth_data": st.binary(max_size=8),
        }
    ),
    priority=numbers,
    role=st.sampled_from(ROLES),
)
def test_any_advert_is_survived(
    bench: Make, chk: Callable[..., CheckScript], fields: dict[str, Any], priority: int, role: str
) -> None:
    made = in_role(bench, chk, role, {})
    made.hear(priority, **fields)
    must_hold(made, role, "advert")
