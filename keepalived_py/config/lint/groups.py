"""Lints on sync groups: what their members should have in common."""

from __future__ import annotations

from collections.abc import Iterator

from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.instances import Tracked, tracked, tracked_lists
from keepalived_py.config.lint.places import entry_place, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.config import Instance, SyncGroup


def _groups(subject: Subject) -> Iterator[tuple[SyncGroup, list[Instance]]]:
    instances = {one.name: one for one in subject.configuration.instances}
    for group in subject.configuration.groups:
        yield group, [instances[name] for name in group.members if name in instances]


def _place(subject: Subject, group: SyncGroup) -> Origin | None:
    return nearest(subject.places.block("vrrp_sync_group", group.name), "group")


def _tracking(subject: Subject) -> Iterator[Advice]:
    """A tracker of one member decides about all of them; that belongs into the group."""
    for group, members in _groups(subject):
        watched = {one.name: set(tracked(one)) for one in members}
        common = set.intersection(*watched.values()) if watched else set[Tracked]()
        for one in members:
            for track in tracked(one):
                if track in common or (track.weight and not group.tracking_weight):
                    continue
                yield Advice(_uncommon(group, one, track), _track_place(subject, one, track))


def _uncommon(group: SyncGroup, one: Instance, track: Tracked) -> str:
    if track.weight:
        return (
            f"({one.name}) {track.kind} {track.name} changes the priority of this member of sync group "
            f"{group.name} alone: the members may disagree which node is better"
        )
    return (
        f"({one.name}) {track.kind} {track.name} is tracked by this member of sync group {group.name} alone, "
        f"but its failure takes all members down: write it into {track.kind} of the group"
    )


def _track_place(subject: Subject, one: Instance, track: Tracked) -> Origin | None:
    return entry_place(subject.places.instance(one.name), track.name, *tracked_lists(track.kind))


def _priorities(subject: Subject) -> Iterator[Advice]:
    for group, members in _groups(subject):
        priorities = {one.base_priority for one in members}
        if len(priorities) > 1:
            shown = ", ".join(f"{one.name} {one.base_priority}" for one in members)
            yield Advice(
                f"sync group {group.name}: its members have different priorities ({shown})",
                _place(subject, group),
                ("the members move together; with one priority for all it is clear to which node",),
            )


def _preemption(subject: Subject) -> Iterator[Advice]:
    for group, members in _groups(subject):
        holding = [one.name for one in members if not one.preempt]
        if holding and len(holding) < len(members):
            others = ", ".join(one.name for one in members if one.preempt)
            yield Advice(
                f"sync group {group.name}: nopreempt in {', '.join(holding)} but not in {others}; "
                "a member that preempts takes the whole group along",
                _place(subject, group),
            )


def _intervals(subject: Subject) -> Iterator[Advice]:
    for group, members in _groups(subject):
        if len({one.advert_interval_us for one in members}) > 1:
            yield Advice(
                f"sync group {group.name}: its members have different advertisement intervals, "
                "so they notice the loss of the master at different times",
                _place(subject, group),
            )


LINTS = (
    Lint("sync-group-tracking", Severity.WARNING, "a tracker of one member of a sync group only", _tracking),
    Lint(
        "sync-group-priority", Severity.HINT, "members of a sync group with different priorities", _priorities
    ),
    Lint("sync-group-preempt", Severity.WARNING, "nopreempt in a part of a sync group", _preemption),
    Lint(
        "sync-group-interval", Severity.HINT, "members of a sync group with different intervals", _intervals
    ),
)
