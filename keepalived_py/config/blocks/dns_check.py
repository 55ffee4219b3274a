"""`DNS_CHECK`: a query over UDP is answered without error."""

from __future__ import annotations

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CONNECTION, CheckDraft, closed, timing
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Run, block
from keepalived_py.model.checks import DnsCheck, DnsType

__all__ = ["BLOCK", "closed"]

SHORT = "keepalived takes a first label of one character for an empty one: `a.example.` cannot be asked for"


def _type(run: Run, check: object, at: Directive) -> object:
    found = DnsType.__members__.get(at.words[1].upper())
    if found is None:
        run.error(
            f"Unknown DNS check type {at.words[1]} - ignoring",
            at,
            word=1,
            expected=" or ".join(DnsType.__members__),
        )
        return FAILED
    return found


def _name(run: Run, check: CheckDraft, at: Directive) -> object:
    name = at.words[1]
    if check.written("name"):
        run.error("DNS_CHECK name already specified - ignoring", at, word=0, code="repeated-keyword")
        return FAILED
    short = name[1:2] == "." and name[0] != "." and name[0].isascii()
    if (name[:1] == "." and len(name) > 1) or short or ".." in name:
        run.error(
            f"DNS_CHECK name '{name}' has empty label - ignoring",
            at,
            word=1,
            expected="a domain name, without a dot in front and without two dots side by side",
            notes=(SHORT,) if short and ".." not in name else (),
        )
        return FAILED
    return name


BLOCK: Block[CheckDraft] = block(
    "DNS_CHECK",
    [
        *CONNECTION,
        *timing("3", "delay_loop"),
        values.converted(
            "type",
            "query_type",
            _type,
            "|".join(DnsType.__members__),
            default="SOA",
            help="the type of record asked for",
            show=lambda found: (found.name,),
            schema={"enum": list(DnsType.__members__)},
        ),
        values.converted(
            "name",
            "name",
            _name,
            "<DOMAIN>",
            default=".",
            help="the name asked for",
            schema={"type": "string"},
            pure=False,
        ),
    ],
    record=DnsCheck,
    show_header=lambda check: "",
)
