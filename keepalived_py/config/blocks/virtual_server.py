"""`virtual_server`: one IPVS service, by address, by firewall mark or by group."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks import real_server, server_values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.lvs_method import ARGUMENTS, OPTIONS, method, read_method, show_method
from keepalived_py.config.blocks.server_address import (
    bare_address,
    numeric_ipv4,
    port_number,
    server_address,
    shown,
)
from keepalived_py.config.blocks.values import (
    UNSIGNED,
    choice,
    flag,
    integer,
    number,
    quoted,
    show_text,
    switch,
)
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.server_drafts import VirtualServerDraft
from keepalived_py.config.written import Written
from keepalived_py.model.virtual_server import (
    DEFAULT_PERSISTENCE_S,
    Forwarding,
    Protocol,
    Scheduler,
    SorryServer,
    VirtualServer,
)

MAX_PERSISTENCE_S = 86_400 * 31
ENGINE_NAME = 16
FAMILIES = {"inet": 4, "inet6": 6}
SCHEDULERS = {one.value: one for one in Scheduler}
PROTOCOLS = {one.value: one for one in Protocol}
Draft = VirtualServerDraft


# Header and end of the block ---------------------------------------------------


def opened(run: Run, target: Written, at: Directive) -> Draft | None:
    """A new virtual server; None if its header is wrong."""
    kind = at.words[1]
    if kind in ("group", "fwmark") and len(at.words) < 3:
        run.missing_parameter(at, kind, 3)
        return None
    if kind == "group":
        made: Draft | None = Draft(at, target, group=at.words[2])
    elif kind == "fwmark":
        made = _by_mark(run, target, at)
    else:
        made = _by_address(run, target, at)
    if made is not None:
        target.virtual_servers.append(made)
    return made


def _by_mark(run: Run, target: Written, at: Directive) -> Draft | None:
    word = at.words[2]
    mark = integer(run, at, word, 0, UNSIGNED)
    if mark is None:
        run.error(
            f"virtual server fwmark '{word}' must be in [0, {UNSIGNED}] - ignoring",
            at,
            word=2,
            code="invalid-mark",
        )
        return None
    return Draft(at, target, mark=mark)


def _by_address(run: Run, target: Written, at: Directive) -> Draft | None:
    word = at.words[1]
    port = at.words[2] if len(at.words) > 2 else ""
    number = port_number(run, at, port)
    found = None if number is None else bare_address(word)
    if found is None:
        what = f"/port {word}/{port}" if port.lstrip("0") else f" {word}"
        run.error(
            f"Invalid virtual server IP address{what} - skipping",
            at,
            word=1,
            code="invalid-address",
            expected="ADDRESS [PORT], fwmark NUMBER or group NAME",
        )
        return None
    made = Draft(at, target, address=found, port=number)
    made.family = found.version
    return made


def closed(run: Run, target: Draft, at: Directive) -> None:
    """Settle the address family: the sorry server's must fit, a mark takes that of its servers."""
    sorry = target.sorry_server
    if sorry is not None and not (target.sorry_method_known and sorry.method.forwarding is Forwarding.TUNNEL):
        if target.family is None:
            target.family = sorry.address.version
        elif target.family != sorry.address.version:
            run.error(
                f"Address family of virtual server and sorry server {shown(sorry.address)} don't match"
                " - skipping sorry server.",
                closing(at),
                code="family-mismatch",
            )
            target.sorry_server = None
    if target.family is None and target.group is None:
        servers = [target.sorry_server] if target.sorry_server is not None else []
        found = {one.address.version for one in (*servers, *target.real_servers)}
        target.family = found.pop() if len(found) == 1 else 4


def _show_header(found: VirtualServer) -> str:
    if found.group is not None:
        return f"group {quoted(found.group)}"
    if found.address is None:
        return f"fwmark {found.mark}"
    return f"{found.address} {found.port}" if found.port else str(found.address)


# Values that depend on what was said before -------------------------------------


def _ip_family(run: Run, target: Draft, at: Directive) -> None:
    word = at.words[1]
    family = FAMILIES.get(word)
    if family is None:
        run.error(
            f"unknown address family {word}", at, word=1, code="unknown-family", expected="inet or inet6"
        )
    elif target.family not in (None, family):
        run.error(
            f"Virtual server specified family {word} conflicts with server family",
            at,
            word=1,
            code="family-mismatch",
        )
    else:
        target.family = family


def _show_family(found: int | None) -> Iterable[str]:
    return tuple(word for word, family in FAMILIES.items() if family == found)


def _scheduler_flag(
    name: str, attribute: str, scheduler: Scheduler | None, help: str, **more: Any
) -> Keyword[Any]:
    """A flag that only one scheduler has; with the other one that has flags it is passed over in silence."""

    def convert(run: Run, target: Draft, at: Directive) -> object:
        current = target.scheduler if target.written("scheduler") else None
        if current is not None and current is scheduler:
            return True
        if current not in (Scheduler.SOURCE_HASHING, Scheduler.MAGLEV_HASHING):
            run.error(
                f"{name} only applies to sh scheduler - ignoring",
                at,
                word=0,
                code="scheduler-flag",
                expected=f"lvs_sched {scheduler.value if scheduler else 'sh'} in a line above",
            )
        return FAILED

    return Keyword(
        name,
        convert=convert,
        attribute=attribute,
        pure=False,
        default="off",
        schema={"type": "boolean"},
        help=help,
        **more,
    )


def _persistence_timeout(run: Run, target: Draft, at: Directive) -> object:
    if len(at.words) < 2:
        return DEFAULT_PERSISTENCE_S
    value = integer(run, at, at.words[1], 1, MAX_PERSISTENCE_S)
    if value is None:
        run.error(
            "persistence_timeout invalid",
            at,
            word=1,
            code="invalid-persistence-timeout",
            expected="leave the line out for no persistence" if at.words[1].strip("0") == "" else "",
        )
        return FAILED
    return value


def _persistence_engine(run: Run, target: Draft, at: Directive) -> object:
    word = at.words[1]
    if len(word.encode(errors="surrogateescape")) > ENGINE_NAME:
        run.error(
            f"persistence_name too long, truncating - {word}",
            at,
            word=1,
            expected=f"at most {ENGINE_NAME} bytes",
        )
    return word[:ENGINE_NAME]


def _granularity(run: Run, target: Draft, at: Directive) -> None:
    word = at.words[1]
    family = target.family or (4 if "." in word else 6)
    value: IPv4Address | int | None
    if family == 6:
        value = integer(run, at, word, 1, 128)
    else:
        value = numeric_ipv4(word)
    if value is None:
        run.error(
            f"Invalid IPv{family} persistence_granularity specified - {word}",
            at,
            word=1,
            code="invalid-granularity",
            expected="a netmask such as 255.255.255.0" if family == 4 else "a prefix length from 1 to 128",
        )
        return
    target.persistence_granularity = value
    target.given["persistence_granularity"] = at
    target.family = family
    if target.persistence_timeout_s is None:
        target.persistence_timeout_s = DEFAULT_PERSISTENCE_S


def _show_given(found: object) -> Iterable[str]:
    return () if found is None else (str(found),)


def _protocol(run: Run, target: Draft, at: Directive) -> object:
    found = PROTOCOLS.get(at.words[1].upper())
    if found is None:
        run.error(
            f"Unknown protocol {at.words[1]} - ignoring",
            at,
            word=1,
            code="unknown-protocol",
            expected="TCP, UDP or SCTP",
        )
        return FAILED
    return found


def _show_protocol(found: Protocol | None) -> Iterable[str]:
    return () if found is None else (found.value,)


def _quorum(run: Run, target: Draft, at: Directive) -> int:
    value = integer(run, at, at.words[1], 1, UNSIGNED)
    if value is None:
        run.error(f"Quorum {at.words[1]} must be in [1, {UNSIGNED}]. Setting to 1.", at, word=1)
        return 1
    return value


def _show_quorum(found: int | None) -> Iterable[str]:
    """0 is what is left of a quorum where all weights are 0; it cannot be written."""
    return (str(found),) if found else ()


# The sorry server ----------------------------------------------------------------


def _sorry_server(run: Run, target: Draft, at: Directive) -> None:
    found = server_address(run, at)
    if found is None:
        run.error(
            f"Invalid sorry server IP address {at.words[1]} - skipping",
            at,
            word=1,
            code="invalid-address",
            expected="ADDRESS [PORT]",
        )
        return
    made = SorryServer(*found)
    target.sorry_method_known = target.written("method")
    target.sorry_server = replace(made, method=target.method) if target.sorry_method_known else made
    target.given["sorry_server"] = at


def _sorry_inhibit(run: Run, target: Draft, at: Directive) -> None:
    if target.sorry_server is None:
        run.error(
            "Ignoring sorry_server inhibit used before or without sorry_server",
            at,
            word=0,
            code="no-sorry-server",
            expected="sorry_server in a line above",
        )
    else:
        target.sorry_server = replace(target.sorry_server, inhibit=True)


def _sorry_method(run: Run, target: Draft, at: Directive) -> None:
    sorry = target.sorry_server
    if sorry is None:
        run.error(
            "sorry_server forwarding used without sorry_server",
            at,
            word=0,
            code="no-sorry-server",
            expected="sorry_server in a line above",
        )
        return
    if len(at.words) < 2:
        run.missing_parameter(at, at.keyword, 2)
        return
    found = read_method(run, at, "sorry", sorry.method if target.sorry_method_known else None)
    if found is not FAILED:
        target.sorry_server = replace(sorry, method=found)
        target.sorry_method_known = True


def _show_sorry(found: SorryServer | None) -> Iterable[str]:
    if found is None:
        return ()
    return (f"{found.address} {found.port}" if found.port else str(found.address),)


def _show_flag(found: bool | None) -> Iterable[str]:
    return ("",) if found else ()


# The table -------------------------------------------------------------------------


def _scheduler(name: str, **more: Any) -> Keyword[Any]:
    return choice(
        name,
        "scheduler",
        SCHEDULERS,
        "Invalid lvs_scheduler '{word}' - ignoring",
        inherited=True,
        help="how the server of a new connection is picked",
        **more,
    )


_SCHEDULING: list[Keyword[Any]] = [
    _scheduler("lb_algo", alias="lvs_sched", default="wlc, with an error"),
    _scheduler("lvs_sched", default="wlc, with an error"),
    _scheduler_flag(
        "hashed",
        "",
        None,
        "nothing",
        meaningless="keepalived reads it and uses it for nothing",
    ),
    flag("ops", "one_packet", help="every packet is scheduled by itself (UDP and marks only)"),
    flag("flag-1", "flag_1", help="first flag of the scheduler: sh-fallback, mh-fallback"),
    flag("flag-2", "flag_2", help="second flag of the scheduler: sh-port, mh-port"),
    flag("flag-3", "flag_3", help="third flag of the scheduler"),
    _scheduler_flag(
        "sh-port",
        "flag_2",
        Scheduler.SOURCE_HASHING,
        "the source port counts for the hash, too",
        alias="flag-2",
    ),
    _scheduler_flag(
        "sh-fallback",
        "flag_1",
        Scheduler.SOURCE_HASHING,
        "take another server if the one of the hash is down",
        alias="flag-1",
    ),
    _scheduler_flag(
        "mh-port",
        "flag_2",
        Scheduler.MAGLEV_HASHING,
        "the source port counts for the hash, too",
        alias="flag-2",
    ),
    _scheduler_flag(
        "mh-fallback",
        "flag_1",
        Scheduler.MAGLEV_HASHING,
        "take another server if the one of the hash is down",
        alias="flag-1",
    ),
    method(
        "lb_kind",
        "virtual",
        "how packets get to the real servers",
        alias="lvs_method",
        default="NAT, with an error",
    ),
    method("lvs_method", "virtual", "how packets get to the real servers", default="NAT, with an error"),
]

_SERVICE: list[Keyword[Any]] = [
    Keyword(
        "persistence_engine",
        None,
        f"<NAME max {ENGINE_NAME}>",
        convert=_persistence_engine,
        attribute="persistence_engine",
        required=True,
        show=show_text,
        schema={"type": "string", "maxLength": ENGINE_NAME},
        help="how clients are told apart for persistence; the kernel has sip",
    ),
    Keyword(
        "persistence_timeout",
        None,
        f"[<INT 1..{MAX_PERSISTENCE_S}>]",
        convert=_persistence_timeout,
        attribute="persistence_timeout_s",
        default=f"off; {DEFAULT_PERSISTENCE_S} if no number is given",
        unit="s",
        show=_show_given,
        schema={"type": "integer", "minimum": 1, "maximum": MAX_PERSISTENCE_S},
        help="a client stays with its server until it was idle for this long",
    ),
    Keyword(
        "persistence_granularity",
        _granularity,
        "<IPV4 MASK>|<INT 1..128>",
        attribute="persistence_granularity",
        required=True,
        default="one address",
        show=_show_given,
        schema={"type": "string"},
        help="clients of one network stay together; turns persistence on",
    ),
    Keyword(
        "protocol",
        None,
        "TCP|UDP|SCTP",
        convert=_protocol,
        attribute="protocol",
        required=True,
        default="UDP, with an error",
        show=_show_protocol,
        schema={"enum": list(PROTOCOLS)},
        help="transport protocol of the service; a mark has none",
    ),
    flag("ha_suspend", "ha_suspend", help="check the servers only while the address is on this machine"),
    switch(
        "smtp_alert",
        "smtp_alert",
        "Invalid virtual_server smtp_alert parameter {word}",
        default="smtp_alert_checker, smtp_alert, else off",
        inherited=True,
        help="send mail when the quorum is gained or lost",
    ),
    server_values.virtualhost("virtual server"),
    server_values.snmp_name("virtual server"),
    flag("alpha", "alpha", help="real servers count as failed until their checks have succeeded once"),
    flag("omega", "omega", help="at the end, run the scripts for servers and quorum going down"),
]

_QUORUM: list[Keyword[Any]] = [
    server_values.script("quorum_up", "script run when the quorum is gained"),
    server_values.script("quorum_down", "script run when the quorum is lost"),
    Keyword(
        "quorum",
        None,
        f"<INT 1..{UNSIGNED}>",
        convert=_quorum,
        attribute="quorum",
        required=True,
        default="1",
        show=_show_quorum,
        schema={"type": "integer", "minimum": 1, "maximum": UNSIGNED},
        help="weight of living real servers that the service needs to be up",
    ),
    number(
        "hysteresis",
        "hysteresis",
        0,
        UNSIGNED,
        f"Hysteresis {{word}} must be in [0, {UNSIGNED}] - ignoring",
        default="0",
        help="the quorum is gained at quorum plus this, and lost below quorum minus this",
    ),
    number(
        "weight",
        "weight",
        1,
        real_server.MAX_WEIGHT,
        f"Virtual server weight {{word}} is outside range 1-{real_server.MAX_WEIGHT}",
        default="1",
        help="weight of real servers that do not give one",
    ),
]

_SERVERS: list[Keyword[Any]] = [
    Keyword(
        "sorry_server",
        _sorry_server,
        "<ADDR> [<PORT>]",
        attribute="sorry_server",
        required=True,
        show=_show_sorry,
        schema={"type": "string"},
        help="server that is used while the quorum is lost",
    ),
    Keyword(
        "sorry_server_inhibit",
        _sorry_inhibit,
        attribute="sorry_server.inhibit",
        default="off",
        show=_show_flag,
        schema={"type": "boolean"},
        help="the sorry server stays with weight 0 instead of being removed",
    ),
    Keyword(
        "sorry_server_lvs_method",
        _sorry_method,
        ARGUMENTS,
        attribute="sorry_server.method",
        default="lvs_method",
        inherited=True,
        show=show_method,
        schema={"type": "string"},
        options=OPTIONS,
        help="how packets get to the sorry server",
    ),
    real_server.KEYWORD,
]

_REMOVED: list[Keyword[Any]] = [
    Keyword(
        "nat_mask",
        removed="1.2.20",
        arguments="<MASK>",
        help="it did nothing with any kernel since Linux 2.4: leave the line out",
    ),
    Keyword(
        "real_group",
        removed="1.0.1",
        arguments="<NAME> { ... }",
        help="write its real_server blocks straight into the virtual_server",
    ),
]

BLOCK: Block[Draft] = block(
    "virtual_server",
    [
        Keyword(
            "ip_family",
            _ip_family,
            "inet|inet6",
            attribute="ip_family",
            required=True,
            default="from addresses",
            show=_show_family,
            schema={"enum": list(FAMILIES)},
            help="address family of a mark whose servers do not tell it, being behind tunnels",
        ),
        *server_values.check_defaults("virtual server", loop="delay loop", retry_delay="delay before retry"),
        flag(
            "inhibit_on_failure",
            "inhibit_on_failure",
            help="failed servers stay with weight 0 instead of being removed",
        ),
        *_SCHEDULING,
        *_SERVICE,
        *_QUORUM,
        *_SERVERS,
        *_REMOVED,
    ],
    record=VirtualServer,
    show_header=_show_header,
)
