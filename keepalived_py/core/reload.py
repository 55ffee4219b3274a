"""A reload: from one configuration to the next without a blink.

Who goes on is decided by `model.diff`.  Every setting of an instance that goes
on is applied in place: its role, its adverts' rhythm and its timer stay; the
timer of a BACKUP moves by the difference in master_down_interval.  One that is
elected in another way, or under another lease, becomes BACKUP.  An instance
that nothing changed for makes no effect at all (keepalived sends one advert
just before and one right after).  An instance that is gone resigns; a new one
begins as at start.  Tracked objects that are still there keep their verdicts.

What is done to the kernel does not follow from the single instances but from
the sum: what all holders held before and hold after (`core.holder.moving`).
An address that moves from one MASTER to another is not touched.  An address
owner that begins counts as its holder already: it is MASTER a microsecond
later.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName
from keepalived_py.core import opening
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.ledger import Undertaking
from keepalived_py.core.holder.moving import Holding, moves, of_master, of_statics
from keepalived_py.core.holder.things import STATIC, Thing, adding, bare, slot, thing_of
from keepalived_py.core.notify import scripts as notify_scripts
from keepalived_py.core.roster import NOBODY, Draft
from keepalived_py.core.track import health, objects
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.world import Node, Step, shape_of
from keepalived_py.model.config import Configuration, Instance, Notifies, VirtualAddress
from keepalived_py.model.diff import Difference, diff
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    Role,
    RoleChanged,
    RunNotify,
    SendAdvert,
    UnblockAddresses,
    WriteFifo,
    WriteLog,
)
from keepalived_py.model.events import InterfaceAddress

RELOAD = Why("reload", "the configuration was replaced")

Heirs = dict[InstanceName, InstanceName]


def replaced(node: Node, configuration: Configuration, now: Micros) -> Step:
    """From now on `configuration` holds."""
    turn = Turn(node, now)
    if configuration == node.configuration:
        # Values that are the same are mostly the same objects, so this is seen at a glance.
        turn.configuration = configuration
        _report_all(turn, node.group_roles)
        return turn.close()
    before = [of_master(state.settings) for state in node.instances.values() if state.role is Role.MASTER]
    before.append(of_statics(node.configuration))
    difference = diff(node.configuration, configuration)
    heirs: Heirs = {kept.old.name: kept.new.name for kept in difference.kept}
    turn.configuration, turn.shape = configuration, shape_of(configuration)
    turn.instances = Draft(NOBODY)
    _sort_addresses(turn)
    for settings in difference.gone:
        _remove(turn, node.instances[settings.name])
    _place_all(turn, node, difference)
    names = {group.name for group in configuration.groups}
    turn.group_roles = {name: role for name, role in turn.group_roles.items() if name in names}
    _leave_other_leases(turn, node)
    turn.objects = objects.replaced(turn.objects, configuration, turn.shape.tracks, now, turn.out)
    _first_roles(turn, difference)
    _report_all(turn, node.group_roles)
    _settle_kernel(turn, before, heirs, difference.come)
    _note_leaving(turn, node)
    return turn.close()


def _sort_addresses(turn: Turn) -> None:
    """Which addresses are virtual may be another question now."""
    known, there = opening.sorted_out(turn.interfaces, turn.shape)
    present = set(there)
    for place in turn.present:
        if place.address in turn.shape.virtual:
            present.add(place)
        elif (facts := known.get(place.interface)) is not None:
            found = InterfaceAddress(place.address, place.prefix_length)
            if all(each.address != place.address for each in facts.addresses):
                known[place.interface] = replace(facts, addresses=(*facts.addresses, found))
    turn.interfaces, turn.present = known, frozenset(present)


def _remove(turn: Turn, state: InstanceState) -> None:
    """Scripts are told DELETED if they want to know, else FAULT unless it was that already."""
    wants = state.settings.notifies.report_deleted
    word = notify_scripts.DELETED if wants else Role.FAULT.name
    at = len(turn.out)
    machine.stop(state, turn.out, release=True, word=word)
    if state.role is Role.FAULT and not wants:
        turn.out[at:] = [each for each in turn.out[at:] if not isinstance(each, RunNotify | WriteFifo)]


def _place_all(turn: Turn, node: Node, difference: Difference) -> None:
    """All instances of the new configuration, in its order."""
    states = {kept.new.name: node.instances[kept.old.name] for kept in difference.kept}
    for settings in turn.configuration.instances:
        state = states.get(settings.name)
        if state is None:
            turn.instances[settings.name] = opening.fresh(settings)
            turn.roles_before[settings.name] = Role.INIT
        else:
            turn.instances[settings.name] = _adapt(turn, state, settings)
            turn.roles_before[settings.name] = state.role


def _adapt(turn: Turn, state: InstanceState, settings: Instance) -> InstanceState:
    """The running instance with its new settings; a shorter interval counts from now on."""
    now = turn.now
    if state.settings.election is not settings.election:
        return machine.with_election(state, settings, now, turn.out)
    if state.settings == settings:
        return state
    state = machine.with_settings(state, settings)
    if state.role is not Role.MASTER:
        return state
    due = holding.adjusted(settings, state.announcements, now)
    deadline = state.deadline
    if deadline is not None:
        deadline = Micros(min(deadline, now + settings.advert_interval_us))
    return state._replace(announcements=due, deadline=deadline)


def _leave_other_leases(turn: Turn, node: Node) -> None:
    """A MASTER whose lease is another one now, or about more than before, gives way.

    What comes to a lease may be held elsewhere, by a member that has not reloaded: it has to be
    promised first.
    """
    grown = {lease for name, lease in turn.shape.lease_of.items() if node.shape.lease_of.get(name) != lease}
    for name, lease in turn.shape.lease_of.items():
        before = node.shape.lease_of.get(name)
        if turn.is_master(name) and lease in grown:
            evidence = f"it belongs to the lease {lease} now, not {before}"
            if before == lease:
                evidence = f"the lease {lease} is about more instances now"
            why = RELOAD._replace(evidence=evidence)
            state = turn.instances[name]
            turn.instances[name] = machine.become_backup(state, turn.now, why, turn.out)


def _note_leaving(turn: Turn, node: Node) -> None:
    """A lease that was held counts as given back only when all that this reload takes out has gone."""
    takers = {
        effect.instance for effect in turn.out if isinstance(effect, DeleteAddress | DeleteRoute | DeleteRule)
    }
    for lease in node.shape.leases:
        if any(node.instances[name].role is Role.MASTER for name in lease.instances):
            names = turn.leaving.get(lease.name, frozenset()).union(lease.instances, takers)
            turn.leaving = {**turn.leaving, lease.name: names}


def _first_roles(turn: Turn, difference: Difference) -> None:
    """Faults first, so that groups settle on facts; a running instance does not wait for first results."""
    kept = [each.new.name for each in difference.kept]
    causes: dict[InstanceName, tuple[health.Fault, ...]] = {name: turn.assess(name) for name in kept}
    for name in kept:
        state = turn.instances[name]
        if state.faults and state.role is not Role.FAULT:
            turn.fall(name, causes[name], RELOAD)
    quiet = turn.quiet_until
    delay = Micros(max(quiet - turn.now, 0)) if quiet is not None else Micros(0)
    opening.begin(turn, difference.come, delay)
    for name in kept:
        turn.recover(name, RELOAD)
    turn.settle(RELOAD)
    for name in kept:
        state = turn.instances[name]
        if state.group_fault and name not in turn.shape.group_of:
            turn.instances[name] = state._replace(group_fault=False)


def _report_all(turn: Turn, known: Mapping[GroupName, Role]) -> None:
    """`fifo_write_vrrp_states_on_reload`: the pipes are told every state again, that was not told just now.

    `known`: the roles of groups before.
    """
    if not turn.configuration.globals.fifo_write_states_on_reload:
        return
    for group, role in turn.group_roles.items():
        if known.get(group) is role:
            notify_scripts.notify(Notifies(), "GROUP", group, role.name, 0, turn.out)
    for name, state in turn.instances.items():
        if turn.role_before(name) is state.role:
            priority = state.effective_priority
            notify_scripts.notify(Notifies(), "INSTANCE", name, state.role.name, priority, turn.out)


# -- the kernel -----------------------------------------------------------------


def _settle_kernel(turn: Turn, before: list[Holding], heirs: Heirs, come: tuple[Instance, ...]) -> None:
    """Put the kernel's part, worked out for all holders together, in the place of the single ones."""
    after = [of_master(state.settings) for state in turn.instances.values() if _holds_now(turn, state)]
    after.append(of_statics(turn.configuration))
    moved = moves(before, after, heirs)
    told, done = _parted(turn.out)
    kernel: list[Effect] = list(_leftovers(turn, (*before, *after), come))
    kernel += moved.effects
    turn.out = told
    _log_moves(turn, moved.effects)
    turn.out += kernel
    for name, addresses in moved.added.items():
        if name != STATIC and turn.role_before(name) is Role.MASTER and turn.is_master(name):
            _announce_added(turn, name, addresses)
    turn.out += done
    _carry_ledger(turn, after, heirs)


def _holds_now(turn: Turn, state: InstanceState) -> bool:
    """A MASTER, or an address owner that begins at once (not after a startup delay)."""
    begins = state.role is Role.INIT and state.deadline is not None and turn.quiet_until is None
    return state.role is Role.MASTER or begins


def _parted(effects: list[Effect]) -> tuple[list[Effect], list[Effect]]:
    """What comes before the kernel's part, and what after it, in their order."""
    told: list[Effect] = []
    done: list[Effect] = []
    for effect in effects:
        if isinstance(effect, SendAdvert | WriteLog | RoleChanged):
            told.append(effect)
        elif not isinstance(effect, _KERNEL):
            done.append(effect)
    return told, done


_KERNEL = (
    AddAddress,
    DeleteAddress,
    AddRoute,
    DeleteRoute,
    AddRule,
    DeleteRule,
    BlockAddresses,
    UnblockAddresses,
)


def _leftovers(turn: Turn, holdings: Iterable[Holding], come: tuple[Instance, ...]) -> list[Effect]:
    """Addresses of new instances that are there already and that nobody held or holds."""
    if not come:
        return []
    held = {slot(virtual) for each in holdings for virtual in each.addresses}
    return [
        DeleteAddress(settings.name, virtual)
        for settings in come
        for virtual in opening.leftovers(turn, settings)
        if slot(virtual) not in held
    ]


def _log_moves(turn: Turn, effects: tuple[Effect, ...]) -> None:
    """keepalived's line for each address of a running instance that is no longer configured."""
    for effect in effects:
        if isinstance(effect, DeleteAddress) and turn.is_master(effect.instance):
            turn.out.append(WriteLog(f"({effect.instance}) ip address {effect.address}, no longer exist"))


def _announce_added(turn: Turn, name: InstanceName, added: tuple[VirtualAddress, ...]) -> None:
    state = turn.instances[name]
    settings = state.settings
    holding.burst(settings, added, settings.garp.repeat, turn.out)
    if settings.garp.delay_us:
        again = Micros(turn.now + settings.garp.delay_us)
        due = state.announcements._replace(second_at=again)
        turn.instances[name] = state._replace(announcements=due)


def _carry_ledger(turn: Turn, after: list[Holding], heirs: Heirs) -> None:
    """What the kernel refused is still to be asked for, by whoever wants it now."""
    ailing = tuple(turn.books.ailing.values())
    turn.books.rename(heirs)
    if not ailing:
        return
    turn.books.forget_all()
    owners: dict[Thing, InstanceName] = {
        bare(thing): held.owner
        for held in reversed(after)
        for things in (held.addresses, held.routes, held.rules)
        for thing in things
    }
    for each in ailing:
        for undertaking in _inherited(each.undertaking, owners, heirs):
            turn.books.note(each._replace(undertaking=undertaking))


def _inherited(change: Undertaking, owners: dict[Thing, InstanceName], heirs: Heirs) -> Iterator[Undertaking]:
    """Who has to do it now.  The firewall goes by names: those who asked it go on asking under theirs."""
    if isinstance(change, AddAddress | AddRoute | AddRule):
        owner = owners.get(bare(thing_of(change)))
        if owner is not None:
            yield adding(owner, thing_of(change))
    elif isinstance(change, CreateDevice):
        owner = heirs.get(change.instance)
        if owner is not None:
            yield replace(change, instance=owner)
    else:
        yield change
