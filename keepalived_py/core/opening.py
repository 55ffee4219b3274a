"""How a node begins and ends.

Begin: what an earlier life left behind (static things, then what instances
hold) is taken out, static things are put in, every check is run, and each
instance takes its first role.  An address owner that starts as MASTER is due
at once; an instance whose checks have no result yet waits in INIT without a
word; all others begin as BACKUP (or FAULT).  At start the scripts of a sync
group run before those of its members.

`vrrp_startup_delay`: adverts are ignored during the delay and the timers
begin after it.

An instance that a quorum elects begins as BACKUP like the others, and waits for
no timer.

End: every MASTER resigns and takes out what it holds; static things go last
(also with `--dont-release-vrrp`, as in keepalived).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.things import STATIC, Place, adding, deleting, place_of
from keepalived_py.core.leases import is_leased
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.roster import NOBODY
from keepalived_py.core.track import health, objects
from keepalived_py.core.turn import Turn
from keepalived_py.core.upkeep import statics
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.priority import effective_priority
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.vrrp.timing import OWNER, master_down_interval
from keepalived_py.core.world import Node, Shape, Step, shape_of
from keepalived_py.model.config import Configuration, InitialState, Instance, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    Role,
    WriteLog,
)
from keepalived_py.model.events import InterfaceFacts

AT_ONCE = Micros(1)
START = Why("start", "the program starts")


def start(
    configuration: Configuration,
    interfaces: Mapping[InterfaceName, InterfaceFacts],
    now: Micros,
    found: Iterable[objects.Reading] = (),
) -> Step:
    """The first state of a node."""
    shape = shape_of(configuration)
    known, present = sorted_out(interfaces, shape)
    node = Node(configuration, shape, NOBODY, known, objects.NOTHING_TRACKED, {}, present)
    turn = Turn(node, now)
    for virtual in configuration.static_addresses:
        if _is_there(turn, virtual):
            turn.out.append(DeleteAddress(STATIC, virtual))
    turn.out.extend(deleting(STATIC, route) for route in configuration.static_routes)
    turn.out.extend(deleting(STATIC, rule) for rule in configuration.static_rules)
    delay = configuration.globals.startup_delay_us
    if delay:
        turn.out.append(WriteLog(f"Delaying startup for {as_seconds(delay):g} seconds"))
        turn.quiet_until = Micros(now + delay)
    _log_addresses(turn)
    for settings in configuration.instances:
        clear_leftovers(turn, settings)
    turn.out.extend(adding(STATIC, thing) for thing in statics(turn))
    turn.objects = objects.begin(configuration, shape.tracks, now, turn.out, found)
    begin(turn, configuration.instances, delay)
    return turn.close()


def sorted_out(
    interfaces: Mapping[InterfaceName, InterfaceFacts], shape: Shape
) -> tuple[dict[InterfaceName, InterfaceFacts], frozenset[Place]]:
    """The interfaces with their own addresses only, and where virtual ones are."""
    known, present = {}, set()
    for name, facts in interfaces.items():
        own = []
        for each in facts.addresses:
            virtual = each.address in shape.virtual
            if virtual:
                present.add(Place(name, each.address, each.prefix_length))
            if not virtual or each.address in shape.sources:
                own.append(each)
        known[name] = facts if len(own) == len(facts.addresses) else replace(facts, addresses=tuple(own))
    return known, frozenset(present)


def begin(turn: Turn, instances: tuple[Instance, ...], delay: Micros) -> None:
    """The instances take their first roles."""
    names = [settings.name for settings in instances]
    for settings in instances:
        turn.instances[settings.name] = fresh(settings)
        turn.roles_before[settings.name] = Role.INIT
    causes = {name: turn.assess(name) for name in names}
    owners = frozenset(name for name in names if _owns(turn, name))
    at = len(turn.out)
    for name in names:
        _first_role(turn, name, causes[name], name in owners, delay)
    turn.settle(START)
    for group in turn.configuration.groups:
        # A group of address owners says nothing when it becomes MASTER at start.
        if group.members and all(name in owners for name in group.members):
            turn.group_roles = {**turn.group_roles, group.name: Role.MASTER}
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


def _is_there(turn: Turn, virtual: VirtualAddress) -> bool:
    if place_of(virtual) in turn.present:
        return True
    facts = turn.interfaces.get(virtual.interface)
    return facts is not None and any(known.address == virtual.address for known in facts.addresses)


def leftovers(turn: Turn, settings: Instance) -> list[VirtualAddress]:
    """The instance's addresses that are there already, whoever put them there.

    An address with another prefix length is one too; a deletion that finds nothing does no harm.
    """
    there = {(place.interface, place.address) for place in turn.present}
    return [
        virtual
        for virtual in holding.all_addresses(settings)
        if (virtual.interface, virtual.address) in there
    ]


def clear_leftovers(turn: Turn, settings: Instance) -> None:
    """Take out what the instance would hold."""
    name = settings.name
    holding.log_release(settings, turn.out)
    turn.out.extend(DeleteRule(name, rule) for rule in settings.rules)
    turn.out.extend(DeleteRoute(name, route) for route in settings.routes)
    turn.out.extend(DeleteAddress(name, virtual) for virtual in leftovers(turn, settings))


def _owns(turn: Turn, name: InstanceName) -> bool:
    """Whether the instance, and all of its sync group, are MASTER from the start."""
    states = [turn.instances[name], *turn.others(name)]
    return all(
        state.settings.base_priority == OWNER
        and not is_leased(state.settings)
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
    if not groups:
        return
    told: list[Effect] = []
    rest: list[Effect] = []
    for effect in turn.out[at:]:
        (told if getattr(effect, "owner", None) in groups else rest).append(effect)
    turn.out[at:] = told + rest


def stop(node: Node, release: bool, now: Micros) -> Step:
    """Every master resigns and takes out what it holds; all scripts are told STOP; static things go last."""
    turn = Turn(node, now)
    for name, state in node.instances.items():
        if not release and state.role is Role.MASTER and is_leased(state.settings):
            # It stays in the kernel: who asks must never hear that the lease has been given back.
            for virtual in holding.all_addresses(state.settings):
                turn.books.expect_answer(AddAddress(name, virtual))
        turn.instances[name] = machine.stop(state, turn.out, release=release)
    for group in node.configuration.groups:
        notify_scripts.notify(group.notifies, "GROUP", group.name, notify_scripts.STOP, 0, turn.out)
    configuration = node.configuration
    turn.out.extend(deleting(STATIC, rule) for rule in configuration.static_rules)
    turn.out.extend(deleting(STATIC, route) for route in configuration.static_routes)
    turn.out.extend(deleting(STATIC, virtual) for virtual in configuration.static_addresses)
    return turn.close(stopped=True)
