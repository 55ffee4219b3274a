"""Reading the configuration again, and deciding whether it may be taken.

A reload is taken whole or refused whole: a new configuration that could not be
started with is refused with its mistakes in the log, and the running one stays.
(keepalived ends itself there and leaves its addresses behind.)  What cannot change
while processes run, the network namespace and the instance name, refuses it too.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keepalived_py.base.record import replace
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import supported
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.config import Configuration, Globals

_KEPT = "New configuration refused, the running one is kept"

Load = Callable[[], Loaded]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the new configuration is not taken, one line each."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The new configuration and what is to be said about it."""

    configuration: Configuration
    lines: tuple[str, ...]


def read_again(load: Load, current: Globals) -> Accepted | Refused:
    """Load and judge the configuration that shall replace the one with `current`."""
    try:
        loaded = load()
    except Exception:  # a fault of ours while reading must not take the running daemon down
        return Refused((*traceback.format_exc().splitlines(), _KEPT))
    lines = log_lines(loaded.diagnostics)
    if loaded.start_exit_code is not None:
        return Refused((*lines, _KEPT))
    fixed = _what_must_stay(current, loaded.configuration.globals)
    if fixed is not None:
        return Refused((*lines, f"Cannot change {fixed} at a reload - please restart keepalived"))
    refused = supported.refusal(loaded.configuration)
    if refused is not None:
        return Refused((*lines, refused, _KEPT))
    found = supported.runnable(loaded.configuration)
    return Accepted(found.configuration, (*lines, *found.notes, *effect_lines(found.idle)))


def log_lines(diagnostics: Sequence[Diagnostic]) -> tuple[str, ...]:
    """Diagnostics as keepalived logs them, one line each."""
    said = [replace(each, logged_only=False) for each in diagnostics]  # -t leaves some to the log
    return tuple(render(said, "keepalived").splitlines())


def effect_lines(words: Sequence[str]) -> tuple[str, ...]:
    """The line that names what is understood but not acted upon; none if there is nothing."""
    return (f"Accepted but without effect yet: {', '.join(words)}",) if words else ()


def _what_must_stay(old: Globals, new: Globals) -> str | None:
    if old.net_namespace != new.net_namespace:
        return "network namespace"
    if old.instance != new.instance:
        return "instance name"
    return None
