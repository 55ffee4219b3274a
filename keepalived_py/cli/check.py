"""`-t`: check the configuration, say what is wrong, exit as keepalived would.

Nothing heavy is imported on this way, no packet, netlink or event-loop library.
Findings go to stderr, or are appended to a file (mode 0600, never through a
symbolic link); JSON goes to stdout, for programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keepalived_py.base.record import replace
from keepalived_py.cli.hosts import host_for
from keepalived_py.cli.options import Options, Style
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import namespaces

if TYPE_CHECKING:
    from keepalived_py.config.host import Host
    from keepalived_py.diagnostics.report import Diagnostic

EXIT_BAD_OPTION = 1
EXIT_CONFIGURATION_ERROR = 5


def check(options: Options) -> int:
    """Check the configuration of `options`; returns keepalived's exit code for -t."""
    # Opened first: a report that cannot be written is known before the work.
    try:
        report_fd = _open_report(options.test_file) if options.test_file else None
    except OSError as fault:
        reason = f"{fault.errno} - {fault.strerror}"
        print(f"Unable to open config-test log file {options.test_file} {reason}", file=sys.stderr)
        return EXIT_BAD_OPTION
    try:
        read = _read_in_namespace(options)
        if read is None:
            return EXIT_BAD_OPTION if options.facts is not None else 0
        loaded, found = read
        report(found, options.diagnostics, report_fd)
    finally:
        if report_fd is not None:
            os.close(report_fd)
    # keepalived 2.2.7 counts every -S but 0-7 as a mistake in the configuration.
    if loaded.test_exit_code == 0 and options.facility_complaint:
        return EXIT_CONFIGURATION_ERROR
    return loaded.test_exit_code


def _read_in_namespace(options: Options) -> tuple[Loaded, Sequence[Diagnostic]] | None:
    """The configuration, read in its network namespace, and what is to be said about it.

    Where the file's namespace is missing, keepalived says what its parent process has
    found and exits with 0.  None if `-s` names one that is missing (also 0), and if the
    description of a machine cannot be read.
    """
    try:
        if options.facts is not None or options.no_host:
            return _read_elsewhere(options)
        if options.namespace is not None:
            namespaces.enter(options.namespace)
        read = _read(options, host_for())
        named = read[0].net_namespace
        if options.namespace is None and named is not None:
            try:
                namespaces.enter(named)
            except namespaces.NamespaceMissing as missing:
                print(missing, file=sys.stderr)
                return _read_as_parent(options, host_for())
            read = _read(options, host_for())
    except namespaces.NamespaceMissing as missing:
        print(missing, file=sys.stderr)
        return None
    return read


def _read_as_parent(options: Options, host: Host) -> tuple[Loaded, Sequence[Diagnostic]]:
    from keepalived_py.config.load import load_as_parent

    loaded = load_as_parent(options.file, config_id=_config_id(options, host), host=host, **_version(options))
    return loaded, loaded.diagnostics


def _read_elsewhere(options: Options) -> tuple[Loaded, Sequence[Diagnostic]] | None:
    """The configuration, read for another machine; what could not be checked is said in every style."""
    from keepalived_py.config.checked import skipped
    from keepalived_py.config.facts import FactsError

    try:
        host = host_for(options.facts, options.no_host)
    except FactsError as error:
        print(error, file=sys.stderr)
        return None
    loaded, found = _read(options, host)
    if options.diagnostics != "keepalived":
        return loaded, (*found, *skipped(host, options.ignore))
    for hint in skipped(host, options.ignore):
        print(hint.message, file=sys.stderr)
    return loaded, found


def _read(options: Options, host: Host) -> tuple[Loaded, Sequence[Diagnostic]]:
    """keepalived's own style is for programs that know keepalived: it gives no advice and pays for none."""
    if options.diagnostics == "keepalived":
        loaded = _load(options, options.file, host)
        return loaded, loaded.diagnostics
    from keepalived_py.config.checked import checked

    found = checked(
        options.file,
        config_id=_config_id(options, host),
        host=host,
        all_config=options.all_config,
        ignored=options.ignore,
        **_version(options),
    )
    return found.loaded, found.diagnostics


def load_once(options: Options, path: str) -> Loaded:
    """Read the configuration at `path` on this machine as it is now, to run it.

    A daemon does what newer versions brought too, so it must not log that it knows nothing of them.
    """
    from keepalived_py.config.schema import NEWEST

    return _load(replace(options, compat=options.compat or NEWEST), path, host_for())


def _load(options: Options, path: str, host: Host) -> Loaded:
    from keepalived_py.config.load import load

    return load(
        path,
        config_id=_config_id(options, host),
        host=host,
        all_config=options.all_config,
        **_version(options),
    )


def _version(options: Options) -> dict[str, str]:
    """The version whose verdict is wanted, if one was named."""
    return {} if options.compat is None else {"compat": options.compat}


def _config_id(options: Options, host: Host) -> str:
    return options.config_id or (host.host_name() or os.uname().nodename).partition(".")[0]


def _open_report(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def report(found: Sequence[Diagnostic], style: Style, report_fd: int | None = None) -> None:
    """Write diagnostics where their style belongs, or to an open file."""
    if style == "keepalived":
        found = tuple(each for each in found if not each.logged_only)
        if not found:
            return
    from keepalived_py.diagnostics.render import render  # advice and folding: paid if there is something

    out = sys.stdout if style in ("json", "sarif") else sys.stderr
    colour = style == "full" and report_fd is None and out.isatty() and not os.environ.get("NO_COLOR")
    text = render(found, style, colour)
    if text and not text.endswith("\n"):
        text += "\n"
    if report_fd is not None:
        os.write(report_fd, text.encode("utf-8", "surrogateescape"))
    else:
        out.write(text)
        out.flush()
