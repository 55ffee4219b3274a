"""The top level of a configuration: plain keywords and the blocks, put together.

A block's module is imported when the block is first met, so a file pays only
for the blocks it uses.  Such a module has `BLOCK`, its schema, `opened`, which
makes the draft (or refuses the block with None), and where something is to be
done at the end of the block `closed`.
"""

from collections.abc import Callable
from importlib import import_module
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
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run
from keepalived_py.config.written import Written

TRACKABLE = ("track_file", "vrrp_track_file", "vrrp_track_process", "bfd_instance")


def lazy(
    name: str, module: str, arguments: str, help: str, *, block: str = "BLOCK", **more: Any
) -> Keyword[Any]:
    """The keyword of a top-level block whose module is imported when it is met."""
    path = f"keepalived_py.config.blocks.{module}"

    def opened(run: Run, target: Written, at: Directive) -> Any:
        return import_module(path).opened(run, target, at)

    def closed(run: Run, target: Any, at: Directive) -> None:
        end: Callable[[Run, Any, Directive], None] | None = getattr(import_module(path), "closed", None)
        if end is not None:
            end(run, target, at)

    return Keyword(
        name, None, arguments, help=help, block=f"{path}:{block}", open=opened, close=closed, **more
    )


BLOCKS: list[Keyword[Any]] = []


def globals_root() -> Block[Written]:
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
    table = globals_root()
    blocks = [
        *BLOCKS,
        vrrp_script.keyword(written),
        vrrp_instance.keyword(written, defined),
        sync_group.keyword(written, defined),
        virtual_ipaddress.static_keyword(written),
    ]
    keywords = {**table.keywords, **{keyword.name: keyword for keyword in blocks}}
    return Block("", keywords, fallback=_remembering(known.fallback("/"), defined))


def _on_globals(keyword: Keyword[Any]) -> Keyword[Any]:
    """A top-level keyword that is stored with the globals."""

    def read(run: Run, target: Written, at: Directive) -> None:
        if keyword.convert is not None:
            value = keyword.convert(run, target.globals, at)
            if value is not FAILED:
                setattr(target.globals, keyword.attribute, value)
        elif keyword.read is not None:
            keyword.read(run, target.globals, at)

    return replace(keyword, read=read, convert=None)


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
