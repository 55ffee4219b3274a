"""The top level of a configuration: plain keywords and the blocks, put together."""

from collections.abc import Callable
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks import (
    global_defs,
    known,
    sync_group,
    virtual_ipaddress,
    vrrp_instance,
    vrrp_script,
)
from keepalived_py.config.blocks.written import Written, WrittenGlobals
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run

TRACKABLE = ("track_file", "vrrp_track_file", "vrrp_track_process", "bfd_instance")


def globals_root(written: Written) -> Block[Written]:
    """The first pass: top-level values and `global_defs`, wherever they stand."""
    keywords: dict[str, Keyword[Written]] = {
        keyword.name: _on_globals(keyword) for keyword in global_defs.TOP_LEVEL
    }
    keywords["global_defs"] = Keyword(
        "global_defs", block=global_defs.GLOBAL_DEFS, open=lambda run, target, at: target.globals
    )
    return Block("", keywords, fallback=known.fallback("/"))


def root(written: Written) -> Block[Written]:
    """The whole top level; `written` is what earlier blocks said, for blocks that refer to them."""
    defined: dict[str, set[str]] = {}
    table = globals_root(written)
    blocks = [
        vrrp_script.keyword(written),
        vrrp_instance.keyword(written, defined),
        sync_group.keyword(written, defined),
        virtual_ipaddress.static_keyword(written),
    ]
    keywords = {**table.keywords, **{keyword.name: keyword for keyword in blocks}}
    return Block("", keywords, fallback=_remembering(known.fallback("/"), defined))


def _on_globals(keyword: Keyword[WrittenGlobals]) -> Keyword[Written]:
    def read(run: Run, target: Written, at: Directive) -> None:
        assert keyword.read is not None
        keyword.read(run, target.globals, at)

    return Keyword(keyword.name, read, keyword.arguments, help=keyword.help, required=keyword.required)


def _remembering(
    find: Callable[[str], Keyword[Any] | None], defined: dict[str, set[str]]
) -> Callable[[str], Keyword[Any] | None]:
    """The finder `find`, but names of track objects are noted in `defined`."""

    def found(name: str) -> Keyword[Any] | None:
        keyword = find(name)
        if keyword is None or name not in TRACKABLE or keyword.open is None:
            return keyword
        inner = keyword.open

        def opened(run: Run, target: Any, at: Directive) -> Any:
            if len(at.words) > 1:
                defined.setdefault(name, set()).add(at.words[1])
            return inner(run, target, at)

        return replace(keyword, open=opened)

    return found
