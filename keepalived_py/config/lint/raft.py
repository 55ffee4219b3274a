"""Lints on a cluster that elects by quorum: how many members, what protects it, what has no effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import inside, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.globals import Election

BLOCK = "raft_cluster"
# What belongs to adverts, which a quorum does without.
_OF_ADVERTS = (
    "advert_int",
    "authentication",
    "auth_hmac",
    "unicast_peer",
    "mcast_dst_ip",
    "down_timer_adverts",
    "lower_prio_no_advert",
    "higher_prio_send_advert",
    "owner_ignore_adverts",
    "timer_expired_backup",
    "dead_man",
)


def _place(subject: Subject, *paths: str) -> Origin | None:
    return nearest(subject.places.block(BLOCK), *paths)


def _no_key(subject: Subject) -> Iterator[Advice]:
    raft = subject.configuration.raft
    if raft is not None and not raft.key_file:
        yield Advice(
            "raft_cluster has no key_file: its messages are not signed, and whoever can send from the "
            "address of a member can take part",
            _place(subject),
            ("head -c 32 /dev/urandom > raft.key; chmod 600 raft.key; the same file on every member",),
            expected="key_file PATH",
        )


def _count(subject: Subject) -> Iterator[Advice]:
    """Only odd numbers from three on are worth their members."""
    raft: Any = subject.configuration.raft
    if raft is None:
        return
    place, count = _place(subject, "member"), len(raft.members)
    if count == 1:
        yield Advice("raft_cluster has one member: there is nobody to take over", place)
    elif count == 2 and raft.fencing.takeover.value != "fence_first":
        yield Advice(
            "raft_cluster has two members, and a majority of two is both: safe, but not available, "
            "since nobody holds anything when one of them is lost",
            place,
            expected="a third member, which may be a witness, or takeover fence_first with a fence_script",
        )
    elif count > 2 and count % 2 == 0:
        yield Advice(
            f"raft_cluster has {count} members and can lose {(count - 1) // 2}, "
            f"no more than one of {count - 1} members",
            place,
            expected=f"{count - 1} or {count + 1} members",
            severity=Severity.HINT,
        )


def _shots(subject: Subject) -> Iterator[Advice]:
    """Two that lose each other at one moment, and wait equally long, shoot each other."""
    raft: Any = subject.configuration.raft
    if raft is None or raft.fencing.takeover.value != "fence_first":
        return
    delays = [one.fence_delay_us for one in raft.members]
    if len(delays) == 2 and delays[0] == delays[1]:
        yield Advice(
            "raft_cluster: both members would shoot after the same time, and so each other",
            _place(subject, "member"),
            expected="fence_delay SECONDS behind one of the members, the same in both files",
        )


def _unused(subject: Subject) -> Iterator[Advice]:
    """A witness needs no instance; any other member does."""
    raft: Any = subject.configuration.raft
    if raft is None or raft.member(raft.own).witness:
        return
    if all(one.election is not Election.RAFT for one in subject.configuration.instances):
        yield Advice(
            "raft_cluster elects nothing: no vrrp_instance has election raft",
            _place(subject),
            expected="election raft, in the instances or in global_defs",
        )


def _without_effect(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.election is not Election.RAFT:
            continue
        block = subject.places.instance(one.name)
        found = [name for name in _OF_ADVERTS if inside(block, name) is not None]
        if found:
            yield Advice(
                f"({one.name}) without effect, since nothing is advertised with election raft: "
                f"{', '.join(found)}",
                nearest(block, found[0]),
            )


LINTS = (
    Lint("raft-no-key", Severity.WARNING, "a quorum whose messages are not signed", _no_key),
    Lint("raft-members", Severity.WARNING, "a number of members that a quorum gains nothing by", _count),
    Lint("raft-fence-delay", Severity.WARNING, "two members that would shoot each other", _shots),
    Lint("raft-unused", Severity.WARNING, "a raft_cluster without election raft", _unused),
    Lint("raft-idle", Severity.HINT, "settings of adverts with election raft", _without_effect),
)
