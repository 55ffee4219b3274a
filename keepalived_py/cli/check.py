"""`-t`: check the configuration, say what is wrong, exit as keepalived would.

Nothing heavy is imported on this way, no packet, netlink or event-loop library.
Findings go to stderr, or are appended to a file (mode 0600, never through a
symbolic link); JSON goes to stdout, for programs.
"""

import os
import sys
from typing import TYPE_CHECKING

from keepalived_py.cli.options import Options, Style
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import namespaces
from keepalived_py.diagnostics.render import render

if TYPE_CHECKING:
    from keepalived_py.config.host import Host

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
        loaded = load_for(options)
        if loaded is None:
            return 0
        _report(loaded, options.diagnostics, report_fd)
    finally:
        if report_fd is not None:
            os.close(report_fd)
    # keepalived 2.2.7 counts every -S but 0-7 as a mistake in the configuration.
    if loaded.test_exit_code == 0 and options.facility_complaint:
        return EXIT_CONFIGURATION_ERROR
    return loaded.test_exit_code


def load_for(options: Options) -> Loaded | None:
    """The configuration, read in its network namespace.

    None if there is no such namespace: keepalived says nothing more and exits with 0.
    """
    try:
        if options.namespace is not None:
            namespaces.enter(options.namespace)
        loaded = load_once(options, options.file)
        named = loaded.configuration.globals.net_namespace
        if options.namespace is None and named is not None:
            namespaces.enter(named)
            loaded = load_once(options, options.file)
    except namespaces.NamespaceMissing as missing:
        print(missing, file=sys.stderr)
        return None
    return loaded


def load_once(options: Options, path: str) -> Loaded:
    """Read the configuration at `path` on this machine as it is now."""
    from keepalived_py.config.load import load

    name = options.config_id or os.uname().nodename.partition(".")[0]
    return load(path, config_id=name, host=_host(), all_config=options.all_config)


def _host() -> "Host":
    if namespaces.inside():
        from keepalived_py.daemon.namespace_host import NamespaceHost

        return NamespaceHost()
    from keepalived_py.config.host import RealHost

    return RealHost()


def _open_report(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _report(loaded: Loaded, style: Style, report_fd: int | None) -> None:
    found = loaded.diagnostics
    if style == "keepalived":
        found = tuple(each for each in found if not each.logged_only)
    out = sys.stdout if style == "json" else sys.stderr
    colour = style == "full" and report_fd is None and out.isatty() and not os.environ.get("NO_COLOR")
    text = render(found, style, colour)
    if text and not text.endswith("\n"):
        text += "\n"
    if report_fd is not None:
        os.write(report_fd, text.encode("utf-8", "surrogateescape"))
    else:
        out.write(text)
        out.flush()
