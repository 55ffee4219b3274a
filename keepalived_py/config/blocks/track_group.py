"""`track_group`: the instances that static addresses, routes and rules belong to."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.names import GroupName
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.sync_group import members_block
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.vrrp import TrackGroup


def opened(run: Run, target: Written, at: Directive) -> Draft[TrackGroup] | None:
    """A new group; None for one without a usable name."""
    if len(at.words) != 2:
        run.error(
            "track_group must have a name - skipping", at, code="missing-name", expected="track_group NAME {"
        )
        return None
    name = at.words[1]
    if name in target.track_groups:
        run.error(f"track_group {name} already defined", at, word=1, code="duplicate")
        return None
    group = target.track_groups[name] = Draft(TrackGroup, at, name=GroupName(name), members=None)
    return group


BLOCK: Block[Any] = block(
    "track_group",
    [members_block("track_group", "Warning - track group {name} has empty group block")],
    record=TrackGroup,
    show_header=lambda group: values.quoted(group.name),
)
