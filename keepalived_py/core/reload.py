"""A reload: from one configuration to the next without a blink.

Instances are matched by interface and VRID, not by name: a renamed one goes
on as what it is.  Every setting of a matched instance is applied in place: a
MASTER takes off the addresses that are no longer wanted and puts on and
announces the new ones; a BACKUP's timer moves by the difference in
master_down_interval.  Adverts change from the next one on.  An instance that
is gone resigns and takes its addresses off; a new one begins as at start.
A check that is still there keeps its verdict.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core import opening
from keepalived_py.core.holder import holding
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.vrrp.timing import master_down_interval
from keepalived_py.core.world import Node, Step
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.effects import AddAddress, DeleteAddress, Role, WriteLog

Key = tuple[InterfaceName, int]
RELOAD = Why("reload", "the configuration was replaced")


def replaced(node: Node, configuration: Configuration, now: Micros) -> Step:
    """From now on `configuration` holds."""
    turn = Turn(node, now)
    old = {_key(state.settings): state for state in node.instances.values()}
    wanted = {_key(settings) for settings in configuration.instances}
    turn.configuration, turn.shape = configuration, opening.shape_of(configuration)
    turn.instances = {}
    for key, state in old.items():
        if key not in wanted:
            _remove(turn, state)
    fresh = []
    for settings in configuration.instances:
        known = old.get(_key(settings))
        if known is None:
            fresh.append(settings)
        turn.instances[settings.name] = (
            opening.fresh(settings) if known is None else _adapt(turn, known, settings)
        )
    _scripts(turn)
    kept = [settings.name for settings in configuration.instances if _key(settings) in old]
    for name in kept:
        turn.roles_before[name] = turn.instances[name].role
    for settings in fresh:
        opening.clear_leftovers(turn, settings)
    opening.begin(turn, tuple(fresh), Micros(0))
    _carry_on(turn, kept)
    return turn.close(quiet_until=node.quiet_until)


def _key(settings: Instance) -> Key:
    return (settings.interface, settings.vrid)


def _remove(turn: Turn, state: InstanceState) -> None:
    word = notify_scripts.DELETED if state.settings.notifies.report_deleted else Role.FAULT.name
    machine.stop(state, turn.out, release=True, word=word)


def _adapt(turn: Turn, state: InstanceState, settings: Instance) -> InstanceState:
    """The running instance with its new settings."""
    old = state.settings
    if old == settings:
        return state
    deadline = state.deadline
    if state.role is Role.BACKUP and deadline is not None:
        before = master_down_interval(old, state.effective_priority)
        deadline = Micros(deadline + master_down_interval(settings, state.effective_priority) - before)
    state = state._replace(settings=settings, deadline=deadline)
    state = state._replace(advert=machine.advert_of(settings, state.source, state.effective_priority))
    return _move_addresses(turn, state, old) if state.role is Role.MASTER else state


def _move_addresses(turn: Turn, state: InstanceState, old: Instance) -> InstanceState:
    settings, name = state.settings, state.settings.name
    had = old.addresses + old.excluded_addresses
    has = settings.addresses + settings.excluded_addresses
    for virtual in had:
        if virtual not in has:
            turn.out.append(WriteLog(f"({name}) ip address {virtual}, no longer exist"))
            turn.out.append(DeleteAddress(name, virtual))
    added = tuple(virtual for virtual in has if virtual not in had)
    turn.out.extend(AddAddress(name, virtual) for virtual in added)
    return _announce_added(turn, state, added)


def _announce_added(turn: Turn, state: InstanceState, added: tuple[VirtualAddress, ...]) -> InstanceState:
    if not added:
        return state
    settings = state.settings
    holding.burst(settings, added, settings.garp.repeat, turn.out)
    if not settings.garp.delay_us:
        return state
    again = Micros(turn.now + settings.garp.delay_us)
    return state._replace(announcements=state.announcements._replace(second_at=again))


def _scripts(turn: Turn) -> None:
    """Drop the checks that are gone; one that changed keeps its verdict until its next result."""
    used = {tracked.name for tracks in turn.shape.tracks.values() for tracked in tracks.scripts}
    old = turn.scripts
    turn.scripts = {}
    for check in turn.configuration.scripts:
        known = old.get(check.name)
        if known is None or check.name not in used:
            continue
        if known.check == check:
            turn.scripts[check.name] = known
        else:
            turn.add_script(check, known.good)


def _carry_on(turn: Turn, kept: list[InstanceName]) -> None:
    """Tracked objects may be others now.  A running instance does not wait for first results."""
    turn.reassess(kept, RELOAD)
    for name in kept:
        state = turn.instances[name]
        if state.group_fault and name not in turn.shape.group_of:
            turn.instances[name] = state._replace(group_fault=False)
