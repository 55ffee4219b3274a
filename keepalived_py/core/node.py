"""One node's whole decision as a fold: state and event in, state and effects out.

`start` makes the first state, `step` the next ones.  `next_deadline` says
when a `Tick` is due at the latest; a `Tick` that comes early does nothing.
`now` never goes back from one call to the next.

Adverts are by far the most frequent events, so one that changes no role takes
a short way that copies nothing but the instance's own state.
"""

from collections.abc import Mapping
from typing import assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.core import changes, opening, reload
from keepalived_py.core.holder.holding import SILENT
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.state import Counters, InstanceState, earliest
from keepalived_py.core.world import Node, Step
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect, Role, WriteLog
from keepalived_py.model.packet import Advert

__all__ = ["Counters", "InstanceState", "Node", "Step", "next_deadline", "start", "step"]


def start(
    configuration: Configuration, interfaces: Mapping[InterfaceName, ev.InterfaceFacts], now: Micros
) -> Step:
    """The node begins with what the machine has (`interfaces`)."""
    return opening.start(configuration, interfaces, now)


def next_deadline(node: Node) -> Micros | None:
    """When the node wants a `Tick`; None: never."""
    if node.stopped:
        return None
    due = node.quiet_until
    for state in node.instances.values():
        at = state.deadline if state.announcements is SILENT else earliest(state)
        if at is not None and (due is None or at < due):
            due = at
    for script in node.scripts.values():
        if due is None or script.next_at < due:
            due = script.next_at
    return due


def step(node: Node, event: ev.Event, now: Micros) -> Step:
    """What `event` makes of the node."""
    if node.stopped:
        return Step(node, ())
    match event:
        case ev.AdvertReceived():
            return _advert(node, event, now)
        case ev.Tick():
            return changes.tick(node, now)
        case ev.PacketUndecodable():
            return Step(node._replace(undecodable=node.undecodable + 1), ())
        case ev.LinkChanged():
            return changes.link(node, event, now)
        case ev.AddressAdded():
            return changes.address_added(node, event, now)
        case ev.AddressRemoved():
            return changes.address_removed(node, event, now)
        case ev.ScriptFinished():
            return changes.script(node, event, now)
        case ev.EffectDone():
            return changes.effect_done(node, event, now)
        case ev.SettingsReplaced():
            return reload.replaced(node, event.configuration, now)
        case ev.StopRequested():
            return opening.stop(node, event.release, now)
        case _:
            assert_never(event)


def _advert(node: Node, event: ev.AdvertReceived, now: Micros) -> Step:
    if node.quiet_until is not None:
        return Step(node, ())
    name = node.shape.by_vrid.get((event.interface, event.advert.vrid))
    if name is None:
        return _unknown(node, event)
    old = node.instances[name]
    out: list[Effect] = []
    new = machine.on_advert(old, event.advert, now, out)
    if new is old:
        return Step(node, ())
    if name in node.shape.group_of and (new.role is not old.role or _answered_worse(old, new, event.advert)):
        return changes.advert_in_group(node, new, now, out)
    if new.role is not old.role:
        turn = Turn(node, now)
        turn.instances[name] = new
        turn.out = out
        return turn.close()
    instances = dict(node.instances)
    instances[name] = new
    return Step(node._replace(instances=instances), tuple(out))


def _answered_worse(old: InstanceState, new: InstanceState, advert: Advert) -> bool:
    """Whether a MASTER announced its addresses again because of a worse one."""
    return (
        old.role is Role.MASTER
        and advert.priority > 0
        and new.counters.advert_sent > old.counters.advert_sent
    )


def _unknown(node: Node, event: ev.AdvertReceived) -> Step:
    out: tuple[Effect, ...] = ()
    if node.configuration.globals.log_unknown_vrids:
        text = f"Unknown VRID({event.advert.vrid}) received on interface({event.interface}). ignoring..."
        out = (WriteLog(text),)
    return Step(node._replace(unknown_vrid=node.unknown_vrid + 1), out)
