"""`global_defs`: virtual servers and IPVS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.global_network import table, whole
from keepalived_py.config.blocks.values import LARGEST_INT, UNSIGNED, integer, need
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.model.globals import Firewall, Lvs, LvsFlush, LvsTimeouts, SyncDaemon

LONGEST_TIMEOUT = 2_678_400  # 31 days, the most that IPVS takes
LONGEST_INTERFACE = 15
LARGEST_PACKET = 65535 - 20 - 8
TIMEOUTS = ("tcp", "tcpfin", "udp")
SYNC_NUMBERS = {
    "maxlen": (1, LARGEST_PACKET),
    "port": (1, 65535),
    "ttl": (1, 255),
}
SYNC_ID = (0, 255)


def _timeouts(run: Run, target: Any, at: Directive) -> None:
    """`[tcp S] [tcpfin S] [udp S]`, in any order."""
    words = at.words
    if len(words) < 3:
        run.error("lvs_timeouts requires at least one option", at)
        return
    timeouts = values.part(target, "timeouts", LvsTimeouts)
    position = 1
    while position < len(words):
        name = words[position]
        if name not in TIMEOUTS:
            message = f"Unknown option {name} specified for lvs_timeouts"
            run.error(message, at, word=position, expected=", ".join(TIMEOUTS))
        elif position == len(words) - 1:
            run.error(f"No value specified for lvs_timeout {name} - ignoring", at, word=position)
        else:
            position += 1
            value = integer(run, at, words[position], 0, LONGEST_TIMEOUT)
            if value is None:
                run.error(f"Invalid lvs_timeout {name} ({words[position]}) - ignoring", at, word=position)
            else:
                setattr(timeouts, name, value)
        position += 1


def _show_timeouts(found: LvsTimeouts) -> Iterable[str]:
    given = [(name, getattr(found, name)) for name in TIMEOUTS]
    shown = " ".join(f"{name} {value}" for name, value in given if value is not None)
    return (shown,) if shown else ()


def _flush_on_stop(run: Run, target: Any, at: Directive) -> object:
    if len(at.words) < 2:
        return LvsFlush.ALL
    if at.words[1] == LvsFlush.OWN_SERVICES.value:
        return LvsFlush.OWN_SERVICES
    run.error(f"Unknown lvs_flush_on_stop type {at.words[1]}", at, word=1, expected="VS or nothing")
    return FAILED


def _show_flush(found: LvsFlush | None) -> Iterable[str]:
    if found is None:
        return ()
    return ("" if found is LvsFlush.ALL else found.value,)


# lvs_sync_daemon -------------------------------------------------------------


def _sync_daemon(run: Run, target: Any, at: Directive) -> None:
    """`IF [OPTION VALUE]...`, or as in old times `IF INSTANCE [ID]`."""
    before = target.sync_daemon
    if before is not None:
        shown = f"{before.interface} {before.instance or ''}"
        run.error(f"lvs_sync_daemon has already been specified as {shown} - ignoring", at, code="duplicate")
        return
    if len(at.words) < 2:
        run.error("lvs_sync_daemon requires interface", at, code="missing-value")
        return
    interface = at.words[1]
    if values.size(interface) > LONGEST_INTERFACE:
        run.error(f"lvs_sync_daemon interface name '{interface}' too long - ignoring", at, word=1)
        return
    daemon: Draft[SyncDaemon] = Draft(SyncDaemon, at, interface=interface)
    target.sync_daemon = daemon
    position = 2
    while position < len(at.words) and not run.stopped:
        position += _sync_option(run, daemon, at, position)


def _sync_option(run: Run, daemon: Draft[SyncDaemon], at: Directive, position: int) -> int:
    """Read the option at `position`; how many words it took."""
    name = at.words[position]
    if name == "inst":
        return _sync_instance(run, daemon, at, position)
    if name == "id" or name in SYNC_NUMBERS or name == "group":
        if position == len(at.words) - 1:
            then = "defaulting to vrid" if name == "id" else "ignoring"
            separator = ", " if name == "id" else " - "
            run.error(f"No value specified for lvs_sync_daemon {name}{separator}{then}", at, word=position)
            return 1
        _sync_value(run, daemon, at, name, position + 1)
        return 2
    if position == 2:
        daemon.instance = name
    elif position == 3:
        if _sync_id(run, daemon, at, position):
            run.error('Please use keyword "id" before lvs_sync_daemon SYNCID', at, word=position)
    else:
        options = ", ".join(("inst", "id", *SYNC_NUMBERS, "group"))
        run.error(f"Unknown option {name} specified for lvs_sync_daemon", at, word=position, expected=options)
    return 1


def _sync_instance(run: Run, daemon: Draft[SyncDaemon], at: Directive, position: int) -> int:
    if daemon.instance is not None:
        message = f"lvs_sync_daemon vrrp instance has already been specified as {daemon.instance} - ignoring"
        run.error(message, at, word=position, code="duplicate")
    else:
        name = need(run, at, position + 1)
        if name is not None:
            daemon.instance = name
    return 2


def _sync_value(run: Run, daemon: Draft[SyncDaemon], at: Directive, name: str, position: int) -> None:
    word = at.words[position]
    if name == "id":
        _sync_id(run, daemon, at, position)
    elif name == "group":
        group = values.connection_address(word)
        if group is None:
            run.error(f"Invalid lvs_sync_daemon group ({word}) - ignoring", at, word=position)
        elif not group.is_multicast:
            message = f"lvs_sync_daemon group address {word} is not multicast - ignoring"
            run.error(message, at, word=position)
        else:
            daemon.group = group
    else:
        value = integer(run, at, word, *SYNC_NUMBERS[name])
        if value is None:
            run.error(f"Invalid lvs_sync_daemon {name} ({word}) - ignoring", at, word=position)
        else:
            setattr(daemon, name, value)


def _sync_id(run: Run, daemon: Draft[SyncDaemon], at: Directive, position: int) -> bool:
    value = integer(run, at, at.words[position], *SYNC_ID)
    if value is None:
        run.error(f"Invalid syncid ({at.words[position]}) - defaulting to vrid", at, word=position)
        return False
    daemon.sync_id = value
    return True


def _show_sync_daemon(found: SyncDaemon | None) -> Iterable[str]:
    if found is None:
        return ()
    options = (
        ("inst", found.instance),
        ("id", found.sync_id),
        *((n, getattr(found, n)) for n in SYNC_NUMBERS),
    )
    given = (*options, ("group", found.group))
    shown = (f"{name} {values.quoted(str(value))}" for name, value in given if value is not None)
    return (" ".join((values.quoted(found.interface), *shown)),)


def _number_option(name: str, bounds: tuple[int, int], help: str, **more: Any) -> Keyword[Any]:
    more.setdefault("default", "as the kernel has it")
    return values.option(name, f"<INT {bounds[0]}..{bounds[1]}>", help, **more)


LVS: list[Keyword[Any]] = values.inside(
    "lvs",
    Lvs,
    values.switch(
        "checker_log_all_failures",
        "log_all_failures",
        "Invalid value for checker_log_all_failures specified",
        help="log every failed check and not changes only",
    ),
    values.custom(
        "lvs_timeouts",
        _timeouts,
        "[tcp <S>] [tcpfin <S>] [udp <S>]",
        required=False,
        default="as the kernel has them",
        unit="s",
        help="how long IPVS remembers connections that are idle",
        attribute="timeouts",
        show=_show_timeouts,
        schema={"type": "string"},
        options=(
            _number_option("tcp", (0, LONGEST_TIMEOUT), "idle TCP connections", unit="s"),
            _number_option("tcpfin", (0, LONGEST_TIMEOUT), "TCP connections after FIN", unit="s"),
            _number_option("udp", (0, LONGEST_TIMEOUT), "UDP flows", unit="s"),
        ),
    ),
    values.flag("lvs_flush", "flush", help="clear the IPVS table at the start"),
    *(
        values.converted(
            name,
            "flush_on_stop",
            _flush_on_stop,
            "[VS]",
            required=False,
            default="off",
            help=help,
            alias=alias,
            show=_show_flush,
            schema={"enum": ["", "VS"]},
            options=() if alias else (values.option("VS", "", "only the services of this configuration"),),
        )
        for name, alias, help in (
            ("lvs_flush_on_stop", "", "clear the IPVS table at the stop, all at once"),
            ("lvs_flush_onstop", "lvs_flush_on_stop", "the old spelling of lvs_flush_on_stop"),
        )
    ),
    values.custom(
        "lvs_sync_daemon",
        _sync_daemon,
        "<IF> [[inst] <INSTANCE>] [id <INT>] [maxlen <INT>] [port <INT>] [ttl <INT>] [group <ADDR>]",
        required=False,
        default="off",
        help="copy IPVS connections to the other machines",
        attribute="sync_daemon",
        show=_show_sync_daemon,
        schema={"type": "string"},
        options=(
            values.option("inst", "<INSTANCE>", "send while this instance is master, else receive"),
            _number_option("id", SYNC_ID, "number of the sync daemon", default="the instance's VRID"),
            _number_option("maxlen", SYNC_NUMBERS["maxlen"], "largest packet", unit="bytes"),
            _number_option("port", SYNC_NUMBERS["port"], "UDP port", default="8848"),
            _number_option("ttl", SYNC_NUMBERS["ttl"], "time to live of the packets", default="1"),
            values.option("group", "<MULTICAST ADDR>", "where packets are sent to", default="224.0.0.81"),
        ),
    ),
    values.switch(
        "rs_init_notifies",
        "rs_init_notifies",
        "Invalid value '{word}' for global rs_init_notifies specified",
        help="run the notify scripts of real servers at the start too",
    ),
)

IPVS_FIREWALL: list[Keyword[Any]] = values.inside(
    "firewall",
    Firewall,
    table(
        "nftables_ipvs",
        "ipvs_table",
        "ipvs nftables",
        "keepalived_ipvs",
        "mark packets of virtual server groups with nftables, in this table",
    ),
    whole(
        "nftables_ipvs_priority",
        "ipvs_priority",
        -LARGEST_INT - 1,
        LARGEST_INT,
        "ipvs nftables chain priority",
        default="-1",
        help="priority of the chain that marks packets",
    ),
    whole(
        "nftables_ipvs_start_fwmark",
        "ipvs_start_fwmark",
        1,
        UNSIGNED,
        "ipvs nftables start_fwmark priority",
        default="1000",
        help="the first mark that is given to a group",
    ),
)
