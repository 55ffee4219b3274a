"""The top level of a configuration: plain keywords and the blocks, put together.

A block's module is imported when the block is first met, so a file pays only
for the blocks it uses.  Such a module has `BLOCK`, its schema, `opened`, which
makes the draft (or refuses the block with None), and where something is to be
done at the end of the block `closed`.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks.preprocessor import PREPROCESSOR
from keepalived_py.config.blocks.top_level import TOP_LEVEL
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block, imported
from keepalived_py.config.written import Written, no_globals

PACKAGE = "keepalived_py.config.blocks"


def lazy(
    name: str,
    module: str,
    arguments: str,
    help: str,
    *,
    schema_name: str = "BLOCK",
    opener: str = "opened",
    closer: str = "closed",
    **more: Any,
) -> Keyword[Any]:
    """The keyword of a top-level block whose module is imported when it is met.

    `schema_name`, `opener` and `closer` name the schema and the functions in it; the
    closer may be missing.
    """
    path = f"{PACKAGE}.{module}"

    opening, closing = f"{path}:{opener}", f"{path}:{closer}"

    def opened(run: Run, target: Written, at: Directive) -> Any:
        return imported(opening)(run, target, at)

    def closed(run: Run, target: Any, at: Directive) -> None:
        end = imported(closing)
        if end is not None:
            end(run, target, at)

    return Keyword(
        name, None, arguments, help=help, block=f"{path}:{schema_name}", open=opened, close=closed, **more
    )


BLOCKS: list[Keyword[Any]] = [
    lazy(
        "track_group",
        "track_group",
        "<NAME>",
        "VRRP instances that static entries follow",
        attribute="track_groups",
    ),
    lazy(
        "static_ipaddress",
        "virtual_ipaddress",
        "",
        "addresses set at start that never move",
        attribute="static_addresses",
        schema_name="STATIC",
        opener="static_opened",
    ),
    lazy(
        "static_routes",
        "routes",
        "",
        "routes set at start that never move",
        attribute="static_routes",
        schema_name="STATIC",
        opener="static_opened",
    ),
    lazy(
        "static_rules",
        "rules",
        "",
        "policy rules set at start that never move",
        attribute="static_rules",
        schema_name="STATIC",
        opener="static_opened",
    ),
    lazy(
        "garp_group",
        "garp_group",
        "",
        "spacing of gratuitous ARP and unsolicited NA on interfaces",
        attribute="garp_groups",
    ),
    lazy(
        "linkbeat_interfaces",
        "linkbeat",
        "",
        "interfaces whose link is polled",
        attribute="linkbeat_interfaces",
    ),
    lazy(
        "vrrp_script",
        "vrrp_script",
        "<NAME>",
        "a command whose result instances track",
        required=True,
        attribute="scripts",
    ),
    lazy(
        "vrrp_check",
        "vrrp_check",
        "<NAME>",
        "a server whose health instances track",
        required=True,
        attribute="checks",
        extension=True,
    ),
    lazy(
        "vrrp_track_process",
        "track_process",
        "<NAME>",
        "watches whether processes run",
        required=True,
        attribute="track_processes",
    ),
    lazy(
        "interface_up_down_delays",
        "interface_delays",
        "",
        "how long a link change must last to count",
        unit="s",
        attribute="interface_delays",
    ),
    lazy(
        "bfd_instance", "bfd_instance", "<NAME>", "one BFD session", required=True, attribute="bfd_instances"
    ),
    lazy(
        "track_file",
        "track_file",
        "<NAME>",
        "a file whose number changes a priority or a weight",
        required=True,
        attribute="track_files",
    ),
    lazy(
        "vrrp_track_file",
        "track_file",
        "<NAME>",
        "the old name of track_file",
        alias="track_file",
        required=True,
        attribute="track_files",
    ),
    lazy(
        "vrrp_sync_group",
        "sync_group",
        "<NAME>",
        "instances that change their state together",
        attribute="groups",
    ),
    lazy(
        "vrrp_instance",
        "vrrp_instance",
        "<NAME>",
        "one virtual router on one interface",
        attribute="instances",
    ),
    lazy(
        "raft_cluster",
        "raft_cluster",
        "",
        "the members that elect by quorum who holds what",
        attribute="raft",
        extension=True,
    ),
    lazy("SSL", "ssl", "", "certificates that SSL_GET shows", attribute="ssl"),
    lazy(
        "virtual_server_group",
        "virtual_server_group",
        "<NAME>",
        "addresses and marks that share real servers",
        required=True,
        attribute="server_groups",
    ),
    lazy(
        "virtual_server",
        "virtual_server",
        "<ADDR> [<PORT>] | fwmark <INT> | group <NAME>",
        "one IPVS service",
        required=True,
        attribute="virtual_servers",
        options=(
            Keyword("fwmark", None, "<INT 0..4294967295>", help="the packets with this firewall mark"),
            Keyword("group", None, "<NAME>", help="the addresses and marks of a virtual_server_group"),
        ),
    ),
]


def _on_globals(keyword: Keyword[Any]) -> Keyword[Any]:
    """A top-level keyword that is stored with the globals."""
    convert, attribute = keyword.convert, keyword.attribute
    assert convert is not None

    def read(run: Run, target: Written, at: Directive) -> None:
        value = convert(run, target.globals, at)
        if value is not FAILED:
            setattr(target.globals, attribute, value)
            target.globals.given[attribute] = at

    return replace(keyword, read=read, convert=None, attribute=f"globals.{attribute}")


def _globals(run: Run, target: Written, at: Directive) -> Any:
    target.globals.header = at
    return target.globals


def _globals_again(run: Run, target: Written, at: Directive) -> Any:
    return target.globals_again


VALUES: list[Keyword[Any]] = [_on_globals(keyword) for keyword in TOP_LEVEL]
GLOBAL_DEFS: Keyword[Any] = Keyword(
    "global_defs",
    help="settings of the whole program",
    block=f"{PACKAGE}.global_defs:GLOBAL_DEFS",
    open=_globals,
    attribute="globals",
)
REMOVED: list[Keyword[Any]] = [
    Keyword("real_server_group", arguments="<NAME>", removed="1.0.1", help="write virtual_server_group")
]
GLOBALS: Block[Written] = Block("", {keyword.name: keyword for keyword in (*VALUES, GLOBAL_DEFS)})
ROOT: Block[Written] = block("", [*VALUES, GLOBAL_DEFS, *BLOCKS, *REMOVED, *PREPROCESSOR])
FIRST: Block[Written] = block("", [*VALUES, GLOBAL_DEFS, *BLOCKS, *REMOVED])
_READ: Block[Written] = block("", [*VALUES, replace(GLOBAL_DEFS, open=_globals_again), *BLOCKS, *REMOVED])


def globals_root() -> Block[Written]:
    """The first pass: `global_defs`, wherever it stands."""
    return GLOBALS


def root(written: Written) -> Block[Written]:
    """The whole top level, for a reading of everything.

    `global_defs` has been read before, because it changes how the rest is read;
    it is read again for what there is to say about it, into drafts of its own.
    """
    written.globals_again = no_globals()
    written.default_user_failed = False
    for keyword in TOP_LEVEL:
        written.globals.__dict__.pop(keyword.attribute, None)
    return _READ
