"""What was written, before defaults and corrections: one mutable record per kind of block.

None always means "not written"; resolve fills in defaults in keepalived's order.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.record import Struct, fresh
from keepalived_py.config.document import Directive, Source
from keepalived_py.config.draft import Draft
from keepalived_py.model.globals import Election, Globals
from keepalived_py.model.network import Route, Rule, VirtualAddress
from keepalived_py.model.tracking import CheckScript
from keepalived_py.model.vrrp import Instance, SyncGroup, TrackGroup

_NOWHERE = Directive(("global_defs",), "global_defs", Source("", ""))


def no_globals() -> Draft[Globals]:
    """The globals of a configuration that says nothing of them."""
    return Draft(Globals, _NOWHERE, name="", router_id=None)


class Written(Struct):
    """A whole configuration as written: the drafts of all blocks, in the order of the file."""

    globals: Draft[Globals] = fresh(no_globals)
    globals_again: Draft[Globals] = fresh(no_globals)
    instances: dict[str, Draft[Instance]] = fresh(dict)
    groups: dict[str, Draft[SyncGroup]] = fresh(dict)
    scripts: dict[str, Draft[CheckScript]] = fresh(dict)
    checks: dict[str, Draft[CheckScript]] = fresh(dict)
    track_files: dict[str, Draft[Any]] = fresh(dict)
    track_processes: dict[str, Draft[Any]] = fresh(dict)
    bfd_instances: dict[str, Draft[Any]] = fresh(dict)
    track_groups: dict[str, Draft[TrackGroup]] = fresh(dict)
    static_addresses: list[Draft[VirtualAddress]] = fresh(list)
    static_routes: list[Draft[Route]] = fresh(list)
    static_rules: list[Draft[Rule]] = fresh(list)
    garp_groups: list[Draft[Any]] = fresh(list)
    linkbeat_interfaces: list[Draft[Any]] = fresh(list)
    interface_delays: list[Draft[Any]] = fresh(list)
    ssl: Draft[Any] | None = None
    raft: Draft[Any] | None = None
    raft_asked: bool = False  # something about it stands in the file
    raft_failed: bool = False  # and is wrong: nothing may be started with it
    server_groups: dict[str, Draft[Any]] = fresh(dict)
    virtual_servers: list[Draft[Any]] = fresh(list)
    missing_interface: bool = False
    rules_without_priority: dict[int, int] = fresh(dict)  # how many of each family
    default_user: tuple[int, int] | None = None
    default_user_failed: bool = False
    scripts_run: bool = False
    scripts_insecure: bool = False
    checker_scripts_run: bool = False
    checker_scripts_insecure: bool = False


def election_of(written: Written, one: Draft[Instance]) -> Election:
    """Who decides for the instance: what it says itself, else the globals."""
    own: Election | None = one.election
    common: Election = written.globals.election
    return common if own is None else own


def by_quorum(written: Written, one: Draft[Instance]) -> bool:
    """Whether a quorum decides for the instance."""
    return election_of(written, one) is Election.RAFT
