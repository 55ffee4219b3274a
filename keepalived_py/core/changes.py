"""What each event but reload, start and stop means for the node."""

from collections.abc import Sequence
from typing import assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core import upkeep
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.ledger import Books
from keepalived_py.core.holder.things import STATIC, Place, adding, place_of, reported_place
from keepalived_py.core.track import interface as links
from keepalived_py.core.track import objects
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine, sync
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.vrrp.timing import master_down_interval
from keepalived_py.core.world import Node, Step
from keepalived_py.model import events as ev
from keepalived_py.model.effects import (
    CreateDevice,
    DeleteAddress,
    Done,
    Effect,
    EndProgram,
    Failed,
    Role,
    TimedOut,
    WriteLog,
)
from keepalived_py.model.network import Route, Rule
from keepalived_py.model.packet import Advert

Told = ev.EffectDone | ev.AddressAdded


def tick(node: Node, now: Micros) -> Step:
    """Everything that is due, the longest overdue first."""
    turn = Turn(node, now)
    if turn.quiet_until is not None and turn.quiet_until <= now:
        turn.out.append(WriteLog("Delayed start completed"))
        turn.quiet_until = None
    for _, name in node.instances.overdue(now):
        _instance_due(turn, name)
    if node.ledger.due is not None and node.ledger.due <= now:
        upkeep.retry(turn)
    before = turn.objects
    turn.objects = objects.on_tick(before, now, turn.out)
    turn.watch(before, Why("a tracked object changed", "its delay is over"))
    return turn.close()


def _instance_due(turn: Turn, name: InstanceName) -> None:
    state = turn.instances[name]
    now = turn.now
    if state.role is Role.BACKUP and turn.quiet_until is not None:
        # Nothing could be heard yet (a fault ended during the delay): silence says nothing.
        wait = master_down_interval(state.settings, state.effective_priority, state.learned_interval)
        turn.instances[name] = state._replace(deadline=Micros(turn.quiet_until + wait))
        return
    if state.deadline is not None and state.deadline <= now:
        new = machine.on_deadline(state, now, turn.group_ready(name), turn.out)
        turn.instances[name] = new
        if new.role is not state.role:
            turn.settle(Why(f"a member became {new.role.name}", f"{name}: its timer ran out"))
    state = turn.instances[name]
    if state.role is Role.MASTER:
        due = holding.announce_due(state.settings, state.announcements, now, turn.out)
        turn.instances[name] = state._replace(announcements=due)


def advert_in_group(node: Node, new: InstanceState, now: Micros, out: list[Effect]) -> Step:
    """An advert moved a member of a sync group, or made it announce again: the others follow."""
    turn = Turn(node, now)
    turn.out = out
    name = new.settings.name
    turn.instances[name] = new
    if new.role is Role.MASTER:
        for other in turn.others(name):
            if other.role is Role.MASTER:
                due = holding.announce_against_lower_priority(other.settings, other.announcements, now, out)
                turn.instances[other.settings.name] = other._replace(announcements=due)
    else:
        turn.settle(Why("a better master was heard", f"by {name}"))
    return turn.close()


def ends_a_claim(node: Node, old: InstanceState, new: InstanceState, advert: Advert) -> bool:
    """Whether a member that a reload has put beside MASTERs is the BACKUP of another router."""
    accepted = new.master == advert.source and new.deadline != old.deadline
    if new.role is not Role.BACKUP or advert.priority == 0 or not accepted:
        return False
    group = node.shape.group_of[new.settings.name]
    if node.group_roles.get(group.name) is Role.BACKUP:
        return False
    return any(
        other in node.instances and node.instances[other].role is Role.MASTER for other in group.members
    )


def claim_ended(node: Node, new: InstanceState, now: Micros, out: list[Effect]) -> Step:
    """The MASTERs beside such a member give way, as a group has one role."""
    turn = Turn(node, now)
    turn.out = out
    name = new.settings.name
    turn.instances[name] = new
    masters = [other for other in turn.others(name) if other.role is Role.MASTER]
    why = Why("a better master was heard", f"by {name}")
    sync.log_syncing(turn.shape.group_of[name], Role.BACKUP, True, out)
    for other in masters:
        turn.instances[other.settings.name] = sync.follow(other, Role.BACKUP, now, why, out)
    turn.settle(why)
    return turn.close()


def paused(node: Node, event: ev.Paused, now: Micros) -> Step:
    """This process did not run for a while: every instance decides what that means for it."""
    turn = Turn(node, now)
    for name in sorted(node.instances):
        state = turn.instances[name]
        new = machine.on_paused(state, event.duration_us, now, turn.out)
        if new is not state:
            turn.instances[name] = new
    turn.settle(Why("this process was paused", f"for {event.duration_us} us"))
    return turn.close()


# -- interfaces -----------------------------------------------------------------


def link(node: Node, event: ev.LinkChanged, now: Micros) -> Step:
    """An interface came, went, or changed its state."""
    turn = Turn(node, now)
    name = event.facts.name
    concerned = name in node.shape.links
    old = node.interfaces.get(name)
    new = links.link_changed(old, event.facts, turn.out if concerned else [])
    if new == old:
        return Step(node, ())
    turn.set_interface(new)
    if not new.index:
        turn.present = frozenset(place for place in turn.present if place.interface != name)
        _recreate(turn, event)
    up = links.is_up(turn.interfaces, name)
    came_up = up and not links.is_up(node.interfaces, name)
    if concerned:
        state = "up" if up else "down"
        turn.reassess(node.shape.dependants[name], Why(f"interface {name} is {state}", "link event"))
    if came_up:
        upkeep.come_back(turn, name)
        upkeep.hasten(turn, name)
    if new.index and not (old is not None and old.index):
        _base_is_back(turn, event)
    elif new.index and old is not None and new.mac != old.mac:
        _announce_anew(turn, name)
    return turn.close()


def _announce_anew(turn: Turn, name: InterfaceName) -> None:
    """The interface has another hardware address, and the neighbours know the old one.

    keepalived leaves it at that: the addresses are dead until the neighbours ask again.
    """
    for state in turn.instances.values():
        if state.role is Role.MASTER:
            held = holding.all_addresses(state.settings)
            here = tuple(virtual for virtual in held if virtual.interface == name)
            holding.burst(state.settings, here, state.settings.garp.repeat, turn.out)


def _recreate(turn: Turn, event: ev.LinkChanged) -> None:
    """A virtual MAC device of ours was deleted: make it again, if what it lies on is still there."""
    device = turn.shape.devices.get(event.facts.name)
    if device is not None and _exists(turn, device.base):
        turn.out.append(CreateDevice(device.instance, device))


def _base_is_back(turn: Turn, event: ev.LinkChanged) -> None:
    """An interface exists anew: the devices that lay on it went with it."""
    for device in turn.shape.devices.values():
        if device.base == event.facts.name and not _exists(turn, device.name):
            turn.out.append(CreateDevice(device.instance, device))


def _exists(turn: Turn, name: InterfaceName) -> bool:
    facts = turn.interfaces.get(name)
    return facts is not None and facts.index != 0


# -- addresses, routes, rules ---------------------------------------------------


def told(node: Node, events: Sequence[Told], now: Micros) -> Step:
    """Outcomes of what was asked of the kernel, and addresses that are on interfaces now, in order."""
    ledger = node.ledger
    expecting = ledger.additions or ledger.ailing or ledger.under_way
    if not expecting and not any(map(_says_something, events)):
        return Step(node, ())
    turn = Turn(node, now)
    added = [event for event in events if isinstance(event, ev.AddressAdded)]
    virtual = node.shape.virtual
    turn.present |= {
        reported_place(event.interface, event.address) for event in added if event.address.address in virtual
    }
    for event in events:
        match event:
            case ev.AddressAdded():
                _address_added(turn, event)
            case ev.EffectDone():
                _effect_done(turn, event)
            case _:
                assert_never(event)
    if added:
        upkeep.hasten(turn, None)
    return turn.close()


def answers(node: Node, events: Sequence[ev.Event]) -> Step:
    """The node has stopped: only what it is still waiting for is ticked off."""
    if not node.ledger.under_way:
        return Step(node, ())
    books = Books(node.ledger)
    for event in events:
        if isinstance(event, ev.EffectDone):
            books.tick_off_answer(event.effect)
    return Step(node._replace(ledger=books.close()), ())


def _says_something(event: Told) -> bool:
    """Whether it has to be looked at though nothing is under way and nothing is in trouble."""
    if isinstance(event, ev.AddressAdded):
        return True
    deleted = isinstance(event.effect, DeleteAddress) and not isinstance(event.outcome, Done)
    return deleted or isinstance(event.outcome, Failed | TimedOut)


def _address_added(turn: Turn, event: ev.AddressAdded) -> None:
    name, address = event.interface, event.address
    virtual = address.address in turn.shape.virtual
    if virtual and address.address not in turn.shape.sources:
        upkeep.intruded(turn, name, address)
        return
    facts = turn.interfaces.get(name)
    if facts is not None:
        turn.set_interface(links.with_address(facts, address))
    if name in turn.shape.links:
        if not virtual:
            text = f"Assigned address {address.address} for interface {name}"
            turn.out.append(WriteLog(text, detail=True))
        why = Why("an address was assigned", f"{address.address} on {name}")
        turn.reassess(turn.shape.dependants[name], why)


def _effect_done(turn: Turn, event: ev.EffectDone) -> None:
    """An undertaking has an outcome; a deletion that did not happen will not be reported either."""
    effect, outcome = event.effect, event.outcome
    turn.books.tick_off_answer(effect)
    if isinstance(effect, DeleteAddress) and not isinstance(outcome, Done):
        turn.books.tick_off_removal(place_of(effect.address))
    upkeep.answered(turn, effect, outcome)


def address_removed(node: Node, event: ev.AddressRemoved, now: Micros) -> Step:
    """An address is gone: by us, or behind our back."""
    name, address = event.interface, event.address
    turn = Turn(node, now)
    place = reported_place(name, address)
    virtual = address.address in node.shape.virtual
    if place in turn.present:
        turn.present -= {place}
    if not virtual or address.address in node.shape.sources:
        facts = turn.interfaces.get(name)
        if facts is not None:
            turn.set_interface(links.without_address(facts, address))
    _account_for(turn, place)
    if (not virtual or address.address in node.shape.sources) and name in node.shape.links:
        if not virtual:
            text = f"Deassigned address {address.address} from interface {name}"
            turn.out.append(WriteLog(text, detail=True))
        why = Why("an address was deassigned", f"{address.address} from {name}")
        turn.reassess(node.shape.dependants[name], why)
    return turn.close()


def _account_for(turn: Turn, place: Place) -> None:
    """Whose deletion was it, and does anybody want the address?"""
    ours = turn.books.tick_off_removal(place)
    for owner, virtual in turn.shape.holders.get((place.interface, place.address), ()):
        if place_of(virtual) != place or not upkeep.holds(turn, owner, virtual):
            continue
        if ours:
            if place not in turn.books.additions:
                turn.out.append(adding(owner, virtual))
        elif virtual.tracked and _there(turn, place):
            text = f"Netlink reflector reports IP {place.address} removed from {place.interface}"
            turn.out.append(WriteLog(text, detail=True))
            upkeep.lost(turn, owner, virtual)


def _there(turn: Turn, place: Place) -> bool:
    """Addresses of an interface that vanished are no loss: its instances are at fault."""
    return _exists(turn, place.interface)


def route_lost(node: Node, event: ev.RouteLost, now: Micros) -> Step:
    """Somebody took a route of ours away."""
    turn = Turn(node, now)
    _lost_by_all(turn, event.route)
    return turn.close()


def rule_lost(node: Node, event: ev.RuleLost, now: Micros) -> Step:
    """Somebody took a rule of ours away."""
    turn = Turn(node, now)
    _lost_by_all(turn, event.rule)
    return turn.close()


def _lost_by_all(turn: Turn, thing: Route | Rule) -> None:
    if thing.tracked:
        for owner in (STATIC, *turn.instances):
            if upkeep.holds(turn, owner, thing):
                upkeep.lost(turn, owner, thing)


# -- tracked objects ------------------------------------------------------------


def tracked(node: Node, event: objects.ObjectEvent, now: Micros) -> Step:
    """A check ended, a file or the number of processes changed, a BFD session came or went."""
    out: list[Effect] = []
    new = objects.on_event(node.objects, event, now, out)
    turn = Turn(node, now)
    turn.out = out
    turn.objects = new
    turn.watch(node.objects, _why(event, new))
    if isinstance(event, ev.ScriptFinished):
        _perhaps_end(turn, node, event)
    return turn.close()


def _perhaps_end(turn: Turn, node: Node, event: ev.ScriptFinished) -> None:
    """A check without which a MASTER is to end has failed; what it held is on its way out by now."""
    before, after = node.objects.scripts.get(event.name), turn.objects.scripts.get(event.name)
    if before is None or after is None or not after.check.ends_program:
        return
    if after.good is not False or before.good is False:
        return
    for name, tracks in node.shape.tracks.items():
        tracked = any(each.name == event.name for each in tracks.scripts)
        if tracked and node.instances[name].role is Role.MASTER:
            turn.out.append(EndProgram(f"check {event.name} failed while {name} was MASTER"))
            return


def _found(event: ev.ScriptFinished) -> str:
    return event.text or f"status {event.status}, signal {event.signal}"


def _why(event: objects.ObjectEvent, found: objects.Objects) -> Why:
    match event:
        case ev.ScriptFinished():
            run = found.scripts.get(event.name)
            verdict = "succeeded" if run is not None and run.good else "failed"
            return Why(f"check {event.name} {verdict}", _found(event))
        case ev.FileRead():
            return Why(f"tracked file {event.name} changed", f"it reads {event.value}")
        case ev.ProcessesCounted():
            return Why(f"the number of processes {event.name} changed", f"{event.count} run")
        case ev.BfdChanged():
            return Why(f"BFD session {event.name} is {'up' if event.up else 'down'}", "BFD event")
        case _:
            assert_never(event)
