"""`BFD_CHECK`: the server is up while a BFD session is."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CheckDraft, alpha
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.model.checks import BfdCheck

LONGEST_NAME = 31


def _server(check: Any) -> str:
    """How keepalived calls the real server."""
    server = check.real_server
    protocol = server.virtual_server.protocol
    return f"[{server.address}]:{protocol.value.lower() if protocol else 'none'}:{server.port}"


def _name(run: Run, check: Any, at: Directive) -> None:
    """The session.  After a mistake the check is gone, and nothing more is said about it."""
    if check.__dict__.get("refused"):
        return
    complaint = _complaint(run, check, at)
    if not complaint:
        check.name = at.words[1]
        check.given["name"] = at
        return
    run.error(
        f"({_server(check)}) BFD_CHECK - {complaint}",
        at,
        word=1,
        code="invalid-reference",
        expected="the name of a bfd_instance block above that tells checkers, once for each real server",
    )
    check.refused = True
    check.drop()


def _complaint(run: Run, check: Any, at: Directive) -> str:
    """What is wrong with the name; "" if nothing is."""
    if len(at.words) != 2:
        return "No or too many names specified - skipping checker"
    name = at.words[1]
    session = run.written.bfd_instances.get(name)
    if session is None or not session.checker:
        return f"BFD {name} not configured"
    if check.written("name"):
        return f"BFD {name} already specified as {check.name}"
    if len(name.encode()) > LONGEST_NAME:
        return f"BFD name {name} too long"
    others = (one for one in check.real_server.checks if one.record_type is BfdCheck and one is not check)
    return f"RS already monitoring {name}" if any(one.name == name for one in others) else ""


def _silent(keyword: Keyword[Any]) -> Keyword[Any]:
    """The keyword, without effect once the check is gone."""
    convert = keyword.convert
    assert convert is not None

    def unless_refused(run: Run, check: Any, at: Directive) -> object:
        return FAILED if check.__dict__.get("refused") else convert(run, check, at)

    return replace(keyword, convert=unless_refused, pure=False)


def closed(run: Run, check: Any, at: Directive) -> None:
    """The end of the block."""
    if check.__dict__.get("refused"):
        return
    if not check.written("name"):
        run.error(
            f"({_server(check)}) No name has been specified for BFD_CHECKER - skipping",
            closing(at),
            code="missing-keyword",
            expected="name BFD_INSTANCE in the BFD_CHECK block",
        )
        check.drop()


BLOCK: Block[CheckDraft] = block(
    "BFD_CHECK",
    [
        values.custom(
            "name",
            _name,
            "<NAME max 31>",
            required=False,
            help="the bfd_instance to follow, defined above",
            attribute="name",
            show=values.show_text,
            schema={"type": "string", "maxLength": LONGEST_NAME},
        ),
        _silent(alpha()),
    ],
    record=BfdCheck,
    show_header=lambda check: "",
)
