"""`global_defs`: who is told what happens, reloads, and where files are kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import script_users, values
from keepalived_py.config.blocks.commands import read_program
from keepalived_py.config.blocks.notify import show_command
from keepalived_py.config.blocks.values import UNSIGNED, integer, need
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.globals import Dbus, Files, IncludeCheck, NotifyFifo, Pipe, Reload, Snmp

LONGEST_PATH = 4095
STATISTICS = (Micros(1000), Micros(30_000_000))

# Pipes -----------------------------------------------------------------------


def _pipe(kind: str) -> Callable[[Run, Any, Directive], object]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        if len(at.words) < 2:
            run.error(f"No {kind}notify_fifo name specified", at, code="missing-value")
            return FAILED
        if target.pipe is not None:
            message = f"{kind}notify_fifo already specified - ignoring {at.words[1]}"
            run.error(message, at, code="duplicate")
            return FAILED
        owner = script_users.owner(run, at, at.words[2:4])
        if owner is None:
            what = "Invalid user/group" if len(at.words) > 2 else "Failed to set default user"
            run.log(f"{what} for {kind} fifo {at.words[1]} - ignoring", at)
            return FAILED
        return Pipe(at.words[1], owner)

    return convert


def _show_pipe(found: Pipe | None) -> Iterable[str]:
    if found is None:
        return ()
    return (" ".join(filter(None, (values.quoted(found.path), script_users.names_of(found.owner)))),)


def _fifo_script(kind: str) -> Callable[[Run, Any, Directive], object]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        if len(at.words) < 2:
            run.error(f"No {kind}notify_fifo_script specified", at, code="missing-value")
            return FAILED
        if target.script is not None:
            message = f"{kind}notify_fifo_script already specified - ignoring {at.words[1]}"
            run.error(message, at, code="duplicate")
            return FAILED
        return read_program(run, at, f"{kind}notify_fifo") or FAILED

    return convert


def _fifo(kind: str, what: str) -> list[Keyword[Any]]:
    """The two keywords of one pipe; `kind` is what stands before `notify_fifo`."""
    name = f"{kind}notify_fifo"
    return values.inside(
        name,
        NotifyFifo,
        values.converted(
            name,
            "pipe",
            _pipe(kind),
            "<PATH> [<USER> [<GROUP>]]",
            required=False,
            pure=False,
            show=_show_pipe,
            help=f"named pipe that changes of {what} are written to",
            schema={"type": "string"},
        ),
        values.converted(
            f"{name}_script",
            "script",
            _fifo_script(kind),
            "<CMD> [<USER> [<GROUP>]]",
            required=False,
            pure=False,
            show=show_command,
            help=f"program that reads {name}, whose name is added as its last argument",
            schema={"type": "string"},
        ),
    )


NOTIFY: list[Keyword[Any]] = [
    *_fifo("", "all objects"),
    *_fifo("vrrp_", "instances and groups"),
    values.switch(
        "vrrp_notify_priority_changes",
        "notify_priority_changes",
        "Invalid value '{word}' for global vrrp_notify_priority_changes specified",
        help="changes of priority are written to the pipes too",
    ),
    values.flag(
        "fifo_write_vrrp_states_on_reload",
        "fifo_write_states_on_reload",
        help="after a reload the state of every instance is written to the pipes",
    ),
    *_fifo("lvs_", "virtual and real servers"),
]

# SNMP and D-Bus --------------------------------------------------------------


def _snmp_socket(run: Run, target: Any, at: Directive) -> object:
    if len(at.words) > 2:
        run.error("Too many parameters specified for snmp_socket - ignoring", at, word=2)
    elif len(at.words) < 2:
        run.error("SNMP error : snmp socket name missing", at, code="missing-value")
    elif values.size(at.words[1]) > LONGEST_PATH:
        run.error("SNMP error : snmp socket name too long - ignored", at, word=1)
    elif target.socket is not None:
        run.error(f"SNMP socket already set to {target.socket} - ignoring", at, code="duplicate")
    else:
        return at.words[1]
    return FAILED


def _both_rfcs(run: Run, target: Any, at: Directive) -> None:
    target.rfcv2 = target.rfcv3 = True


def _statistics(name: str, attribute: str, what: str, default: str) -> Keyword[Any]:
    low, high = STATISTICS
    return values.seconds(
        name,
        attribute,
        low,
        high,
        "snmp stats vs update interval '{word}' invalid - ignoring",
        since="2.3.0",
        required=False,
        missing=f"{name} requires a time",
        default=default,
        help=f"statistics of {what} are at most this old",
    )


SNMP: list[Keyword[Any]] = values.inside(
    "snmp",
    Snmp,
    values.converted(
        "snmp_socket",
        "socket",
        _snmp_socket,
        "<SOCKET>",
        required=False,
        pure=False,
        default="unix:/var/agentx/master",
        help="where the SNMP master agent listens",
        schema={"type": "string"},
    ),
    values.flag("enable_traps", "traps", help="send SNMP traps"),
    values.flag("enable_snmp_vrrp", "vrrp", help="offer the VRRP part of keepalived's MIB"),
    values.flag(
        "enable_snmp_keepalived",
        "vrrp",
        help="the old spelling of enable_snmp_vrrp",
        alias="enable_snmp_vrrp",
    ),
    values.custom(
        "enable_snmp_rfc", _both_rfcs, required=False, default="off", help="offer both standard VRRP MIBs"
    ),
    values.flag("enable_snmp_rfcv2", "rfcv2", help="offer the MIB of RFC 2787, for VRRP version 2"),
    values.flag("enable_snmp_rfcv3", "rfcv3", help="offer the MIB of RFC 6527, for VRRP version 3"),
    values.flag("enable_snmp_checker", "checker", help="offer the virtual servers' part of keepalived's MIB"),
    _statistics(
        "snmp_vs_stats_update_interval", "virtual_server_interval_us", "virtual servers over SNMP", "5"
    ),
    _statistics(
        "snmp_rs_stats_update_interval",
        "real_server_interval_us",
        "real servers over SNMP",
        "snmp_vs_stats_update_interval",
    ),
)

DBUS: list[Keyword[Any]] = values.inside(
    "dbus",
    Dbus,
    values.flag("enable_dbus", "enabled", help="offer our state over D-Bus"),
    values.text(
        "dbus_service_name",
        "service_name",
        missing="dbus_service_name missing - ignoring",
        arguments="<NAME>",
        default="org.keepalived.Vrrp1",
        help="our name on the bus",
    ),
    values.text(
        "dbus_no_interface_name",
        "no_interface_name",
        missing="dbus_no_interface_name missing - ignoring",
        arguments="<NAME>",
        default="none",
        since="2.3.0",
        help="what stands for the interface in paths of instances without one",
    ),
)

# Reloads and included files --------------------------------------------------


def _optional(default: str) -> Callable[[Run, Any, Directive], object]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        return at.words[1] if len(at.words) > 1 else default

    return convert


def _exactly_one(complaint: str, *, empty: bool = True) -> Callable[[Run, Any, Directive], object]:
    """One word and no more; `complaint` may name the {keyword}."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        if len(at.words) == 2 and (at.words[1] or empty):
            return at.words[1]
        run.error(complaint.replace("{keyword}", at.keyword), at, expected="one file name")
        return FAILED

    return convert


def _show_marker(found: str | None) -> Iterable[str]:
    if found is None:
        return ()
    return (values.quoted(found) if found else "",)


RELOAD: list[Keyword[Any]] = values.inside(
    "reload",
    Reload,
    values.converted(
        "reload_check_config",
        "check_config",
        _optional("/dev/null"),
        "[<LOGFILE>]",
        required=False,
        default="off",
        help="check the configuration before a reload, and write what is wrong with it here",
        schema={"type": "string"},
    ),
    values.converted(
        "reload_time_file",
        "time_file",
        _exactly_one("reload_time_file invalid"),
        "<PATH>",
        required=False,
        help="a file with the time of the next reload in it",
        schema={"type": "string"},
    ),
    values.flag("reload_repeat", "repeat", help="keep reload_time_file after the reload"),
    values.converted(
        "reload_file",
        "marker",
        _optional(""),
        "[<PATH>]",
        required=False,
        default="off",
        help="a file that is there while the configuration is being read",
        show=_show_marker,
        schema={"type": "string"},
    ),
)

INCLUDE_WORDS = {
    "read": IncludeCheck.READ,
    "match": IncludeCheck.MATCH,
    "wildcard_match": IncludeCheck.WILDCARD_MATCH,
    "brace_match": IncludeCheck.BRACE_MATCH,
}


def _include_check(run: Run, target: Any, at: Directive) -> None:
    """No words: everything.  A first word without a sign begins anew, together with `read`."""
    if len(at.words) < 2:
        target.include_check = IncludeCheck.ALL
    for position, word in enumerate(at.words[1:], 1):
        sign, name = (word[0], word[1:]) if word[:1] in ("+", "-") else ("", word)
        if not sign and position > 1:
            run.error(f"Duplicate include_check '{word}' specified - ignoring", at, word=position)
            continue
        if not sign:
            target.include_check = IncludeCheck.NONE
        wanted = INCLUDE_WORDS.get(name)
        if wanted is None:
            message = f"Unknown include_check type '{name}' - ignoring"
            run.error(message, at, word=position, expected=", ".join(INCLUDE_WORDS))
        elif sign == "-":
            target.include_check &= ~wanted
        else:
            target.include_check |= wanted if sign else wanted | IncludeCheck.READ


def _show_include_check(found: IncludeCheck) -> Iterable[str]:
    if found == IncludeCheck.ALL:
        return ("",)
    return (" ".join(f"+{name}" for name, bit in INCLUDE_WORDS.items() if found & bit),)


def _seed(run: Run, target: Any, at: Directive) -> object:
    value = integer(run, at, at.words[1], 0, UNSIGNED)
    if value is None:
        run.error(f"random_seed {at.words[1]} invalid", at, word=1)
        return FAILED
    return value


INPUT: list[Keyword[Any]] = [
    values.custom(
        "include_check",
        _include_check,
        "[[+|-]read|match|wildcard_match|brace_match ...]",
        required=False,
        help="which faults of include lines are errors; without a word all of them",
        attribute="include_check",
        show=_show_include_check,
        schema={"type": "string"},
        options=(
            values.option("read", "", "a file that is there cannot be read"),
            values.option("match", "", "there is no file of a plain name"),
            values.option("wildcard_match", "", "no file fits a pattern"),
            values.option("brace_match", "", "one of the names in braces has no file"),
        ),
    ),
    values.converted(
        "random_seed",
        "random_seed",
        _seed,
        f"<INT 0..{UNSIGNED}>",
        default="the time",
        help="where the numbers of ${_RANDOM} begin",
        schema={"type": "integer", "minimum": 0, "maximum": UNSIGNED},
    ),
]

# Files -----------------------------------------------------------------------


def _save_dir(run: Run, target: Any, at: Directive) -> object:
    """A folder that exists or can be made; a check makes none."""
    name = need(run, at, 1)
    if name is None:
        return FAILED
    found = run.host.status(name)
    if found is not None:
        if found.mode & stat.S_IFDIR:
            return _without_slash(name)
        run.error(f"config_save_dir {name} exists and is not a directory", at, word=1)
        return FAILED
    above = run.host.status(os.path.dirname(name.rstrip("/")) or ".")
    if not name or above is None:
        message = f"Unable to create config_save_dir {name} (error 2 - No such file or directory)"
        run.error(message, at, word=1)
        return FAILED
    if not stat.S_ISDIR(above.mode):
        run.error(f"config_save_dir {name} error 20 - Not a directory", at, word=1)
        return FAILED
    return _without_slash(name)


def _without_slash(name: str) -> str:
    return name.removesuffix("/")


def _tmp_directory(run: Run, target: Any, at: Directive) -> object:
    if target.tmp_config_directory is not None:
        run.error(f"{at.keyword} already specified - ignoring", at, code="duplicate")
    elif len(at.words) < 2:
        run.error(f"{at.keyword} missing directory name", at, code="missing-value")
    else:
        return at.words[1]
    return FAILED


def _newer_file(name: str, attribute: str, since: str, help: str, default: str, kind: str) -> Keyword[Any]:
    dump = kind == "<PATH>"
    complaint = "{keyword} requires a non-empty path" if dump else "{keyword} requires path"
    return values.converted(
        name,
        attribute,
        _exactly_one(complaint, empty=not dump),
        kind,
        required=False,
        since=since,
        default=default,
        help=help,
        schema={"type": "string"},
    )


def _json_version(run: Run, target: Any, at: Directive) -> object:
    value = integer(run, at, at.words[1], 1, 2)
    if value is None:
        run.error("Invalid JSON version", at, word=1)
        return FAILED
    return value


def _never(name: str, right: str) -> Keyword[Any]:
    """A name that stands in keepalived's manual page and in no version of the program."""
    reason = f"only a manual page has it; write {right}"

    def read(run: Run, target: Any, at: Directive) -> None:
        run.error(
            f"Unknown keyword '{name}'",
            at,
            word=0,
            code="unknown-keyword",
            error_class=ErrorClass.UNKNOWN_KEYWORD,
            suggestion=right,
            notes=(reason,),
        )

    return values.custom(name, read, "<PATH>", required=False, help=reason, meaningless=reason)


FILES: list[Keyword[Any]] = [
    *values.inside(
        "files",
        Files,
        values.converted(
            "config_save_dir",
            "config_save_dir",
            _save_dir,
            "<DIR>",
            required=False,
            pure=False,
            help="copies of the configuration are kept here, to look into problems",
            schema={"type": "string"},
        ),
        values.converted(
            "tmp_config_directory",
            "tmp_config_directory",
            _tmp_directory,
            "<DIR>",
            required=False,
            pure=False,
            default="in memory",
            help="where the whole configuration is put together",
            schema={"type": "string"},
        ),
        values.switch(
            "data_use_instance",
            "data_use_instance",
            "Invalid value '{word}' for global date_use_instance specified",
            help="instance and network namespace are part of the names of dumps",
        ),
        _newer_file(
            "iproute_usr_dir", "iproute_usr_dir", "2.3.2", "name tables of the system", "built in", "<DIR>"
        ),
        _newer_file(
            "iproute_etc_dir",
            "iproute_etc_dir",
            "2.3.2",
            "name tables of this machine",
            "/etc/iproute2",
            "<DIR>",
        ),
        _newer_file(
            "state_dump_file",
            "state_dump",
            "2.3.3",
            "where SIGUSR1 writes our state",
            "/tmp/keepalived.data",
            "<PATH>",
        ),
        _newer_file(
            "stats_dump_file",
            "stats_dump",
            "2.3.3",
            "where SIGUSR2 writes statistics",
            "/tmp/keepalived.stats",
            "<PATH>",
        ),
        _newer_file(
            "json_dump_file",
            "json_dump",
            "2.3.3",
            "where the JSON signal writes our state",
            "/tmp/keepalived.json",
            "<PATH>",
        ),
    ),
    values.converted(
        "json_version",
        "json_version",
        _json_version,
        "1|2",
        required=False,
        missing="json_version requires version",
        since="2.2.8",
        default="1",
        help="layout of the JSON dump",
        schema={"enum": [1, 2]},
    ),
    _never("state_file_location", "state_dump_file"),
    _never("stats_file_location", "stats_dump_file"),
    _never("json_file_location", "json_dump_file"),
]
