"""`global_defs`: the processes and their scheduling, and the scripts and users of the whole program."""

from __future__ import annotations

import re
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import script_users, values
from keepalived_py.config.blocks.commands import read_program
from keepalived_py.config.blocks.notify import show_command
from keepalived_py.config.blocks.values import LARGEST_INT, UNSIGNED, integer, need
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.globals import Process

LONGEST_NAME = 15
REAL_TIME = (1, 99)
DEFAULT_NAMES = {"vrrp": "keepalived_vrrp", "checker": "keepalived_lvs", "bfd": "keepalived_bfd"}
UMASK_BITS = {
    f"I{kind}{who}": bit << shift
    for who, shift in (("USR", 6), ("GRP", 3), ("OTH", 0))
    for kind, bit in (("R", 4), ("W", 2), ("X", 1))
}
NEWER_UMASK_BITS = {"IRWXU": 0o700, "IRWXG": 0o070, "IRWXO": 0o007}


def _owner(target: Any, process: str) -> Any:
    """Where the settings of a process are kept: the VRRP process's stand with the globals themselves."""
    return target if process == "vrrp" else values.part(target, process, Process)


# Names -----------------------------------------------------------------------


def _shortened(run: Run, target: Any, at: Directive) -> object:
    name = at.words[1]
    if len(name.encode(errors="surrogateescape")) > LONGEST_NAME:
        run.error(f"Process name {name} more than {LONGEST_NAME} characters, truncating", at, word=1)
        return name.encode(errors="surrogateescape")[:LONGEST_NAME].decode(errors="surrogateescape")
    return name


def _old_name(run: Run, target: Any, at: Directive) -> object:
    run.log("'lvs_process_name' is deprecated - please use 'checker_process_name'", at, code="deprecated")
    return _shortened(run, target, at)


def _default_names(run: Run, target: Any, at: Directive) -> None:
    target.vrrp_process_name = DEFAULT_NAMES["vrrp"]
    _owner(target, "checker").name = DEFAULT_NAMES["checker"]
    _owner(target, "bfd").name = DEFAULT_NAMES["bfd"]


def _name(keyword: str, attribute: str, help: str, **more: Any) -> Keyword[Any]:
    return values.converted(
        keyword,
        attribute,
        more.pop("convert", _shortened),
        "<NAME>",
        help=help,
        default="keepalived",
        schema={"type": "string", "maxLength": LONGEST_NAME},
        **more,
    )


NAMES: list[Keyword[Any]] = [
    values.custom(
        "process_names",
        _default_names,
        required=False,
        default="off",
        help="each child process gets a name of its own",
    ),
    _name("process_name", "process_name", "name of the parent process"),
    _name("vrrp_process_name", "vrrp_process_name", "name of the VRRP process"),
    *values.inside(
        "checker",
        Process,
        _name("checker_process_name", "name", "name of the checker process"),
        _name(
            "lvs_process_name",
            "name",
            "the old spelling of checker_process_name",
            convert=_old_name,
            alias="checker_process_name",
        ),
    ),
    *values.inside("bfd", Process, _name("bfd_process_name", "name", "name of the BFD process")),
]

# Scheduling ------------------------------------------------------------------


def _nice(process: str) -> Keyword[Any]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        value = integer(run, at, at.words[1], -20, 19)
        if value is None:
            run.error(f"Invalid {process} process priority specified", at, word=1)
            return FAILED
        return value

    return values.converted(
        f"{process}_priority",
        "nice",
        convert,
        "<INT -20..19>",
        required=False,
        missing=f"No {process} process priority specified",
        default="0",
        help=f"nice value of the {process} process; the lower, the more it is preferred",
        schema={"type": "integer", "minimum": -20, "maximum": 19},
    )


def _rt_priority(process: str) -> Keyword[Any]:
    title = f"{process} process real-time priority"
    low, high = REAL_TIME

    def convert(run: Run, target: Any, at: Directive) -> object:
        found = integer(run, at, at.words[1], -LARGEST_INT - 1, LARGEST_INT)
        if found is None:
            run.error(f"{title} '{at.words[1]}' invalid", at, word=1)
            return FAILED
        if found > high:
            run.error(f"{title} {found} greater than maximum {high} - setting to maximum", at, word=1)
        elif found < low:
            run.error(f"{title} {found} less than minimum {low} - setting to minimum", at, word=1)
        return min(max(found, low), high)

    return values.converted(
        f"{process}_rt_priority",
        "rt_priority",
        convert,
        f"<INT {low}..{high}>",
        required=False,
        missing=f"No {title} specified",
        default="not real-time",
        help=f"real-time priority of the {process} process",
        schema={"type": "integer", "minimum": low, "maximum": high},
    )


def _cpu_affinity(process: str) -> Keyword[Any]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        last = run.host.processors() - 1
        chosen: list[int] = []
        for position, word in enumerate(at.words[1:], 1):
            value = integer(run, at, word, 0, last, signed=True)
            if value is None:
                shown = _leading_number(word)
                run.error(
                    f"Invalid cpu_id:{shown} specified for {process} process",
                    at,
                    word=position,
                    expected=f"0 to {last}",
                )
                return FAILED
            chosen.append(value)
        return tuple(sorted(set(chosen)))

    return values.converted(
        f"{process}_cpu_affinity",
        "cpu_affinity",
        convert,
        "<CPU> [<CPU> ...]",
        required=False,
        missing=f"No {process} cpu_id set specified",
        default="every processor",
        help=f"processors that the {process} process may use",
        show=values.show_words,
        schema={"type": "array", "items": {"type": "integer", "minimum": 0}},
    )


def _leading_number(word: str) -> int:
    """What C's strtol makes of a word, cut to 32 bits."""
    found = re.match(r"\s*([+-]?[0-9]+)", word)
    value = max(-(2**63), min(2**63 - 1, int(found[1]) if found else 0))
    return (value + 2**31) % 2**32 - 2**31


def _rlimit(process: str, spelling: str) -> Keyword[Any]:
    name, right = f"{process}_rlimit_{spelling}", f"{process}_rlimit_rttime"

    def convert(run: Run, target: Any, at: Directive) -> object:
        if name != right:
            run.log(f"Keyword '{name}' is deprecated - please use '{right}'", at, code="deprecated")
        value = integer(run, at, at.words[1], 1, UNSIGNED)
        if value is None:
            run.error(f"Invalid {process} real-time limit - {at.words[1]}", at, word=1)
            return FAILED
        return Micros(max(value, 2))

    return values.converted(
        name,
        "rlimit_rttime_us",
        convert,
        f"<INT 1..{UNSIGNED}>",
        default="10000",
        unit="us",
        alias="" if name == right else right,
        help="longest time a real-time process may run without a pause"
        if name == right
        else f"the old spelling of {right}",
        schema={"type": "integer", "minimum": 2, "maximum": UNSIGNED},
    )


def scheduling(process: str) -> list[Keyword[Any]]:
    """The scheduling keywords of one process: `vrrp`, `checker` or `bfd`."""
    keywords = [
        _nice(process),
        values.flag(
            f"{process}_no_swap", "no_swap", help=f"keep all memory of the {process} process from swapping"
        ),
        _rt_priority(process),
        _cpu_affinity(process),
        _rlimit(process, "rttime"),
        _rlimit(process, "rtime"),
    ]
    return keywords if process == "vrrp" else values.inside(process, Process, *keywords)


def _max_auto_priority(run: Run, target: Any, at: Directive) -> object:
    if len(at.words) < 2:
        return REAL_TIME[1]
    word, high = at.words[1], REAL_TIME[1]
    value = integer(run, at, word, -1, high)
    if value is None:
        run.error(
            f"max_auto_priority '{word}' must be in [0, {high}] (or -1 to disable) - ignoring", at, word=1
        )
        return FAILED
    return value


AUTO_PRIORITY: list[Keyword[Any]] = [
    values.converted(
        "max_auto_priority",
        "max_auto_priority",
        _max_auto_priority,
        f"[<INT -1..{REAL_TIME[1]}>]",
        required=False,
        default="0",
        help="how far a process that runs late may raise its real-time priority; without a number to the top",
        schema={"type": "integer", "minimum": -1, "maximum": REAL_TIME[1]},
    ),
    values.number(
        "min_auto_priority_delay",
        "min_auto_priority_delay_us",
        1,
        10_000_000,
        "min_auto_priority_delay '{word}' must be in [1, 10000000] - ignoring",
        signed=True,
        required=False,
        missing="min_auto_priority_delay requires delay time",
        default="1000000",
        unit="us",
        help="how late a process must run for its priority to be raised",
    ),
]

# Users and scripts -----------------------------------------------------------


def _script_user(run: Run, target: Any, at: Directive) -> object:
    found = script_users.find_owner(run, at, at.words[1:3])
    if found is None or run.written.default_user_failed:
        run.written.default_user_failed = True
        run.error("Error setting global script uid/gid", at, word=1, code="unknown-user")
        return FAILED
    return found


def _program(kind: str) -> Keyword[Any]:
    attribute = f"{kind}_script"

    def convert(run: Run, target: Any, at: Directive) -> object:
        if getattr(target, attribute) is not None:
            run.error(f"{kind} script already specified", at, code="duplicate")
            return FAILED
        if len(at.words) < 2:
            run.error(f"{kind} script missing", at, code="missing-value")
            return FAILED
        made = read_program(run, at, kind)
        if made is None:
            run.error(f"Invalid {kind} script", at)
            return FAILED
        return made

    moment = "before the children start" if kind == "startup" else "after the children have ended"
    return values.converted(
        attribute,
        attribute,
        convert,
        "<CMD> [<USER> [<GROUP>]]",
        required=False,
        pure=False,
        show=show_command,
        help=f"command that is run once, {moment}",
        schema={"type": "string"},
    )


def _program_timeout(kind: str) -> Keyword[Any]:
    return values.number(
        f"{kind}_script_timeout",
        f"{kind}_script_timeout_s",
        1,
        1000,
        f"{kind}_script_timeout '{{word}}' must be in [1, 1000] - ignoring",
        required=False,
        missing=f"{kind}_script_timeout requires value",
        default="10",
        unit="s",
        help=f"how long the {kind}_script may take",
    )


def _umask(run: Run, target: Any, at: Directive) -> object:
    word = need(run, at, 1)
    if word is None:
        return FAILED
    if word[:1].isdigit():
        return _umask_number(run, at, word)
    mask, bits = 0, 0
    need_or = False
    for position, text in enumerate(at.words[1:], 1):
        rest = text
        while rest:
            if need_or:
                if not rest.startswith("|"):
                    run.error(f"Invalid umask syntax {text}", at, word=position, expected="bits joined by |")
                    return FAILED
                need_or, rest = False, rest[1:]
                continue
            bits = _umask_bit(run, at, rest, position)
            if not bits:
                return FAILED
            mask |= bits
            need_or, rest = True, rest[5:]
    if not need_or:
        run.error("umask missing bit value", at)
        return FAILED
    return mask


def _umask_bit(run: Run, at: Directive, text: str, position: int) -> int:
    """The bits that `text` begins with the name of; 0 if it does not."""
    name = text[:5]
    if name in UMASK_BITS:
        return UMASK_BITS[name]
    newer = NEWER_UMASK_BITS.get(name, 0)
    if not newer or run.compat < "2.2.8":
        run.error(
            f"Unknown umask bit {text}",
            at,
            word=position,
            severity=Severity.WARNING if newer else Severity.ERROR,
            expected="" if newer else ", ".join(UMASK_BITS),
            notes=(f"keepalived has {name} since 2.2.8",) if newer else (),
        )
    return newer


def _umask_number(run: Run, at: Directive, word: str) -> object:
    if len(at.words) != 2:
        run.error("Extra parameter(s) to umask option", at, word=2)
        return FAILED
    value = _c_number(word)
    if not 0 <= value <= 0o777:
        run.error(f"invalid umask value {word}", at, word=1, expected="a number up to 0777")
        return FAILED
    return value


def _c_number(word: str) -> int:
    """A number as C reads one: 0x and 0 in front say its base; -1 for anything else."""
    base = 16 if word[:2] in ("0x", "0X") else 8 if word[0] == "0" else 10
    digits = word[2:] if base == 16 else word
    try:
        return int(digits, base) if digits.isalnum() else -1
    except ValueError:
        return -1


def _show_umask(found: int) -> tuple[str, ...]:
    return (f"{found:#05o}".replace("0o", "0"),)


UMASK: Keyword[Any] = values.converted(
    "umask",
    "umask",
    _umask,
    "<NUM>|<BIT>[|<BIT>...]",
    pure=False,
    show=_show_umask,
    default="IXUSR|IRWXG|IRWXO",
    help="permissions that files made by keepalived shall not have",
    schema={"type": "string", "pattern": "^0[0-7]{3}$"},
    options=tuple(
        values.option(
            name,
            "[|<BIT>...]",
            f"the {what} of {who}",
            since="2.2.8" if name in NEWER_UMASK_BITS else "",
        )
        for who, names in (
            ("the owner", ("IRUSR", "IWUSR", "IXUSR", "IRWXU")),
            ("the group", ("IRGRP", "IWGRP", "IXGRP", "IRWXG")),
            ("all others", ("IROTH", "IWOTH", "IXOTH", "IRWXO")),
        )
        for name, what in zip(
            names, ("right to read", "right to write", "right to execute", "three rights"), strict=True
        )
    ),
)

USERS: list[Keyword[Any]] = [
    values.converted(
        "script_user",
        "script_user",
        _script_user,
        "<USER> [[:]<GROUP>]",
        required=False,
        missing="No script username specified",
        pure=False,
        show=script_users.show_owner,
        default="keepalived_script if there is such a user, else our own",
        help="who scripts run as that name no user",
        schema={"type": "string"},
    ),
    values.flag("enable_script_security", "script_security", help="refuse scripts that others may change"),
    values.switch(
        "use_symlink_paths",
        "use_symlink_paths",
        "Invalid value '{word}' for global use_symlink_path specified",
        since="2.3.0",
        pure=False,
        help="run scripts by the path that was written, symbolic links left in it",
    ),
    values.switch(
        "set_supplementary_groups",
        "set_supplementary_groups",
        "Invalid set_supplementary_groups parameter {word}",
        since="2.4.4",
        pure=False,
        help="scripts also get the other groups of their user",
    ),
    _program("startup"),
    _program_timeout("startup"),
    _program("shutdown"),
    _program_timeout("shutdown"),
]

__all__ = ["AUTO_PRIORITY", "NAMES", "UMASK", "USERS", "scheduling"]
