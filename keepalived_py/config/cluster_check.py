"""Several configurations as one cluster: what must be equal, what must differ, what must fit.

Instances belong together if they have one name; those left over, if they have
one virtual router id and family on an interface of one name.  What cannot
work is an error; what works, but hardly as meant, a warning.  Every finding
stands at the second file, with the place in the first one as a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from keepalived_py.base.clock import SECOND
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record, Struct, fresh
from keepalived_py.config import cluster_raft
from keepalived_py.config.cluster_raft import is_witness
from keepalived_py.config.cluster_servers import server_findings
from keepalived_py.config.facts import KnowsAddresses
from keepalived_py.config.lint.advice import Subject
from keepalived_py.config.lint.instances import MOST_PRIORITY, OWNER_PRIORITY, Tracked, tracked, tracked_lists
from keepalived_py.config.lint.places import entry_place, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.model.config import AuthType, Election, InitialState, Instance

ERROR, WARNING, HINT = Severity.ERROR, Severity.WARNING, Severity.HINT
SECRET = "cluster-password"  # whose lines are not shown
# Every code with what it says; errors where nodes contradict each other.
CODES = {
    "cluster-instance-missing": "an instance that not every file has",
    "cluster-router-id": "one instance with two router ids, or one id of two routers",
    "cluster-version": "different VRRP versions or address families",
    "cluster-advert-int": "different advertisement intervals",
    "cluster-authentication": "different kinds of authentication",
    SECRET: "different passwords or signing keys",
    "cluster-addresses": "different lists of addresses",
    "cluster-prefix-length": "one address with different prefix lengths",
    "cluster-unicast": "unicast peers that do not point at each other",
    "cluster-multicast-group": "different multicast groups",
    "cluster-priority": "equal priorities",
    "cluster-state": "state MASTER in more than one file",
    "cluster-nopreempt": "nopreempt where it changes nothing",
    "cluster-weight": "weights that cannot change the winner",
    "cluster-sync-group": "sync groups with different members",
    "cluster-election": "one instance that a quorum elects in one file, and adverts in another",
    cluster_raft.CODE: "members of a quorum with different lists, or two of one name",
    cluster_raft.KEY: "members of a quorum with different keys",
    "cluster-virtual-servers": "virtual servers that one node lacks or that have other real servers",
}


class Member(Record):
    """An instance and the configuration it stands in."""

    subject: Subject
    instance: Instance

    def at(self, *paths: str) -> Origin | None:
        """Where one of these keywords of the instance is written, else the instance."""
        return nearest(self.subject.places.instance(self.instance.name), *paths)

    def host_addresses(self) -> frozenset[Address] | None:
        """The addresses of the interface; None if they are not known."""
        host = self.subject.host
        known = host.local_addresses(self.instance.interface) if isinstance(host, KnowsAddresses) else None
        return None if known is None else frozenset(local.address for local in known)


class Router(Struct):
    """A virtual router: its instances on all nodes that have it."""

    members: list[Member] = fresh(list)

    def pairs(self) -> Iterator[tuple[Member, Member]]:
        """Each member with each later one."""
        return combinations(self.members, 2)


def cluster_findings(subjects: Sequence[Subject]) -> list[Diagnostic]:
    """What contradicts between the configurations of one cluster."""
    found: list[Diagnostic] = []
    routers = paired(subjects)
    for router in routers:
        if len(router.members) < len(subjects):
            found.extend(_alone(router, subjects))
        for one, other in router.pairs():
            for rule in _rules(one, other):
                found.extend(rule(one, other))
        if all(_adverts(member) for member in router.members):
            for together in ROUTER_RULES:
                found.extend(together(router))
    found.extend(_router_ids(routers))
    for first, second in combinations(subjects, 2):
        found.extend(_groups(first, second))
        found.extend(server_findings(first, second))
        found.extend(cluster_raft.raft_findings(first, second))
    return found


def paired(subjects: Sequence[Subject]) -> list[Router]:
    """The virtual routers of the cluster."""
    routers: list[Router] = []
    by_name: dict[str, Router] = {}
    left: list[Member] = []
    names = [{str(one.name) for one in subject.configuration.instances} for subject in subjects]
    shared = {name for mine, others in combinations(names, 2) for name in mine & others}
    for subject in subjects:
        for one in subject.configuration.instances:
            member = Member(subject, one)
            if str(one.name) not in shared:
                left.append(member)
                continue
            if str(one.name) not in by_name:
                by_name[str(one.name)] = Router()
                routers.append(by_name[str(one.name)])
            by_name[str(one.name)].members.append(member)
    for member in left:
        _join(member, routers)
    return routers


def _join(member: Member, routers: list[Router]) -> None:
    """Put an instance of another name to the router of the same id, or make it one of its own."""
    for router in routers:
        elsewhere = all(each.subject is not member.subject for each in router.members)
        if elsewhere and _wire(router.members[0].instance) == _wire(member.instance):
            router.members.append(member)
            return
    routers.append(Router([member]))


def _wire(one: Instance) -> tuple[object, ...]:
    """What two instances share that are one router; a lease is known by its name alone."""
    if one.election is Election.RAFT:
        return (one.name,)
    return one.vrid, one.family, one.interface


def _adverts(member: Member) -> bool:
    return member.instance.election is Election.VRRP


def _rules(one: Member, other: Member) -> tuple[Callable[[Member, Member], Iterator[Diagnostic]], ...]:
    """Who is elected by a quorum needs no more than the same addresses."""
    if _adverts(one) and _adverts(other):
        return PAIR_RULES
    return (_same_election, _same_addresses, _same_prefixes)


def _same_election(one: Member, other: Member) -> Iterator[Diagnostic]:
    if _adverts(one) != _adverts(other):
        quorum, adverts = (other, one) if _adverts(one) else (one, other)
        text = (
            f"election raft in {quorum.subject.file}, election vrrp in {adverts.subject.file}: "
            "two holders, since neither hears the other"
        )
        yield _between("cluster-election", ERROR, one, other, text, "election")


# What is said -----------------------------------------------------------------


def _shown(origin: Origin | None, subject: Subject) -> str:
    return f"{origin.file}:{origin.line}" if origin is not None else subject.file


def _between(
    code: str, severity: Severity, one: Member, other: Member, message: str, *paths: str, expected: str = ""
) -> Diagnostic:
    """A finding at the second member, with the first one's place."""
    here, there = other.at(*paths), one.at(*paths)
    names = dict.fromkeys((str(one.instance.name), str(other.instance.name)))
    note = f"the other side: {_shown(there, one.subject)}"
    if there is not None and code != SECRET:
        note += f": {there.text.strip()}"
    return Diagnostic(
        code,
        f"({'/'.join(names)}) {message}",
        severity,
        here,
        None,
        expected=expected,
        notes=(note,),
        own=True,
    )


def _alone(router: Router, subjects: Sequence[Subject]) -> Iterator[Diagnostic]:
    has = [member.subject for member in router.members]
    missing = [
        subject.file
        for subject in subjects
        if not any(subject is one for one in has) and not is_witness(subject)
    ]
    if not missing:
        return
    member = router.members[0]
    wire = f" or with virtual_router_id {member.instance.vrid} on {member.instance.interface}"
    yield Diagnostic(
        "cluster-instance-missing",
        f"({member.instance.name}) {', '.join(missing)} has no instance of this name"
        + (wire if _adverts(member) else ""),
        WARNING,
        member.at(),
        None,
        own=True,
    )


# Two sides that must agree ----------------------------------------------------


def _same_router_id(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if a.vrid != b.vrid:
        text = f"virtual_router_id {a.vrid} here, {b.vrid} there: two routers that never hear each other"
        yield _between("cluster-router-id", ERROR, one, other, _sides(text, one, other), "virtual_router_id")


def _sides(text: str, one: Member, other: Member) -> str:
    """`here` and `there` become the names of the files."""
    return text.replace("here", f"in {one.subject.file}", 1).replace("there", f"in {other.subject.file}", 1)


def _same_version(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if a.version != b.version:
        text = f"VRRP version {a.version} here, {b.version} there: each refuses the adverts of the other"
        yield _between("cluster-version", ERROR, one, other, _sides(text, one, other), "version")
    if a.family != b.family:
        text = f"IPv{a.family} here, IPv{b.family} there"
        paths = ("virtual_ipaddress", "native_ipv6")
        yield _between("cluster-version", ERROR, one, other, _sides(text, one, other), *paths)


def _same_interval(one: Member, other: Member) -> Iterator[Diagnostic]:
    """VRRPv2 refuses another interval; in VRRPv3 the backup uses that of the master."""
    a, b = one.instance, other.instance
    if a.advert_interval_us == b.advert_interval_us:
        return
    text = f"advert_int {a.advert_interval_us / SECOND:g} here, {b.advert_interval_us / SECOND:g} there"
    if min(a.version, b.version) < 3:
        text, severity = text + ": each refuses the adverts of the other", ERROR
    else:
        text, severity = text + ": how fast a takeover is depends on who was master", WARNING
    yield _between("cluster-advert-int", severity, one, other, _sides(text, one, other), "advert_int")


def _same_password(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if a.auth_type is not b.auth_type:
        text = f"authentication {_auth(a)} here, {_auth(b)} there: each refuses the adverts of the other"
        paths = ("authentication/auth_type", "authentication")
        yield _between("cluster-authentication", ERROR, one, other, _sides(text, one, other), *paths)
    elif a.auth_data != b.auth_data:
        text = "the two have different passwords: each refuses the adverts of the other"
        yield _between(
            "cluster-password", ERROR, one, other, text, "authentication/auth_pass", "authentication"
        )
    if (a.auth_hmac is None) != (b.auth_hmac is None):
        text = f"auth_hmac only in {(one if a.auth_hmac else other).subject.file}"
        yield _between("cluster-authentication", ERROR, one, other, text, "auth_hmac")
    elif a.auth_hmac is not None and b.auth_hmac is not None:
        yield from _same_keys(one, other, a.auth_hmac, b.auth_hmac)


def _auth(one: Instance) -> str:
    return "none" if one.auth_type is AuthType.NONE else one.auth_type.name


def _same_keys(one: Member, other: Member, mine: Any, theirs: Any) -> Iterator[Diagnostic]:
    """Each side must know the key that the other one signs with."""
    for signer, reader, keys, known in ((one, other, mine, theirs), (other, one, theirs, mine)):
        active = [key for key in keys.keys if key.id == keys.active_key]
        match = [key for key in known.keys if key.id == keys.active_key]
        if active and (not match or match[0].value != active[0].value):
            text = (
                f"{signer.subject.file} signs with key {keys.active_key}, "
                f"which {reader.subject.file} does not have or has with another value"
            )
            yield _between(SECRET, ERROR, one, other, text, "auth_hmac")


def _same_addresses(one: Member, other: Member) -> Iterator[Diagnostic]:
    refused = "keepalived up to 2.2 refuses such adverts: two masters"
    for field, keyword, why in (
        ("addresses", "virtual_ipaddress", refused if _adverts(one) else "a takeover loses an address"),
        ("excluded_addresses", "virtual_ipaddress_excluded", "a takeover loses an address"),
    ):
        mine = [each.address for each in getattr(one.instance, field)]
        theirs = [each.address for each in getattr(other.instance, field)]
        lists = ((one, set(mine) - set(theirs)), (other, set(theirs) - set(mine)))
        only = [f"only in {member.subject.file}: {_list(extra)}" for member, extra in lists if extra]
        if only:
            text = f"{keyword} differs ({'; '.join(only)}): {why}"
            yield _between("cluster-addresses", ERROR, one, other, text, keyword, "virtual_ipaddress")


def _list(addresses: Iterable[Address]) -> str:
    return ", ".join(sorted(map(str, addresses)))


def _same_prefixes(one: Member, other: Member) -> Iterator[Diagnostic]:
    mine = {
        each.address: each.prefix_length
        for each in (*one.instance.addresses, *one.instance.excluded_addresses)
    }
    for each in (*other.instance.addresses, *other.instance.excluded_addresses):
        before = mine.get(each.address, each.prefix_length)
        if before != each.prefix_length:
            text = f"{each.address} has prefix length {before} here, {each.prefix_length} there"
            yield _between(
                "cluster-prefix-length", WARNING, one, other, _sides(text, one, other), "virtual_ipaddress"
            )


# Unicast ----------------------------------------------------------------------


def _unicast(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if bool(a.unicast_peers) != bool(b.unicast_peers):
        single, many = (one, other) if a.unicast_peers else (other, one)
        text = f"{single.subject.file} sends to unicast peers, {many.subject.file} by multicast"
        yield _between("cluster-unicast", ERROR, one, other, text, "unicast_peer")
    elif not a.unicast_peers:
        if a.destination != b.destination:
            text = f"multicast group {a.destination} here, {b.destination} there"
            paths = ("mcast_dst_ip", "virtual_ipaddress")
            yield _between("cluster-multicast-group", ERROR, one, other, _sides(text, one, other), *paths)
    else:
        yield from _points_at(one, other, one, other)
        yield from _points_at(one, other, other, one)


def _points_at(one: Member, other: Member, sender: Member, receiver: Member) -> Iterator[Diagnostic]:
    """The receiver's address, if it is known, must be a peer of the sender."""
    peers = {peer.address for peer in sender.instance.unicast_peers}
    own = receiver.instance.source
    known = frozenset((own,)) if own is not None else receiver.host_addresses()
    if known and not peers & known:
        text = (
            f"no unicast_peer of {sender.subject.file} is {receiver.subject.file} "
            f"({_list(known)}): the peers are {_list(peers)}"
        )
        yield _between("cluster-unicast", ERROR, one, other, text, "unicast_peer", "unicast_src_ip")


# Who wins ---------------------------------------------------------------------


def _priorities(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if a.base_priority != b.base_priority:
        return
    owners = a.base_priority == OWNER_PRIORITY
    why = (
        "both claim to own the addresses: two masters"
        if owners
        else "who is master then depends on the addresses of the machines alone"
    )
    text = f"priority {a.base_priority} on both sides: {why}"
    severity = ERROR if owners else WARNING
    yield _between("cluster-priority", severity, one, other, text, "priority", "state")


def _masters(one: Member, other: Member) -> Iterator[Diagnostic]:
    a, b = one.instance, other.instance
    if a.configured_state is InitialState.MASTER and b.configured_state is InitialState.MASTER:
        if a.base_priority != b.base_priority:
            text = "state MASTER on both sides: the one with the lower priority is none for long"
            yield _between("cluster-state", HINT, one, other, text, "state")


def _nopreempt(router: Router) -> Iterator[Diagnostic]:
    """nopreempt counts on the node that would take over: the one with the highest priority."""
    ranked = sorted(router.members, key=lambda member: -member.instance.base_priority)
    best = ranked[0]
    holding = [member for member in ranked[1:] if not member.instance.preempt]
    if best.instance.preempt and holding and best.instance.base_priority > holding[0].instance.base_priority:
        text = (
            f"nopreempt in {holding[0].subject.file} changes nothing: {best.subject.file} has the higher "
            "priority, has no nopreempt, and takes the addresses back whenever it can"
        )
        yield _between("cluster-nopreempt", WARNING, best, holding[0], text, "nopreempt")


def _weights(router: Router) -> Iterator[Diagnostic]:
    """All that one node loses by failed checks must put it below a healthy peer."""
    for member in router.members:
        one = member.instance
        peers = [each for each in router.members if each is not member]
        tracks = _weighted(member)
        if not tracks or one.base_priority == OWNER_PRIORITY or not peers:
            continue
        healthy = _clamped(one, sum(_when(track, True) for track in tracks))
        rival = max(peers, key=_best)
        if healthy < _best(rival):
            continue  # it is no master as long as its best peer is well
        broken = _clamped(one, sum(_when(track, False) for track in tracks))
        if broken >= _best(rival):
            yield _no_move(member, rival, tracks, broken)


def _no_move(member: Member, rival: Member, tracks: Sequence[Tracked], broken: int) -> Diagnostic:
    names = ", ".join(f"{track.name} {track.weight:+d}" for track in tracks)
    text = (
        f"the weights ({names}) cannot move the addresses: with all of them failed {member.subject.file} "
        f"still has priority {broken}, and {rival.subject.file} at its best {_best(rival)}"
    )
    track = tracks[0]
    block = member.subject.places.instance(member.instance.name)
    other = rival.at("priority")
    needed = broken - _best(rival) + 1
    return Diagnostic(
        "cluster-weight",
        f"({member.instance.name}) {text}",
        WARNING,
        entry_place(block, track.name, *tracked_lists(track.kind)),
        None,
        expected=f"weights greater by {needed}, or priorities nearer to each other",
        notes=(f"the other side: {_shown(other, rival.subject)}",),
        own=True,
    )


def _weighted(member: Member) -> list[Tracked]:
    """What changes the priority: weights of the instance and of its group.

    A track_file is left out: its number decides, and nobody knows it.
    """
    found = list(tracked(member.instance))
    for group in member.subject.configuration.groups:
        if member.instance.name in group.members:
            found.extend(tracked(group))
    return [track for track in found if track.weight and track.kind != "track_file"]


def _when(track: Tracked, good: bool) -> int:
    """What a tracked object adds: a positive weight while it is good, a negative one while it is not."""
    if (track.weight > 0) is not good:
        return 0
    return -track.weight if track.reverse else track.weight


def _best(member: Member) -> int:
    return _clamped(
        member.instance, sum(max(_when(track, True), _when(track, False)) for track in _weighted(member))
    )


def _clamped(one: Instance, change: int) -> int:
    if one.base_priority == OWNER_PRIORITY:
        return OWNER_PRIORITY
    return max(1, min(MOST_PRIORITY, one.base_priority + change))


# Whole files ------------------------------------------------------------------


def _router_ids(routers: Sequence[Router]) -> Iterator[Diagnostic]:
    """Two routers of the cluster with one id on one network, seen only when the files lie side by side."""
    for first, second in combinations(routers, 2):
        for one in first.members:
            for other in second.members:
                apart = one.subject is not other.subject
                if apart and _wire(one.instance) == _wire(other.instance):
                    text = f"both use virtual_router_id {one.instance.vrid} on {one.instance.interface}"
                    yield _between("cluster-router-id", ERROR, one, other, text, "virtual_router_id")


def _groups(first: Subject, second: Subject) -> Iterator[Diagnostic]:
    mine = {str(group.name): group for group in first.configuration.groups}
    for group in second.configuration.groups:
        partner = mine.get(str(group.name))
        if partner is None:
            partner = next((each for each in mine.values() if set(each.members) & set(group.members)), None)
        if partner is not None and set(partner.members) == set(group.members):
            continue
        here = nearest(second.places.block("vrrp_sync_group", group.name), "group")
        there = nearest(first.places.block("vrrp_sync_group", partner.name), "group") if partner else None
        shown = ", ".join(partner.members) if partner else "no such group"
        yield Diagnostic(
            "cluster-sync-group",
            f"sync group {group.name} has {', '.join(group.members)} in {second.file}, "
            f"but in {first.file}: {shown}",
            ERROR if partner else WARNING,
            here,
            None,
            notes=(f"the other side: {_shown(there, first)}",),
            own=True,
        )


PAIR_RULES: tuple[Callable[[Member, Member], Iterator[Diagnostic]], ...] = (
    _same_router_id,
    _same_version,
    _same_interval,
    _same_password,
    _same_addresses,
    _same_prefixes,
    _unicast,
    _priorities,
    _masters,
)
ROUTER_RULES: tuple[Callable[[Router], Iterator[Diagnostic]], ...] = (_nopreempt, _weights)
