"""`keepalived-py check FILE...`: check files anywhere, and several of them as one cluster.

The exit code is the worst of the files' own (those of `-t`), 5 if the files
contradict each other, 1 for a wrong command line or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from keepalived_py.cli.check import EXIT_CONFIGURATION_ERROR, report
from keepalived_py.cli.hosts import host_for, with_addresses
from keepalived_py.cli.options import STYLES, code_list, is_version
from keepalived_py.cli.words import EXIT_USAGE, Parser, node_id
from keepalived_py.config.checked import Checked, checked, skipped, switched_off
from keepalived_py.config.cluster_check import CODES, cluster_findings
from keepalived_py.config.facts import FactsError
from keepalived_py.config.lint.rules import LINTS, without_ignored
from keepalived_py.config.schema import BASELINE
from keepalived_py.diagnostics.report import Diagnostic, Severity

if TYPE_CHECKING:
    from keepalived_py.config.host import Host


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py check",
        description="Check configuration files; several files are also compared as the nodes of one cluster.",
    )
    add = made.add_argument
    add("files", nargs="*", metavar="FILE", help="a configuration; with several, one for each node")
    add(
        "--facts",
        action="append",
        default=[],
        metavar="FILE",
        help="the machine, as `keepalived-py facts` prints it; once for all files, or once for each",
    )
    add("--no-host", action="store_true", help="leave out what depends on the machine")
    add(
        *("-i", "--config-id"),
        action="append",
        default=[],
        metavar="ID",
        help="what @ID lines are compared with (default: the host name); once for all files, or for each",
    )
    add("-e", "--all-config", action="store_true", help="a missing included file is an error")
    add("--separate", action="store_true", help="do not compare the files with each other")
    add(
        "--ignore",
        action="append",
        default=[],
        metavar="CODE[,CODE]",
        help="leave out these warnings and hints",
    )
    add("--compat", metavar="VERSION", help="the keepalived whose verdict counts (2.2.7)")
    add("--diagnostics", choices=sorted(STYLES), default="full", help="how findings are written (full)")
    add("--lints", action="store_true", help="list the codes of all lints")
    return made


def run(words: Sequence[str]) -> int:
    """Check the files that `words` name; returns the exit code."""
    made = parser()
    options = made.parse_args(words)
    if options.lints:
        for code, summary in (*((lint.code, lint.summary) for lint in LINTS), *CODES.items()):
            print(f"{code:<26} {summary}")
        return 0
    _validate(made, options)
    try:
        hosts = _hosts(options)
    except FactsError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    ignored = {code for text in options.ignore for code in code_list(text)}
    each = [
        _check(path, host, config_id, options, ignored)
        for path, host, config_id in zip(
            options.files, cycle(hosts), cycle(options.config_id or [None]), strict=False
        )
    ]
    return _finish(options, each, hosts, ignored)


def _hosts(options: argparse.Namespace) -> list[Host]:
    """One machine for all files, or one for each; raises FactsError."""
    if options.facts:
        return [host_for(path) for path in options.facts]
    return [host_for(no_host=True) if options.no_host else with_addresses()]


def _validate(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a usage message for what argparse cannot see."""
    if not options.files:
        made.error("which FILE?")
    for name, given in (("--facts", options.facts), ("--config-id", options.config_id)):
        if len(given) not in (0, 1, len(options.files)):
            made.error(f"{name} once, or once for each file")
    if options.facts and options.no_host:
        made.error("--facts and --no-host exclude each other")
    if options.compat is not None and not is_version(options.compat):
        made.error(f"--compat {options.compat}: a version such as 2.2.7")


def _check(
    path: str, host: Host, config_id: str | None, options: argparse.Namespace, ignored: set[str]
) -> Checked:
    return checked(
        path,
        config_id=node_id(config_id, host),
        host=host,
        all_config=options.all_config,
        ignored=ignored,
        name=f"{path} ({config_id})" if len(options.config_id) > 1 else path,
        compat=options.compat or BASELINE,
    )


def _finish(
    options: argparse.Namespace, each: Sequence[Checked], hosts: Sequence[Host], ignored: set[str]
) -> int:
    """Report everything; the exit code."""
    found = [one for checked_file in each for one in checked_file.diagnostics]
    cluster = () if options.separate else _together(each, ignored)
    hints = [hint for host in hosts for hint in skipped(host, ignored)]
    report((*found, *cluster, *hints), options.diagnostics)
    if options.diagnostics == "full":
        print(_summary(len(each), (*found, *cluster, *hints)), file=sys.stderr)
    codes = [_exit_code(one) for one in each]
    if any(one.severity is Severity.ERROR for one in cluster):
        codes.append(EXIT_CONFIGURATION_ERROR)
    return max(codes)


def _together(each: Sequence[Checked], ignored: set[str]) -> tuple[Diagnostic, ...]:
    """What contradicts between the files; those that keepalived refuses are left out."""
    subjects = [one.subject for one in each if one.subject is not None]
    if len(subjects) < 2:
        return ()
    found = cluster_findings(subjects)
    return tuple(without_ignored(found, switched_off(subjects), ignored))


def _exit_code(one: Checked) -> int:
    """That of `-t`; but a file that is not there is a mistake here."""
    code = one.loaded.test_exit_code
    return EXIT_USAGE if one.unreadable and code == 0 else code


def _summary(files: int, found: Sequence[Diagnostic]) -> str:
    """`2 files: 1 error, 3 warnings`."""
    counts = [(severity.value, sum(one.severity is severity for one in found)) for severity in Severity]
    parts = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts if count]
    return f"{files} file{'' if files == 1 else 's'}: {', '.join(parts) or 'nothing to say'}"
