"""Which process of keepalived reads what, and what that means where the braces are wrong.

keepalived reads a configuration four times: in the parent, the checker, the
VRRP and the BFD process.  Each of them skips the blocks of the others as a
whole.  While every brace is where it should be, one reading says the same, so
we read once.  Where it is not, or where a missing argument ends the reading of
one process, the processes disagree about what belongs to what, and the file is
read again pass by pass, as they do; each message is kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keepalived_py.base.record import Record, replace
from keepalived_py.config.document import Directive, Statement
from keepalived_py.config.schema import BASELINE, Block, Keyword, Run
from keepalived_py.config.walk import walk
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

_BOTH = frozenset({"track_file", "vrrp_track_file", "bfd_instance"})
CHECKER = _BOTH | {"SSL", "virtual_server_group", "virtual_server"}
VRRP = _BOTH | {
    "garp_group",
    "interface_up_down_delays",
    "linkbeat_interfaces",
    "raft_cluster",
    "static_ipaddress",
    "static_routes",
    "static_rules",
    "track_group",
    "vrrp_check",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_track_process",
}
BFD = frozenset({"bfd_instance"})
READ_BY = {"checker": CHECKER, "vrrp": VRRP, "bfd": BFD}
OF_CHECKER = ("ssl", "server_groups", "virtual_servers", "checker_scripts_run", "checker_scripts_insecure")
NOBODY = "unknown-user"  # said once, by the first process that asks for the default user
DISAGREE = frozenset({ErrorClass.UNEXPECTED_BRACE, ErrorClass.MISSING_BRACE})


class Roots(Record):
    """The top level: for the first reading of the globals, and for a reading of everything."""

    first: Block[Written]
    again: Callable[[Written], Block[Written]]


def _skip(run: Run, target: object, at: Directive) -> None:
    """Refuse the block: what is inside is skipped unread."""


_NOTHING: Block[Written] = Block("")


def _skipped(keyword: Keyword[Written]) -> Keyword[Written]:
    """A keyword of another process: it and its block are passed over."""
    return Keyword(keyword.name, block=_NOTHING, open=_skip)


def _refused(keyword: Keyword[Written]) -> bool:
    """Whether no process of that version knows it."""
    return bool(keyword.removed) or keyword.since > BASELINE


def restricted(root: Block[Written], active: Callable[[str], bool]) -> Block[Written]:
    """The top level as one process sees it; `active` tells which of its blocks and words it reads."""
    keywords = {
        name: keyword if active(name) or _refused(keyword) else _skipped(keyword)
        for name, keyword in root.keywords.items()
    }
    return replace(root, keywords=keywords)


def read(run: Run, roots: Roots, directives: Sequence[Statement], lexical: Iterable[Diagnostic]) -> Run:
    """Read everything into `run.written`; the run that was made instead where passes were needed."""
    walk(run, roots.again(run.written), run.written, directives)
    before = tuple(lexical)
    if run.newer:
        run.verdict = _as_refused(run, roots, directives, before)
        return run
    if run.stopped or run.uneven or any(_matters(one) for one in (*before, *run.diagnostics)):
        return _read_by_process(run, roots, directives, before)
    return run


def read_as_parent(
    run: Run, roots: Roots, directives: Sequence[Statement], lexical: Iterable[Diagnostic]
) -> Run:
    """What the parent process alone finds: keepalived gets no further."""
    one = Run(run.host, Written(globals=_globals(run, roots, directives)), run.compat, process="parent")
    walk(one, restricted(roots.again(one.written), _reader(one.process)), one.written, directives)
    one.diagnostics = [_early(each) for each in (*lexical, *one.diagnostics)]
    return one


def unread(run: Run, lexical: Sequence[Diagnostic]) -> list[Diagnostic]:
    """`lexical` as keepalived says it: where its parent process stopped, it has not seen the rest."""
    stop = next((one for one in run.diagnostics if one.stops), None)
    if stop is None or stop.origin is None or run.process != "parent":
        return list(lexical)
    end = _position(stop.origin)
    return [
        _early(one) if one.origin is not None and _position(one.origin) <= end else replace(one, own=True)
        for one in lexical
    ]


def _position(origin: Origin) -> tuple[int, ...]:
    """Places in the order in which they are read."""
    lines: list[int] = []
    place: Origin | None = origin
    while place is not None:
        lines.insert(0, place.line)
        place = place.included_from
    return tuple(lines)


def _matters(one: Diagnostic) -> bool:
    asked = one.code == NOBODY and one.error_class is not None
    return asked or one.error_class in DISAGREE or _unended(one)


def _unended(one: Diagnostic) -> bool:
    """Whether the parent process counts its line otherwise than the others."""
    return one.origin is not None and one.origin.unended > 0 and not (one.own or one.early)


def _early(one: Diagnostic) -> Diagnostic:
    return replace(one, early=one.origin.unended) if one.origin is not None and _unended(one) else one


def _as_refused(
    run: Run, roots: Roots, directives: Sequence[Statement], lexical: Sequence[Diagnostic]
) -> Run:
    """What a version says that does not know all that `run` has understood.

    It reads the content of an unknown block as that of the block around it, and what
    comes of that is a consequence of the block's keyword.
    """
    verdict = Run(run.host, Written(globals=run.written.globals), run.compat, strict=True)
    verdict = _read_by_process(verdict, roots, directives, lexical)
    known = {_key(one) for one in run.diagnostics}
    cause: Diagnostic | None = None
    said: list[Diagnostic] = []
    for one in verdict.diagnostics:
        if one.code == "newer-keyword":
            cause = one
        follows = _key(one) not in known and one.cause is None and cause is not None
        said.append(replace(one, cause=cause) if follows else one)
    verdict.diagnostics = said
    return verdict


def said_by_newer(run: Run, verdict: Run) -> list[Diagnostic]:
    """What only a version says that understands everything: help for people, no part of the verdict."""
    known = {_key(one) for one in verdict.diagnostics}
    return [
        replace(one, own=True, error_class=None, stops=False)
        for one in run.diagnostics
        if _key(one) not in known and not one.logged_only
    ]


def _globals(run: Run, roots: Roots, directives: Sequence[Statement]) -> Any:
    """The globals as the parent process finds them, wherever the braces are."""
    first = Run(run.host, Written(), run.compat, strict=run.strict, process="parent")
    first.quoted_braces = run.quoted_braces
    walk(first, restricted(roots.first, _reader(first.process)), first.written, directives)
    return first.written.globals


def _read_by_process(
    run: Run, roots: Roots, directives: Sequence[Statement], lexical: Sequence[Diagnostic]
) -> Run:
    """All passes in keepalived's order; the first that must stop is the last."""
    found = _globals(run, roots, directives)
    whole = Run(run.host, Written(globals=found), run.compat, strict=run.strict)
    whole.diagnostics = [_early(one) for one in lexical if _unended(one)]
    parent = roots.again(whole.written)
    checker = before = whole.written
    for process in ("parent", "checker", "vrrp", "bfd"):
        written = whole.written if process == "parent" else Written(globals=found)
        one = Run(run.host, written, run.compat, strict=run.strict, process=process)
        one.quoted_braces = run.quoted_braces
        one.written.default_user = before.default_user
        one.written.default_user_failed = before.default_user_failed
        before = one.written
        walk(one, restricted(parent, _reader(process)), one.written, directives)
        _merge(whole, map(_early, one.diagnostics) if process == "parent" else one.diagnostics)
        if process == "checker":
            checker = one.written
        elif process == "vrrp":
            _take_over(whole, one.written, checker)
        whole.stopped = one.stopped
        if whole.stopped:
            whole.process = process
            break
    return whole


def _reader(process: str) -> Callable[[str], bool]:
    """Which words a process reads; the parent reads what is nobody else's."""
    if process == "parent":
        return lambda name: name not in CHECKER and name not in VRRP
    return READ_BY[process].__contains__


def _take_over(run: Run, vrrp: Written, checker: Written) -> None:
    """What the VRRP process read, with the checker's own part."""
    for field in type(vrrp).fields:
        setattr(run.written, field, getattr(checker if field in OF_CHECKER else vrrp, field))


def _merge(run: Run, found: Iterable[Diagnostic]) -> None:
    """Add what no earlier pass has said of the same place."""
    known = {_key(one) for one in run.diagnostics}
    run.diagnostics += [one for one in found if _key(one) not in known]


def _key(one: Diagnostic) -> tuple[str, str, int]:
    origin = one.origin
    return one.message, origin.file if origin else "", origin.line - one.early if origin else 0
