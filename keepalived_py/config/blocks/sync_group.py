"""`vrrp_sync_group`: instances that are MASTER, BACKUP or FAULT together."""

from typing import Any

from keepalived_py.config.blocks import known, notify, tracking, values
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written, WrittenGroup


def _member(run: Run, target: WrittenGroup, at: Directive) -> None:
    if target.members is None:
        target.members = []
    target.members.extend(at.words)


def _group_opened(run: Run, target: WrittenGroup, at: Directive) -> WrittenGroup | None:
    if target.members is not None:
        run.error(f"Group list already specified for sync group {target.name}", at, code="duplicate")
        return None
    return target


def _group_closed(run: Run, target: WrittenGroup, at: Directive) -> None:
    if not target.members:
        run.error(f"Warning - sync group {target.name} has empty group block", at)


def keyword(written: Written, defined: dict[str, set[str]]) -> Keyword[Written]:
    """The top-level keyword `vrrp_sync_group NAME { ... }`."""
    members: Block[Any] = Block("vrrp_sync_group/group", entry=_member)
    table: Block[WrittenGroup] = block(
        "vrrp_sync_group",
        [
            Keyword(
                "group",
                arguments="{ <INSTANCE> ... }",
                block=members,
                open=_group_opened,
                close=_group_closed,
            ),
            values.flag("sync_group_tracking_weight", "tracking_weight", help="weights of members count"),
            values.custom("global_tracking", tracking.deprecated_global_tracking, required=False),
            tracking.script_keyword(written),
            tracking.interface_keyword(written),
            tracking.undefined_keyword("track_file", "file", ("track_file", "vrrp_track_file"), defined),
            tracking.undefined_keyword("track_process", "process", ("vrrp_track_process",), defined),
            tracking.undefined_keyword("track_bfd", "bfd", ("bfd_instance",), defined),
            *notify.group_keywords(written),
        ],
    )
    schema = Block(table.name, table.keywords, fallback=known.fallback("vrrp_sync_group"))

    def opened(run: Run, target: Written, at: Directive) -> WrittenGroup | None:
        name = values.second(at)
        if not name:
            run.error("vrrp_sync_group must have a name - skipping", at, code="missing-name")
            return None
        if name in target.groups:
            run.error(f"vrrp sync group {name} already defined", at, code="duplicate")
            return None
        group = target.groups[name] = WrittenGroup(name, at)
        return group

    return Keyword("vrrp_sync_group", arguments="<NAME>", block=schema, open=opened)
