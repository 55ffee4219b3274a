"""Which process of keepalived reads what, and what that means where the braces are wrong.

keepalived reads a configuration four times: in the parent, the checker, the
VRRP and the BFD process.  Each of them skips the blocks of the others as a
whole.  While every brace is where it should be, one reading says the same, so
we read once.  Where it is not, or where a missing argument ends the reading of
one process, the processes disagree about what belongs to what, and the file is
read again pass by pass, as they do; each message is kept once.
"""

from collections.abc import Callable, Iterable, Sequence

from keepalived_py.base.record import replace
from keepalived_py.config.document import Directive, Statement
from keepalived_py.config.schema import Block, Keyword, Run, walk
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

_BOTH = frozenset({"track_file", "vrrp_track_file", "bfd_instance"})
CHECKER = _BOTH | {"SSL", "virtual_server_group", "virtual_server"}
VRRP = _BOTH | {
    "garp_group",
    "interface_up_down_delays",
    "linkbeat_interfaces",
    "static_ipaddress",
    "static_routes",
    "static_rules",
    "track_group",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_track_process",
}
BFD = frozenset({"bfd_instance"})
OF_CHECKER = ("ssl", "server_groups", "virtual_servers", "checker_scripts_run", "checker_scripts_insecure")
DISAGREE = frozenset({ErrorClass.UNEXPECTED_BRACE, ErrorClass.MISSING_BRACE})

Root = Callable[[Written], Block[Written]]


def _skip(run: Run, target: object, at: Directive) -> None:
    """Refuse the block: what is inside is skipped unread."""


_NOTHING: Block[Written] = Block("")


def _skipped(keyword: Keyword[Written]) -> Keyword[Written]:
    """A keyword of another process: it and its block are passed over."""
    return Keyword(keyword.name, block=_NOTHING, open=_skip)


def restricted(root: Block[Written], active: Callable[[str], bool]) -> Block[Written]:
    """The top level as one process sees it; `active` tells which of its blocks and words it reads."""
    keywords = {
        name: keyword if active(name) else _skipped(keyword) for name, keyword in root.keywords.items()
    }
    return replace(root, keywords=keywords)


def read(run: Run, root: Root, directives: Sequence[Statement], lexical: Iterable[Diagnostic]) -> Run:
    """Read everything into `run.written`; the run that was made instead where passes were needed."""
    walk(run, root(run.written), run.written, directives)
    if not run.stopped and not any(one.error_class in DISAGREE for one in (*lexical, *run.diagnostics)):
        return run
    return _read_by_process(run, root, directives)


def _read_by_process(run: Run, root: Root, directives: Sequence[Statement]) -> Run:
    """All passes in keepalived's order; the first that must stop is the last."""
    whole = Run(run.host, Written(globals=run.written.globals), run.compat)
    for process in (None, CHECKER, VRRP, BFD):
        one = Run(run.host, Written(globals=run.written.globals), run.compat)
        walk(one, restricted(root(one.written), _reader(process)), one.written, directives)
        _merge(whole, one.diagnostics)
        if process is CHECKER:
            checker = one.written
        elif process is VRRP:
            _take_over(whole, one.written, checker)
        whole.stopped = one.stopped
        if whole.stopped:
            break
    return whole


def _reader(process: frozenset[str] | None) -> Callable[[str], bool]:
    """Which words a process reads; None is the parent, which reads what is nobody else's."""
    if process is None:
        return lambda name: name not in CHECKER and name not in VRRP
    return process.__contains__


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
    return one.message, origin.file if origin else "", origin.line if origin else 0
