"""The plain keywords of the top level; their values stand with those of `global_defs`."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.values import UNSIGNED, integer, need
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run


def _once(keyword: str, attribute: str, help: str) -> Keyword[Any]:
    """A name that may be given once."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        if getattr(target, attribute) is not None:
            run.error(f"Duplicate {keyword} definition {at.words[1]} - ignoring", at, code="duplicate")
            return FAILED
        return at.words[1]

    return values.converted(
        keyword,
        attribute,
        convert,
        "<NAME>",
        required=False,
        default="none",
        missing=f"{keyword} name missing - ignoring",
        pure=False,
        help=help,
        schema={"type": "string"},
    )


def _ipvs_namespace(run: Run, target: Any, at: Directive) -> object:
    if target.net_namespace_ipvs is not None:
        name = need(run, at, 1)
        if name is not None:
            run.error(f"Duplicate net_namespace_ipvs definition {name} - ignoring", at, code="duplicate")
        return FAILED
    return values.second(at)


def _show_ipvs_namespace(found: str | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (values.quoted(found) if found else "",)


def _child_wait(run: Run, target: Any, at: Directive) -> object:
    value = integer(run, at, at.words[1], 0, UNSIGNED)
    if value is None:
        run.error(f"Invalid child_wait_time {at.words[1]}", at, word=1)
        return FAILED
    return value


TOP_LEVEL: list[Keyword[Any]] = [
    values.flag(
        "linkbeat_use_polling",
        "linkbeat_use_polling",
        help="ask for the link of every interface instead of waiting for news from the kernel",
    ),
    _once("net_namespace", "net_namespace", "run inside this network namespace"),
    values.converted(
        "net_namespace_ipvs",
        "net_namespace_ipvs",
        _ipvs_namespace,
        "[<NAME>]",
        required=False,
        pure=False,
        show=_show_ipvs_namespace,
        default="the same namespace",
        help="virtual servers are set up in this network namespace; without a name in the default one",
        schema={"type": "string"},
    ),
    values.flag(
        "namespace_with_ipsets", "namespace_with_ipsets", help="use ipsets in a network namespace too"
    ),
    values.flag("use_pid_dir", "use_pid_dir", help="keep pid files in a directory of our own"),
    _once("instance", "instance", "name of this daemon among several on one machine"),
    values.converted(
        "child_wait_time",
        "child_wait_time_s",
        _child_wait,
        f"<INT 0..{UNSIGNED}>",
        default="5",
        unit="s",
        help="how long the children may take to end",
        schema={"type": "integer", "minimum": 0, "maximum": UNSIGNED},
    ),
]
