"""`linkbeat_interfaces`: interfaces whose link is asked for regularly."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Run
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.interfaces import LinkbeatInterface, LinkPolling


def known(run: Run, at: Directive, purpose: str) -> bool:
    """Whether the interface that the line begins with exists or may come; keepalived refuses others."""
    name = at.words[0]
    if run.written.globals.dynamic_interfaces or run.host.interface_exists(name):
        return True
    run.error(
        f"unknown interface {name} specified for {purpose}",
        at,
        word=0,
        code="unknown-interface",
        error_class=ErrorClass.FATAL,
    )
    return False


def _entry(run: Run, written: Written, at: Directive) -> None:
    if not known(run, at, "linkbeat interface"):
        return
    method = None
    if len(at.words) > 1:
        method = LinkPolling.__members__.get(at.words[1])
        if method is None or len(at.words) > 2:
            message = f"extra characters {at.words[1]} in linkbeat interface"
            run.error(
                message, at, word=1 if method is None else 2, expected=", ".join(LinkPolling.__members__)
            )
    name = at.words[0]
    others = [one for one in written.linkbeat_interfaces if one.interface != name]
    written.linkbeat_interfaces = [*others, Draft(LinkbeatInterface, at, interface=name, method=method)]


def _show_entry(found: LinkbeatInterface) -> str:
    return " ".join(filter(None, (values.quoted(found.interface), found.method and found.method.value)))


_OPTIONS = (
    values.option("MII", "", "ask the MII registers first"),
    values.option("ETHTOOL", "", "ask by ethtool's call first"),
    values.option("IOCTL", "", "ask by the old private call first"),
)

BLOCK: Block[Any] = Block(
    "linkbeat_interfaces",
    {one.name: one for one in _OPTIONS},
    entry=_entry,
    show_entry=_show_entry,
    entry_help="<IF> [MII|ETHTOOL|IOCTL]: an interface, and which way of asking is tried first",
)


def opened(run: Run, written: Written, at: Directive) -> Written:
    """The list is kept with everything that was written."""
    values.list_block(run, at)
    return written
