"""One node's whole decision as a fold: state and event in, state and effects out.

`start` makes the first state, `step` the next ones.  `next_deadline` says
when a `Tick` is due at the latest; a `Tick` that comes early does nothing.
`now` never goes back from one call to the next.  Configurations that are
handed in have been planned (`core.holder.devices.plan`): their instances name
the devices that they live on.

Adverts are by far the most frequent events, so one that changes no role takes
a short way that copies nothing but the instance's own state and the shard it
stands in: its cost does not grow with the number of instances.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core import changes, leasing, opening, reload
from keepalived_py.core.track import objects
from keepalived_py.core.turn import Turn
from keepalived_py.core.vrrp import machine
from keepalived_py.core.vrrp.state import Counters, InstanceState
from keepalived_py.core.world import Node, Step
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.packet import Advert

__all__ = ["Counters", "InstanceState", "Node", "Step", "next_deadline", "start", "step", "tell"]


def start(
    configuration: Configuration,
    interfaces: Mapping[InterfaceName, ev.InterfaceFacts],
    now: Micros,
    found: Iterable[objects.Reading] = (),
) -> Step:
    """The node begins with the `interfaces` of the machine, and what was `found` of files and processes."""
    return opening.start(configuration, interfaces, now, found)


def next_deadline(node: Node) -> Micros | None:
    """When the node wants a `Tick`; None: never."""
    if node.stopped:
        return None
    due = node.instances.next_deadline
    for other in (node.quiet_until, objects.next_deadline(node.objects), node.ledger.due):
        if other is not None and (due is None or other < due):
            due = other
    return due


def step(node: Node, event: ev.Event, now: Micros) -> Step:
    """What `event` makes of the node; one that has stopped still counts the kernel's answers."""
    if node.stopped:
        return changes.answers(node, (event,))
    match event:
        case ev.AdvertReceived():
            return _advert(node, event, now)
        case ev.Tick():
            return changes.tick(node, now)
        case ev.EffectDone() | ev.AddressAdded():
            return changes.told(node, (event,), now)
        case ev.PacketUndecodable():
            return Step(node._replace(undecodable=node.undecodable + 1), ())
        case ev.LinkChanged():
            return changes.link(node, event, now)
        case ev.AddressRemoved():
            return changes.address_removed(node, event, now)
        case ev.RouteLost():
            return changes.route_lost(node, event, now)
        case ev.RuleLost():
            return changes.rule_lost(node, event, now)
        case ev.ScriptFinished() | ev.FileRead() | ev.ProcessesCounted() | ev.BfdChanged():
            return changes.tracked(node, event, now)
        case ev.Paused():
            return changes.paused(node, event, now)
        case ev.LeaseGranted():
            return leasing.granted(node, event, now)
        case ev.LeaseLost():
            return leasing.lost(node, event, now)
        case ev.SettingsReplaced():
            return reload.replaced(node, event.configuration, now)
        case ev.StopRequested():
            return opening.stop(node, event.release, now)
        case _:
            assert_never(event)


def tell(node: Node, events: Sequence[changes.Told], now: Micros) -> Step:
    """What several such events make of the node, one after the other, in one step."""
    return changes.answers(node, events) if node.stopped else changes.told(node, events, now)


def _advert(node: Node, event: ev.AdvertReceived, now: Micros) -> Step:
    if node.quiet_until is not None:
        return Step(node, ())
    advert = event.advert
    names = node.shape.by_vrid.get((event.interface, advert.source.version, advert.vrid), ())
    name = names[0] if len(names) == 1 else _addressee(node, names, advert)
    if name is None:
        return _unknown(node, event)
    instances = node.instances
    old = instances[name]
    out: list[Effect] = []
    new = machine.on_advert(old, advert, Micros(now - event.age_us), out, event.wall_clock_s)
    if new is old:
        return Step(node, tuple(out))
    if new.role is old.role:
        if name in node.shape.group_of:
            if new.worse_heard != old.worse_heard:
                return changes.advert_in_group(node, new, now, out)
            if changes.ends_a_claim(node, old, new, advert):
                return changes.claim_ended(node, new, now, out)
        return Step(node._replace(instances=instances.with_one(name, new)), tuple(out))
    if name in node.shape.group_of:
        return changes.advert_in_group(node, new, now, out)
    turn = Turn(node, now)
    turn.instances[name] = new
    turn.out = out
    return turn.close()


def _addressee(node: Node, names: tuple[InstanceName, ...], advert: Advert) -> InstanceName | None:
    """Which of several instances with one VRID the advert is for.

    Multicast: the one with that group.  Unicast: the one that was addressed; of several with that
    address the one that has the sender as a peer.
    """
    addressed = [name for name in names if _is_addressed(node.instances[name], advert)]
    if len(addressed) < 2:
        return addressed[0] if addressed else None
    for name in addressed:
        peers = node.instances[name].settings.unicast_peers
        if any(peer.address == advert.source for peer in peers):
            return name
    return addressed[0]


def _is_addressed(state: InstanceState, advert: Advert) -> bool:
    settings = state.settings
    if settings.unicast:
        return advert.destination == (state.source or settings.source)
    return advert.destination == settings.destination


def _unknown(node: Node, event: ev.AdvertReceived) -> Step:
    out: tuple[Effect, ...] = ()
    if node.configuration.globals.log_unknown_vrids:
        text = f"Unknown VRID({event.advert.vrid}) received on interface({event.interface}). ignoring..."
        out = (WriteLog(text),)
    return Step(node._replace(unknown_vrid=node.unknown_vrid + 1), out)
