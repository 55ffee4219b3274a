"""Reading the configuration again, and deciding whether it may be taken.

A reload is taken whole or refused whole: a new configuration that could not be
started with is refused with its mistakes in the log, and the running one stays.
(keepalived ends itself there and leaves its addresses behind.)  What cannot change
while processes run, such as the network namespace, refuses it too, in keepalived's
words.

`reload_check_config`: what `-t` finds wrong with the file, be it ever so small,
refuses the reload and is written to a file.  keepalived starts itself once more for
that; here the parent, which reads the file anyway, has the verdict of `-t` at hand.

`reload_file`: a file that is there while the configuration is being read.
"""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from keepalived_py.base.record import replace
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import supported
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.config import Configuration, Globals

_KEPT = "New configuration refused, the running one is kept"
_MARKER_MODE = 0o644

Load = Callable[[], Loaded]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the new configuration is not taken, one line each.

    `checked`: it was the check before the reload that refused it, so no reload has begun.
    """

    lines: tuple[str, ...]
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The new configuration and what is to be said about it."""

    configuration: Configuration
    lines: tuple[str, ...]


def read_again(load: Load, current: Globals, *, fixed_namespace: bool = False) -> Accepted | Refused:
    """Load and judge the configuration that shall replace the one with `current`.

    `fixed_namespace`: the command line names the network namespace, so the file cannot change it.
    """
    try:
        loaded = load()
    except Exception:  # a fault of ours while reading must not take the running daemon down
        return Refused((*traceback.format_exc().splitlines(), _KEPT))
    report = current.reload.check_config
    if report is not None:
        failed = _check(loaded, report)
        if failed is not None:
            return Refused((failed,), checked=True)
    lines = log_lines(loaded.diagnostics)
    if loaded.start_exit_code is not None:
        return Refused((*lines, _KEPT))
    stays = tuple(_what_must_stay(current, loaded.configuration.globals, fixed_namespace))
    if stays:
        said = (f"Cannot change {what} at a reload - please restart keepalived" for what in stays)
        return Refused((*lines, *said))
    found = supported.runnable(loaded.configuration)
    return Accepted(found.configuration, (*lines, *effect_lines(found.idle)))


def log_lines(diagnostics: Sequence[Diagnostic]) -> tuple[str, ...]:
    """Diagnostics as keepalived logs them, one line each."""
    said = [replace(each, logged_only=False) for each in diagnostics]  # -t leaves some to the log
    return tuple(render(said, "keepalived").splitlines())


def effect_lines(words: Sequence[str]) -> tuple[str, ...]:
    """The line that names what is understood but not acted upon; none if there is nothing."""
    return (f"Accepted but without effect yet: {', '.join(words)}",) if words else ()


def _what_must_stay(old: Globals, new: Globals, fixed_namespace: bool) -> Iterator[str]:
    """What differs and must not, in keepalived's words and order."""
    fixed = {
        "network namespace": fixed_namespace or old.net_namespace == new.net_namespace,
        "IPVS network namespace": old.net_namespace_ipvs == new.net_namespace_ipvs,
        "instance name": old.instance == new.instance,
        "nftables table name": old.firewall.table == new.firewall.table,
        "IPVS nftables table name": old.firewall.ipvs_table == new.firewall.ipvs_table,
        "config_directory": old.files.tmp_config_directory == new.files.tmp_config_directory,
        "disable_local_igmp": old.disable_local_igmp == new.disable_local_igmp,
    }
    return (what for what, same in fixed.items() if not same)


def _check(loaded: Loaded, report: str) -> str | None:
    """Write what `-t` would say to the file `report`; a line for the log if `-t` would not end with 0."""
    said = [each for each in loaded.diagnostics if not each.logged_only]
    text = render(said, "keepalived") if said else ""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(report, flags, 0o600)
        try:
            os.write(descriptor, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)
    except OSError as fault:
        return f"Unable to open config-test log file {report} {fault.errno} - {fault.strerror}"
    return f"New config failed validation, see {report} for details" if loaded.test_exit_code else None


def marker_path(settings: Globals, usual: str) -> str | None:
    """Where `reload_file` is: as written, or at the `usual` place; None: nowhere."""
    return usual if settings.reload.marker == "" else settings.reload.marker


@contextmanager
def marked(path: str | None) -> Iterator[list[str]]:
    """The file `path` is there meanwhile.  Yields what is to be logged about that."""
    lines: list[str] = []
    if path is None:
        yield lines
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _MARKER_MODE)
        os.fchmod(descriptor, _MARKER_MODE)  # whatever the umask
        os.close(descriptor)
    except OSError as fault:
        lines.append(f"Failed to create reload file ({path}) {fault.errno} - {fault.strerror}")
    try:
        yield lines
    finally:
        with suppress(OSError):
            os.unlink(path)
