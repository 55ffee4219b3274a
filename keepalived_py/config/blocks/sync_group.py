"""`vrrp_sync_group`: instances that are MASTER, BACKUP or FAULT together."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.names import GroupName, InstanceName
from keepalived_py.config.blocks import lists, notify, tracking, values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import LEAVES, Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.vrrp import Notifies, SyncGroup


def opened(run: Run, target: Written, at: Directive) -> Draft[SyncGroup] | None:
    """A new group; None for one without a usable name."""
    if len(at.words) != 2:
        run.error(
            "vrrp_sync_group must have a name - skipping",
            at,
            code="missing-name",
            expected="vrrp_sync_group NAME {",
        )
        return None
    name = at.words[1]
    if name in target.groups:
        first = target.groups[name].header.line_origin
        run.error(
            f"vrrp sync group {name} already defined",
            at,
            word=1,
            code="duplicate",
            notes=(f"it is defined in {first.file}, line {first.line}",),
        )
        return None
    group = target.groups[name] = Draft(
        SyncGroup,
        at,
        name=GroupName(name),
        members=None,
        track_interfaces=[],
        track_scripts=[],
        track_checks=[],
        track_files=[],
        track_processes=[],
        track_bfds=[],
        notifies=Draft(Notifies, at),
        smtp_alert=None,
    )
    return group


def members_block(name: str, empty: str) -> Keyword[Any]:
    """`group { NAME ... }`; `empty` is said when nothing stands in it."""

    def opened(run: Run, target: Any, at: Directive) -> Any:
        if target.members is not None:
            run.error(
                f"Group list already specified for sync group {target.name}",
                at,
                code="duplicate",
                expected="one list",
            )
            return LEAVES
        return lists.opened(run, target, at)

    def closed(run: Run, target: Any, at: Directive) -> None:
        if not target.members:
            run.error(empty.replace("{name}", target.name), closing(at), code="empty-group")

    inner: Block[Any] = Block(
        f"{name}/group",
        entry=_member,
        show_entry=values.quoted,
        entry_help="<INSTANCE>: the name of an instance",
    )
    return Keyword(
        "group",
        arguments="{ <INSTANCE> ... }",
        help="the instances that belong to it",
        block=inner,
        open=opened,
        close=closed,
        attribute="members",
    )


def _member(run: Run, target: Any, at: Directive) -> None:
    target.members = [*(target.members or ()), *map(InstanceName, at.words)]
    target.given["members"] = at


def _global_tracking(run: Run, target: Any, at: Directive) -> object:
    run.error(
        f"({target.name}) global_tracking is deprecated. Use track_interface/script/file on the sync group",
        at,
        word=0,
        code="deprecated",
    )
    return True


BLOCK: Block[Any] = block(
    "vrrp_sync_group",
    [
        members_block("vrrp_sync_group", "Warning - sync group {name} has empty group block"),
        values.flag(
            "sync_group_tracking_weight",
            "tracking_weight",
            help="weights of the members count, though they then may differ in priority",
        ),
        values.converted(
            "global_tracking",
            "tracking_weight",
            _global_tracking,
            "",
            default="off",
            required=False,
            help="the old form of sync_group_tracking_weight",
            show=lambda found: (),
            schema={"type": "boolean"},
            alias="sync_group_tracking_weight",
        ),
        *tracking.KEYWORDS,
        *notify.group_keywords(),
    ],
    record=SyncGroup,
    show_header=lambda group: values.quoted(group.name),
)
