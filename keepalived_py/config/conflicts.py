"""Instances that get into each other's way: the same virtual router id, the same VMAC, the same group.

The checks are keepalived's, on drafts that `config.correct` has been through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.correct import OWNER_PRIORITY, address_text
from keepalived_py.config.document import Directive, directive_of
from keepalived_py.config.draft import Draft
from keepalived_py.config.places import place_of, say
from keepalived_py.config.schema import Run
from keepalived_py.model.vrrp import InitialState, Instance, SyncGroup

One = Draft[Instance]
Group = Draft[SyncGroup]
Key = tuple[object, ...]


# Virtual router ids ----------------------------------------------------------


def duplicate_ids(run: Run) -> bool:
    """Report instances that cannot be told apart on the wire; True if there are any."""
    spaces: dict[Key, list[One]] = {}
    for one in run.written.instances.values():
        if not one.vrid:
            continue
        spaces.setdefault((one.family, one.vrid, bool(one.unicast_peers)), []).append(one)
    clash = False
    for sharing in spaces.values():
        for index, one in enumerate(sharing):
            for other in sharing[index + 1 :]:
                clash |= _clash(run, one, other)
    return clash


def _clash(run: Run, one: One, other: One) -> bool:
    if one.unicast_peers:
        text = f"({one.name}) duplicate VRID conflict with {other.name} VRID {one.vrid}"
        same = _unicast_clash(one, other)
    else:
        text = (
            f"{one.name} and {other.name} both use VRID {one.vrid} with IPv{one.family} "
            f"on interface {one.interface}"
        )
        same = one.interface == other.interface and _group_of(run, one) == _group_of(run, other)
        same = same and run.host.interface_exists(one.interface)
    if same:
        made = say(run, other, text, "vrid", code="duplicate-router-id", expected="another virtual_router_id")
        first = f"the other one: {place_of(one.at('vrid'))}"
        run.diagnostics[-1] = _with_note(made, first)
    return same


def _with_note(made: Any, note: str) -> Any:
    return replace(made, notes=(*made.notes, note))


def _unicast_clash(one: One, other: One) -> bool:
    """Both send from the same address to one of the same peers."""
    if _link(one) != _link(other) or one.source != other.source:
        return False
    peers = {peer.address for peer in one.unicast_peers}
    return any(peer.address in peers for peer in other.unicast_peers)


def _group_of(run: Run, one: One) -> object:
    common = run.written.globals
    default = common.multicast_group if one.family == 4 else "IPv6 group"
    return one.multicast_destination or default


# VMACs -----------------------------------------------------------------------


def _link(one: One) -> Key:
    """The interface an instance works on.

    keepalived does not recognise the VMAC of an instance when an address asks for
    one of the same router id: each has its own.
    """
    if one.vmac is not None:
        return ("own", one.name)
    if one.ipvlan is not None:
        return ("ipvlan", one.name)
    return (one.interface,)


def _vmac(one: One, interface: object, family: object) -> Key:
    mac = one.vmac.mac if one.vmac is not None else None
    return ("vmac", one.vrid, family, interface, mac)


def _link_of(one: One, entry: Any) -> Key:
    """The interface an address is put on."""
    family = entry.address.version
    if entry.interface in (None, one.interface):
        if one.vmac is not None and one.family == family:
            return _link(one)
        if one.ipvlan is not None:
            return (one.interface,)
        own = entry.use_vmac or (one.vmac_addresses and family != one.family)
        return _vmac(one, one.interface, family) if own else (one.interface,)
    if entry.use_vmac or one.vmac_addresses:
        return _vmac(one, entry.interface, family)
    return (entry.interface,)


def shared_vmacs(run: Run) -> None:
    """Report instances that would use the same VMAC without changing their state together."""
    by_id: dict[object, list[One]] = {}
    for one in run.written.instances.values():
        if one.vmac is not None or one.vmac_addresses or _has_vmac_entry(one):
            by_id.setdefault(one.vrid, []).append(one)
        elif one.vrid in by_id:
            by_id[one.vrid].append(one)
    for sharing in by_id.values():
        for index, one in enumerate(sharing):
            for other in sharing[:index]:
                if one.__dict__.get("group") is None or one.group is not other.__dict__.get("group"):
                    _shared(run, one, other)


def _has_vmac_entry(one: One) -> bool:
    return any(entry.use_vmac for entry in _entries(one))


def _entries(one: One) -> Iterator[Any]:
    yield from one.addresses
    yield from one.excluded_addresses


def _shared(run: Run, one: One, other: One) -> None:
    for mine in _entries(one):
        link = _link_of(one, mine)
        if link[0] != "vmac":
            continue
        for entry in _entries(other):
            if _link_of(other, entry) == link:
                what = f"VRRP instance {one.name} VIP/eVIP {address_text(entry)}"
                _tell(run, one, other, mine, what)


def _tell(run: Run, one: One, other: One, entry: Any, what: str) -> None:
    shown = address_text(entry)
    text = f"({other.name}) VIP/eVIP {shown} uses same VMAC as {what}, disabling {one.name}"
    say(run, one, text, "vmac", code="shared-vmac", expected="a vrrp_sync_group with both")


# Sync groups -----------------------------------------------------------------


def join_groups(run: Run) -> None:
    """Give each instance its group (`draft.group`); drop members and groups that are none."""
    written = run.written
    for name, group in list(written.groups.items()):
        if not group.members:
            say(run, group, f"Sync group {name} has no virtual router(s). removing", code="empty-group")
            del written.groups[name]
            continue
        members = _members(run, group)
        group.members = [one.name for one in members]
        if not members:
            text = f"Sync group {name}, no matching virtual router found in group declaration - removing"
            say(run, group, text, code="empty-group")
            del written.groups[name]
        elif len(members) == 1:
            text = f"Sync group {name} has only 1 virtual router(s) - this probably isn't what you want"
            say(run, group, text, "members", code="single-member")


def _members(run: Run, group: Group) -> list[One]:
    found: list[One] = []
    state: InitialState | None = None
    for name in group.members:
        one = run.written.instances.get(name)
        if one is None:
            text = f"Virtual router {name} specified in sync group {group.name} doesn't exist - ignoring"
            at = _written_in(group, name)
            say(run, group, text, code="unknown-name", expected="the name of a vrrp_instance", about=at)
            continue
        if one.__dict__.get("group") is not None:
            text = f"Virtual router {name} cannot exist in more than one sync group; ignoring {group.name}"
            say(run, group, text, code="duplicate", about=_written_in(group, name))
            continue
        one.group = group
        found.append(one)
        asked = one.configured_state
        if state is InitialState.MASTER and asked is InitialState.BACKUP:
            text = (
                f"Sync group {group.name} has some member(s) as address owner and some not as address owner. "
                "This won't work."
            )
            say(run, group, text, "members", code="mixed-owners")
        if state is not InitialState.BACKUP:
            owner = asked is InitialState.MASTER and one.base_priority == OWNER_PRIORITY
            state = InitialState.MASTER if owner else InitialState.BACKUP
    return found


def _written_in(group: Group, name: str) -> Directive:
    """The line of a member in the group's list."""
    for one in group.header.body or ():
        for entry in directive_of(one).body or ():
            if name in directive_of(entry).words:
                return directive_of(entry)
    return group.at("members")


_LISTS = (
    ("track_scripts", "script", "clearing weight"),
    ("track_checks", "check", "clearing weight"),
    ("track_files", "file", "setting weight 0"),
    ("track_processes", "process", "setting weight 0"),
    ("track_bfds", "bfd", "setting weight 0"),
    ("track_interfaces", "interface", "clearing weight"),
)


def group_tracking(run: Run) -> None:
    """Groups with an owner of addresses cannot change priorities; nobody tracks an interface twice."""
    written = run.written
    for group in written.groups.values():
        members = [written.instances[name] for name in group.members]
        if any(one.base_priority == OWNER_PRIORITY for one in members):
            _without_weights(run, group)
        for track in group.track_interfaces:
            for one in members:
                _tracked_twice(run, one, track.name)


def _tracked_twice(run: Run, one: One, interface: str) -> None:
    own = interface == one.interface and one.track_primary
    if own or any(track.name == interface for track in one.track_interfaces):
        text = (
            f"({one.name}) track_interface {interface} is configured on VRRP instance and sync group. "
            "Remove vrrp instance or sync group config"
        )
        say(run, one, text, "interface" if own else "track_interfaces", code="tracked-twice")


def _without_weights(run: Run, group: Group) -> None:
    for field, kind, action in _LISTS:
        tracks = getattr(group, field)
        for track in tracks:
            if track.weight:
                text = (
                    f"({group.name}) Cannot have weighted track {kind} '{track.name}' "
                    f"with member having priority {OWNER_PRIORITY} - {action}"
                )
                say(run, group, text, field)
        setattr(group, field, [replace(track, weight=0) for track in tracks])


def join_track_groups(run: Run) -> None:
    """Drop members and groups that are none; keepalived only logs that."""
    written = run.written
    for name, group in list(written.track_groups.items()):
        known = [member for member in group.members or () if member in written.instances]
        for member in group.members or ():
            if member not in written.instances:
                run.log(
                    f"vrrp instance {member} specified in track group {name} doesn't exist - ignoring",
                    group.at("members"),
                )
        group.members = known
        if not known:
            run.log(f"Static track group {name} has no VRRP instance(s)", group.header)
            del written.track_groups[name]
    static: tuple[Draft[Any], ...] = (
        *written.static_addresses,
        *written.static_routes,
        *written.static_rules,
    )
    for entry in static:
        if entry.track_group not in written.track_groups:  # nobody is left whom its loss would concern
            entry.track_group = None
