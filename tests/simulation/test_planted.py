"""The properties are worth something only if a broken machine breaks them.

Each machine here is the core with one bug planted around it.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.core.node import Node, Step
from keepalived_py.model.effects import DeleteAddress, Effect, Role, SendAdvert
from keepalived_py.model.events import AddressRemoved, AdvertReceived, Event, Tick
from keepalived_py.model.packet import Advert
from keepalived_py.simulation.machine import CORE, Machine
from keepalived_py.simulation.run import run_seed

SEEDS = range(60)
StepFunction = Callable[[Node, Event, Micros], Step]


def _stepping(step: StepFunction) -> Machine:
    return replace(CORE, step=step)


def _hearing(change: Callable[[Node, Advert], Advert | None]) -> Machine:
    """A machine that takes every advert for what `change` makes of it (None: it is deaf to it)."""

    def step(node: Node, event: Event, now: Micros) -> Step:
        if not isinstance(event, AdvertReceived):
            return CORE.step(node, event, now)
        heard = change(node, event.advert)
        return Step(node, ()) if heard is None else CORE.step(node, replace(event, advert=heard), now)

    return _stepping(step)


def _without(unwanted: Callable[[Effect], bool]) -> Machine:
    """A machine that forgets some of its effects."""

    def step(node: Node, event: Event, now: Micros) -> Step:
        taken = CORE.step(node, event, now)
        return Step(taken.node, tuple(effect for effect in taken.effects if not unwanted(effect)))

    return _stepping(step)


def _is(node: Node, vrid: int, role: Role) -> bool:
    return any(state.settings.vrid == vrid and state.role is role for state in node.instances.values())


def _deaf_to_equals(node: Node, advert: Advert) -> Advert | None:
    ours = {(state.settings.vrid, state.effective_priority) for state in node.instances.values()}
    equal = (advert.vrid, advert.priority) in ours
    return None if equal and _is(node, advert.vrid, Role.MASTER) else advert


def _believes_anybody(node: Node, advert: Advert) -> Advert:
    if advert.priority and _is(node, advert.vrid, Role.BACKUP):
        return replace(advert, priority=255)
    return advert


def _no_deadline_in_backup(node: Node) -> Micros | None:
    roles = {state.role for state in node.instances.values()}
    return None if roles == {Role.BACKUP} else CORE.next_deadline(node)


def _sleeps_through_ticks(node: Node, event: Event, now: Micros) -> Step:
    return Step(node, ()) if isinstance(event, Tick) else CORE.step(node, event, now)


def _blind_to_theft(node: Node, event: Event, now: Micros) -> Step:
    return Step(node, ()) if isinstance(event, AddressRemoved) else CORE.step(node, event, now)


PLANTED: dict[str, Machine] = {
    "no tie-break on equal priority": _hearing(_deaf_to_equals),
    "no deadline in BACKUP": replace(CORE, next_deadline=_no_deadline_in_backup),
    "never preempts": _hearing(_believes_anybody),
    "believes a wrong checksum": _hearing(lambda node, advert: replace(advert, checksum_valid=True)),
    "believes any TTL": _hearing(lambda node, advert: replace(advert, ttl=255)),
    "ignores priority 0": _hearing(lambda node, advert: advert if advert.priority else None),
    "keeps its addresses": _without(lambda effect: isinstance(effect, DeleteAddress)),
    "sends no adverts": _without(lambda effect: isinstance(effect, SendAdvert)),
    "does nothing at its deadline": _stepping(_sleeps_through_ticks),
    "blind to stolen addresses": _stepping(_blind_to_theft),
}


@pytest.mark.parametrize("machine", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_found(machine: Machine) -> None:
    """Some seed among the first few notices, and it is a property that breaks, not the program."""
    broken = next((outcome for seed in SEEDS if not (outcome := run_seed(seed, machine)).passed), None)
    assert broken is not None, f"no seed in {SEEDS} noticed the bug"
    assert broken.rule != "exception", broken.detail


def test_a_broken_seed_reproduces() -> None:
    """The printed seed shows the same breach again."""
    machine = PLANTED["no deadline in BACKUP"]
    seed = next(seed for seed in SEEDS if not run_seed(seed, machine).passed)
    assert run_seed(seed, machine) == run_seed(seed, machine)
