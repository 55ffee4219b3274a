"""From what is held before a reload to what is held after it, without taking off what stays.

Only the sum of all holders counts: an address that another instance holds
from now on is not touched at all.  What leaves is undone in the order of
leaving MASTER (rules, routes, addresses, firewall), what comes is done in the
order of becoming MASTER.  New addresses are put on before old ones come off,
so that an IPv4 address whose prefix length changes is there all the time.
Where the kernel has no room for both (an IPv6 address with another prefix
length; the same address with another label or scope) it is taken off and put
on within one request.

Routes go the other way round: the kernel finds the route to delete by a part
of its properties, and would take the new one for the old one.  It also drops
routes that need an address that comes off, without a word: the routes of an
instance that loses an address are put in again.

The firewall knows who closed an address, by name, and opens it when the last one
has taken that back: one that another instance holds from now on is closed for the
new holder before the old one gives it up, also when only the name is new.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.things import STATIC, Thing, adding, bare, deleting, slot
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.effects import AddAddress, BlockAddresses, Effect, UnblockAddresses
from keepalived_py.model.network import Route, Rule


class Holding(NamedTuple):
    """What one holder has in the kernel.  `blocked`: the addresses the firewall is closed for."""

    owner: InstanceName
    addresses: tuple[VirtualAddress, ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    blocked: tuple[VirtualAddress, ...] = ()


class Moves(NamedTuple):
    """What is to be done, and which addresses were put on for whom."""

    effects: tuple[Effect, ...]
    added: Mapping[InstanceName, tuple[VirtualAddress, ...]]


Owned = tuple[InstanceName, Thing]


def of_master(settings: Instance) -> Holding:
    """What the instance holds as MASTER."""
    addresses = holding.all_addresses(settings)
    blocked = addresses if holding.blocks(settings) else ()
    return Holding(settings.name, addresses, settings.routes, settings.rules, blocked)


def of_statics(configuration: Configuration) -> Holding:
    """What is there whoever is MASTER."""
    return Holding(
        STATIC, configuration.static_addresses, configuration.static_routes, configuration.static_rules
    )


def moves(
    before: Sequence[Holding], after: Sequence[Holding], heirs: Mapping[InstanceName, InstanceName]
) -> Moves:
    """The way from `before` to `after`; `heirs` are the new names of instances that go on."""
    had = _slots(before)
    want = _slots(after)
    coming = [want[place] for place in want if place not in had]
    leaving = _in_one_lane(
        [(heirs.get(owner, owner), thing) for place, (owner, thing) in had.items() if place not in want],
        coming,
    )
    replaced = [
        (want[place][0], had[place][1], want[place][1])
        for place in want
        if place in had and _differ(had[place][1], want[place][1])
    ]
    losers = {heirs.get(owner, owner) for place, (owner, _) in had.items() if place not in want}
    losers |= {owner for owner, _, _ in replaced}
    out: list[Effect] = []
    rules = _exchange(_owned(before, "rules"), _owned(after, "rules"), heirs)
    routes = _exchange(_owned(before, "routes"), _owned(after, "routes"), heirs)
    out += [deleting(owner, rule) for owner, rule in rules.leaving]
    out += [deleting(owner, route) for owner, route in routes.leaving]
    unblock, block = _firewall(before, after)
    out += block
    out += [adding(owner, virtual) for owner, virtual in coming]
    for owner, old, new in replaced:
        out += [deleting(owner, old), adding(owner, new)]
    out += [deleting(owner, virtual) for owner, virtual in leaving]
    out += unblock
    again = [(owner, route) for owner, route in routes.staying if owner in losers]
    out += [adding(owner, route) for owner, route in (*routes.coming, *again)]
    out += [adding(owner, rule) for owner, rule in rules.coming]
    return Moves(tuple(out), _added(out))


def _differ(old: Thing, new: Thing) -> bool:
    return old is not new and bare(old) != bare(new)


def _added(out: Iterable[Effect]) -> dict[InstanceName, tuple[VirtualAddress, ...]]:
    added: dict[InstanceName, tuple[VirtualAddress, ...]] = {}
    for effect in out:
        if isinstance(effect, AddAddress):
            added[effect.instance] = (*added.get(effect.instance, ()), effect.address)
    return added


def _slots(holdings: Iterable[Holding]) -> dict[Hashable, tuple[InstanceName, VirtualAddress]]:
    found: dict[Hashable, tuple[InstanceName, VirtualAddress]] = {}
    for held in holdings:
        for virtual in held.addresses:
            found.setdefault(slot(virtual), (held.owner, virtual))
    return found


def _owned(holdings: Iterable[Holding], kind: str) -> list[Owned]:
    return [(held.owner, thing) for held in holdings for thing in getattr(held, kind)]


def _likeness(thing: Thing) -> Hashable:
    """What the kernel might take for the same."""
    if isinstance(thing, VirtualAddress):
        return (thing.interface, thing.address)
    if isinstance(thing, Route):
        return (thing.destination, thing.table)
    return (thing.family, thing.priority)


def _in_one_lane(leaving: list[Owned], coming: Iterable[Owned]) -> list[Owned]:
    """`leaving`, each in the lane of what comes in its place: lanes do not wait for each other."""
    lanes = {_likeness(thing): owner for owner, thing in coming}
    return [(lanes.get(_likeness(thing), owner), thing) for owner, thing in leaving]


class _Exchange(NamedTuple):
    leaving: list[Owned]
    coming: list[Owned]
    staying: list[Owned]


def _exchange(had: list[Owned], want: list[Owned], heirs: Mapping[InstanceName, InstanceName]) -> _Exchange:
    old = {bare(thing) for _, thing in had}
    new = {bare(thing) for _, thing in want}
    leaving = [(heirs.get(owner, owner), thing) for owner, thing in had if bare(thing) not in new]
    coming = [(owner, thing) for owner, thing in want if bare(thing) not in old]
    return _Exchange(
        _in_one_lane(leaving, coming),
        coming,
        [(owner, thing) for owner, thing in want if bare(thing) in old],
    )


def _firewall(before: Sequence[Holding], after: Sequence[Holding]) -> tuple[list[Effect], list[Effect]]:
    had, want = _closed(before), _closed(after)
    unblock: list[Effect] = []
    block: list[Effect] = []
    for held in before:
        gone = tuple(each for each in held.blocked if (held.owner, each.interface, each.address) not in want)
        if gone:
            unblock.append(UnblockAddresses(held.owner, gone))
    for held in after:
        new = tuple(each for each in held.blocked if (held.owner, each.interface, each.address) not in had)
        if new:
            block.append(BlockAddresses(held.owner, new))
    return unblock, block


def _closed(holdings: Iterable[Holding]) -> set[tuple[InstanceName, InterfaceName, Address]]:
    return {(held.owner, each.interface, each.address) for held in holdings for each in held.blocked}
