"""How a node begins and ends.

Begin: leftover addresses of an earlier life are taken off, every check is
run, and each instance takes its first role.  An address owner that starts as
MASTER is due at once; an instance whose checks have no result yet waits in
INIT without a word; all others begin as BACKUP (or FAULT).  At start the
scripts of a sync group run before those of its members.

`vrrp_startup_delay`: adverts are ignored during the delay and the timers
begin after it.
"""

from collections.abc import Mapping

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.track import health
from keepalived_py.core.track.interface import virtual_addresses
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.priority import effective_priority
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.vrrp.timing import OWNER, master_down_interval
from keepalived_py.core.world import Node, Shape, Step
from keepalived_py.model.config import Configuration, InitialState, Instance
from keepalived_py.model.effects import DeleteAddress, Role, WriteLog
from keepalived_py.model.events import InterfaceFacts

AT_ONCE = Micros(1)
START = Why("start", "the program starts")


def shape_of(configuration: Configuration) -> Shape:
    """What follows from `configuration` alone."""
    instances = configuration.instances
    tracks = health.tracks_of(configuration)
    links = {instance.interface for instance in instances}
    links |= {link.name for tracked in tracks.values() for link in tracked.interfaces}
    return Shape(
        by_vrid={(instance.interface, instance.vrid): instance.name for instance in instances},
        group_of={name: group for group in configuration.groups for name in group.members},
        tracks=tracks,
        virtual=virtual_addresses(configuration),
        links=frozenset(links),
    )


def start(
    configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts], now: Micros
) -> Step:
    """The first state of a node."""
    node = Node(configuration, shape_of(configuration), {}, interfaces, {}, {}, {})
    turn = Turn(node, now)
    delay = configuration.globals.startup_delay_us
    if delay:
        turn.out.append(WriteLog(f"Delaying startup for {as_seconds(delay):g} seconds"))
    _log_addresses(turn)
    for settings in configuration.instances:
        clear_leftovers(turn, settings)
    begin(turn, configuration.instances, delay)
    return turn.close(quiet_until=Micros(now + delay) if delay else None)


def begin(turn: Turn, instances: tuple[Instance, ...], delay: Micros) -> None:
    """The instances take their first roles, and checks that are new run."""
    names = [settings.name for settings in instances]
    for settings in instances:
        turn.instances[settings.name] = fresh(settings)
        turn.roles_before[settings.name] = Role.INIT
    start_scripts(turn)
    causes = {name: turn.assess(name) for name in names}
    owners = [name for name in names if _owns(turn, name)]
    at = len(turn.out)
    for name in names:
        _first_role(turn, name, causes[name], name in owners, delay)
    turn.settle(START)
    for group in turn.configuration.groups:
        # A group of address owners says nothing when it becomes MASTER at start.
        if group.members and all(name in owners for name in group.members):
            turn.group_roles[group.name] = Role.MASTER
    _groups_first(turn, at)


def _log_addresses(turn: Turn) -> None:
    for name, facts in turn.interfaces.items():
        if name in turn.shape.links:
            for known in facts.addresses:
                text = f"Assigned address {known.address} for interface {name}"
                turn.out.append(WriteLog(text, detail=True))


def fresh(settings: Instance) -> InstanceState:
    """An instance that knows nothing yet."""
    priority = effective_priority(settings.base_priority, ())
    return InstanceState(settings, Role.INIT, priority, None, None)


def start_scripts(turn: Turn) -> None:
    """Run the checks that some instance tracks and that are not running yet."""
    used = {tracked.name for tracks in turn.shape.tracks.values() for tracked in tracks.scripts}
    for check in turn.configuration.scripts:
        if check.name in used and check.name not in turn.scripts:
            turn.add_script(check)


def clear_leftovers(turn: Turn, settings: Instance) -> None:
    """Take off the virtual addresses that are there already, whoever put them there."""
    present = [
        virtual
        for virtual in settings.addresses + settings.excluded_addresses
        if virtual.interface in turn.interfaces
        and any(known.address == virtual.address for known in turn.interfaces[virtual.interface].addresses)
    ]
    for kind, configured in (("VIPs", settings.addresses), ("E-VIPs", settings.excluded_addresses)):
        if configured:
            turn.out.append(WriteLog(f"({settings.name}) removing {kind}.", detail=True))
    turn.out.extend(DeleteAddress(settings.name, virtual) for virtual in present)


def _owns(turn: Turn, name: InstanceName) -> bool:
    """Whether the instance, and all of its sync group, are MASTER from the start."""
    states = [turn.instances[name], *turn.others(name)]
    return all(
        state.settings.base_priority == OWNER
        and state.settings.initial_state is InitialState.MASTER
        and state.healthy
        for state in states
    )


def _first_role(
    turn: Turn, name: InstanceName, causes: tuple[health.Fault, ...], owner: bool, delay: Micros
) -> None:
    state = turn.instances[name]
    if state.faults:
        turn.fall(name, causes, START, WriteLog(f"({name}) entering FAULT state"))
    elif owner:
        late = delay + state.settings.advert_interval_us if delay else AT_ONCE
        turn.instances[name] = state._replace(deadline=Micros(turn.now + late))
    elif not state.waiting and not turn.group_blocked(name):
        wait = Micros(delay + master_down_interval(state.settings, state.effective_priority))
        state = machine.become_backup(state, turn.now, START, turn.out, wait=wait, initial=True)
        turn.instances[name] = state


def _groups_first(turn: Turn, at: int) -> None:
    """keepalived tells the scripts of groups before those of the members, at start only."""
    groups = {group.name for group in turn.configuration.groups}
    tail = turn.out[at:]
    told = [effect for effect in tail if getattr(effect, "owner", None) in groups]
    turn.out[at:] = told + [effect for effect in tail if effect not in told]


def stop(node: Node, release: bool, now: Micros) -> Step:
    """Every master resigns and takes its addresses off; all scripts are told STOP."""
    turn = Turn(node, now)
    for name, state in node.instances.items():
        turn.instances[name] = machine.stop(state, turn.out, release=release)
    for group in node.configuration.groups:
        notify_scripts.notify(group.notifies, "GROUP", group.name, notify_scripts.STOP, 0, turn.out)
    return turn.close(stopped=True)
