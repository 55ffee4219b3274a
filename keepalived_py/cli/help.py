"""What `-h`, `-v` and `--signum` answer."""

from __future__ import annotations

import platform
import signal

from keepalived_py import __version__
from keepalived_py.cli.commands import COMMANDS
from keepalived_py.cli.options import SPECS, OptionSpec, Value

_COLUMN = 31
_LONG_ONLY_INDENT = " " * 6


def signal_numbers() -> dict[str, int]:
    """keepalived's words for the signals it understands."""
    return {
        "STOP": signal.SIGTERM,
        "RELOAD": signal.SIGHUP,
        "DATA": signal.SIGUSR1,
        "STATS": signal.SIGUSR2,
        "STATS_CLEAR": signal.SIGRTMAX - 1,
        "JSON": signal.SIGRTMIN + 2,
    }


def help_text() -> str:
    """The list of options and commands."""
    lines = ["Usage: keepalived-py [OPTION...]", "  or:  keepalived-py COMMAND [ARGUMENT...]"]
    for spec in SPECS:
        if not spec.hidden:
            lines.append(_help_line(spec))
    lines += ["", "Commands (keepalived-py COMMAND --help tells more):"]
    lines += [f"  {name:<{_COLUMN - 2}}{text}" for name, text in COMMANDS.items()]
    return "\n".join(lines)


def _help_line(spec: OptionSpec) -> str:
    value = {Value.NONE: "", Value.REQUIRED: f"={spec.metavar}", Value.OPTIONAL: f"[={spec.metavar}]"}
    start = f"  -{spec.short}, " if spec.short else _LONG_ONLY_INDENT
    names = f"{start}--{spec.long}{value[spec.value]}"
    text = spec.help + (" (no effect yet)" if spec.without_effect else "")
    if len(names) < _COLUMN - 1:
        return f"{names:<{_COLUMN}}{text}"
    return f"{names}\n{'':<{_COLUMN}}{text}"


def version_text() -> str:
    """Version of the program, of what it follows, and of what it runs on."""
    return (
        f"Keepalived-py v{__version__} (follows Keepalived v2.2.7)\n\n"
        f"Running on {kernel()}\n"
        f"Python {platform.python_version()}"
    )


def kernel() -> str:
    """The running kernel as keepalived names it."""
    system = platform.uname()
    return f"{system.system} {system.release} {system.version}"
