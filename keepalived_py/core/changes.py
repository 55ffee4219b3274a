"""What each event but reload, start and stop means for the node."""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.holder import holding
from keepalived_py.core.track import interface as links
from keepalived_py.core.track import script as checks
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine, timing
from keepalived_py.core.vrrp.state import InstanceState, Why, earliest
from keepalived_py.core.world import Node, Step
from keepalived_py.model import events as ev
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import DeleteAddress, Done, Effect, Role, WriteLog


def tick(node: Node, now: Micros) -> Step:
    """Everything that is due, the longest overdue first."""
    turn = Turn(node, now)
    quiet_until = node.quiet_until
    if quiet_until is not None and quiet_until <= now:
        turn.out.append(WriteLog("Delayed start completed"))
        quiet_until = None
    overdue = sorted(
        (due, name)
        for name, state in node.instances.items()
        if (due := earliest(state)) is not None and due <= now
    )
    for _, name in overdue:
        _instance_due(turn, name)
    for script_name, script_state in node.scripts.items():
        if script_state.next_at <= now:
            turn.launch_script(script_name)
    return turn.close(quiet_until=quiet_until)


def _instance_due(turn: Turn, name: InstanceName) -> None:
    state = turn.instances[name]
    now = turn.now
    if state.deadline is not None and state.deadline <= now:
        new = machine.on_deadline(state, now, turn.group_ready(name), turn.out)
        turn.instances[name] = new
        if new.role is not state.role:
            turn.settle(Why("a member became MASTER", f"{name}: no advert was heard in time"))
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
    return turn.close(quiet_until=node.quiet_until)


def link(node: Node, event: ev.LinkChanged, now: Micros) -> Step:
    """An interface came, went, or changed its state."""
    turn = Turn(node, now)
    name = event.facts.name
    out: list[Effect] = turn.out if name in node.shape.links else []
    turn.interfaces[name] = links.link_changed(node.interfaces.get(name), event.facts, out)
    state = "up" if links.is_up(turn.interfaces, name) else "down"
    turn.reassess(_affected(node, name), Why(f"interface {name} is {state}", "link event"))
    return turn.close(quiet_until=node.quiet_until)


def _affected(node: Node, interface: InterfaceName) -> list[InstanceName]:
    return [
        name
        for name, state in node.instances.items()
        if state.settings.interface == interface
        or any(link.name == interface for link in node.shape.tracks[name].interfaces)
    ]


def address_added(node: Node, event: ev.AddressAdded, now: Micros) -> Step:
    """An address is on an interface now."""
    turn = Turn(node, now)
    name, address = event.interface, event.address
    facts = turn.interfaces.get(name)
    if facts is not None:
        turn.interfaces[name] = links.with_address(facts, address)
    if address.address in node.shape.virtual:
        return turn.close(quiet_until=node.quiet_until)
    if name in node.shape.links:
        turn.out.append(WriteLog(f"Assigned address {address.address} for interface {name}", detail=True))
    turn.reassess(_affected(node, name), Why("an address was assigned", f"{address.address} on {name}"))
    return turn.close(quiet_until=node.quiet_until)


def address_removed(node: Node, event: ev.AddressRemoved, now: Micros) -> Step:
    """An address is gone: by us, or behind our back."""
    turn = Turn(node, now)
    name, address = event.interface, event.address
    facts = turn.interfaces.get(name)
    if facts is not None:
        turn.interfaces[name] = links.without_address(facts, address)
    if address.address in node.shape.virtual:
        if not turn.removal_was_ours(name, address.address):
            _lost(turn, event)
        return turn.close(quiet_until=node.quiet_until)
    if name in node.shape.links:
        turn.out.append(WriteLog(f"Deassigned address {address.address} from interface {name}", detail=True))
    turn.reassess(_affected(node, name), Why("an address was deassigned", f"{address.address} from {name}"))
    return turn.close(quiet_until=node.quiet_until)


def _lost(turn: Turn, event: ev.AddressRemoved) -> None:
    """Somebody took a virtual address off: its MASTER starts over, and comes back after skew_time."""
    for name, state in tuple(turn.instances.items()):
        if state.role is not Role.MASTER or not _holds(state, event):
            continue
        text = f"Netlink reflector reports IP {event.address.address} removed from {event.interface}"
        turn.out.append(WriteLog(text))
        why = Why(
            "a virtual address was removed by somebody else",
            f"{event.address.address} from {event.interface}",
        )
        wait = timing.skew_time(state.settings, state.effective_priority)
        turn.instances[name] = machine.become_backup(
            state, turn.now, why, turn.out, wait=wait, resigning=True
        )
        turn.settle(why)


def _holds(state: InstanceState, event: ev.AddressRemoved) -> bool:
    settings = state.settings
    return any(
        virtual.tracked and virtual.interface == event.interface and virtual.address == event.address.address
        for virtual in settings.addresses + settings.excluded_addresses
    )


def script(node: Node, event: ev.ScriptFinished, now: Micros) -> Step:
    """A check ended."""
    old = node.scripts.get(event.name)
    if old is None:
        return Step(node, ())
    out: list[Effect] = []
    new = checks.finished(old, event, out)
    if new.good is old.good:
        scripts = {**node.scripts, event.name: new}
        return Step(node._replace(scripts=scripts), tuple(out))
    turn = Turn(node, now)
    turn.out = out
    turn.scripts[event.name] = new
    tracking = [name for name in node.instances if _tracks_script(node, name, event)]
    verdict = "succeeded" if new.good else "failed"
    turn.reassess(
        tracking, Why(f"check {event.name} {verdict}", f"status {event.status}, signal {event.signal}")
    )
    return turn.close(quiet_until=node.quiet_until)


def _tracks_script(node: Node, name: InstanceName, event: ev.ScriptFinished) -> bool:
    return any(tracked.name == event.name for tracked in node.shape.tracks[name].scripts)


def effect_done(node: Node, event: ev.EffectDone, now: Micros) -> Step:
    """A deletion that did not happen will not be reported by the kernel either."""
    if not isinstance(event.effect, DeleteAddress) or isinstance(event.outcome, Done):
        return Step(node, ())
    address: VirtualAddress = event.effect.address
    turn = Turn(node, now)
    turn.removal_was_ours(address.interface, address.address)
    return turn.close(quiet_until=node.quiet_until)
