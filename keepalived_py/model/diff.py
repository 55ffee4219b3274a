"""What a reload changes: which instances go on, which end, which begin.

An instance goes on if it is still the same virtual router for its neighbours:
same VRID, address family, configured interface and way of sending (to which
group, or to peers).  Its name does not matter.  Several unicast instances may
share a VRID on one interface; those are told apart by their source and peers,
and only then by name.  A multicast instance that moves to a virtual MAC device
(or off it) is another one: its addresses change their MAC.  An instance that a
quorum elects, before or after, is known to nobody but by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from keepalived_py.model.config import Configuration, Election, Instance


class Kept(NamedTuple):
    """One instance before and after."""

    old: Instance
    new: Instance

    @property
    def unchanged(self) -> bool:
        """Nothing about the instance is different."""
        return self.old == self.new


class Difference(NamedTuple):
    """`kept` and `come` in the order of the new configuration, `gone` in that of the old one."""

    kept: tuple[Kept, ...]
    gone: tuple[Instance, ...]
    come: tuple[Instance, ...]


def diff(old: Configuration, new: Configuration) -> Difference:
    """Who goes on, who ends, who begins."""
    partners = _partners(old.instances, new.instances)
    matched = {before.name for before in partners.values()}
    return Difference(
        tuple(
            Kept(partners[settings.name], settings) for settings in new.instances if settings.name in partners
        ),
        tuple(settings for settings in old.instances if settings.name not in matched),
        tuple(settings for settings in new.instances if settings.name not in partners),
    )


def _partners(old: Sequence[Instance], new: Sequence[Instance]) -> dict[str, Instance]:
    """The old instance of each new one that goes on, by the new name."""
    found = _by_name(old, new)
    paired = {settings.name for settings in found.values()}
    old = [settings for settings in old if settings.name not in paired and not _is_leased(settings)]
    new = [settings for settings in new if settings.name not in found and not _is_leased(settings)]
    candidates: dict[tuple[object, ...], list[Instance]] = {}
    for settings in old:
        candidates.setdefault(_identity(settings), []).append(settings)
    wanting: dict[tuple[object, ...], list[Instance]] = {}
    for settings in new:
        wanting.setdefault(_identity(settings), []).append(settings)
    for identity, ones in wanting.items():
        for like in _LIKENESS:
            _match(candidates.get(identity, []), ones, like, found)
    return found


def _is_leased(settings: Instance) -> bool:
    return settings.election is Election.RAFT


def _by_name(old: Iterable[Instance], new: Iterable[Instance]) -> dict[str, Instance]:
    names = {settings.name: settings for settings in old}
    return {
        settings.name: before
        for settings in new
        if (before := names.get(settings.name)) is not None and (_is_leased(settings) or _is_leased(before))
    }


def _match(
    old: list[Instance],
    new: list[Instance],
    like: Callable[[Instance, Instance], bool],
    found: dict[str, Instance],
) -> None:
    """Pair what is alike, and take it out of both lists."""
    for settings in tuple(new):
        for before in old:
            if like(before, settings):
                found[settings.name] = before
                old.remove(before)
                new.remove(settings)
                break


def _identity(settings: Instance) -> tuple[object, ...]:
    who = (settings.vrid, settings.family, settings.configured_interface, settings.unicast)
    if settings.unicast:
        return who
    device = (settings.vmac is not None, settings.vmac_addresses, settings.ipvlan is not None)
    return (*who, settings.destination, *device)


def _peers(settings: Instance) -> frozenset[object]:
    return frozenset(peer.address for peer in settings.unicast_peers)


_LIKENESS: tuple[Callable[[Instance, Instance], bool], ...] = (
    lambda old, new: old.source == new.source and _peers(old) == _peers(new) and old.name == new.name,
    lambda old, new: old.source == new.source and _peers(old) == _peers(new),
    lambda old, new: old.source == new.source and not _peers(old).isdisjoint(_peers(new)),
    lambda old, new: old.name == new.name,
    lambda old, new: True,
)
