"""`global_defs`: interfaces, the firewall, and the buffers of the packets we listen to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.values import LARGEST_INT, UNSIGNED, integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass, Severity
from keepalived_py.model.globals import AdvertBuffers, Firewall, Iptables, ReceiveBuffers, RxBufferPolicy

LONGEST_CHAIN = 27
LONGEST_TABLE = 255
IPSETS = 6
DEFAULT_TABLE = "keepalived"
IGMP_SWITCH = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports"

# Interfaces ------------------------------------------------------------------


def _dynamic(run: Run, target: Any, at: Directive) -> None:
    target.dynamic_interfaces = True
    target.given["dynamic_interfaces"] = at
    if len(at.words) < 2:
        return
    if at.words[1] == "allow_if_changes":
        target.allow_interface_changes = True
    else:
        message = f"Unknown dynamic_interfaces option '{at.words[1]}'"
        run.error(message, at, word=1, expected="allow_if_changes")


def _no_igmp(run: Run, target: Any, at: Directive) -> object:
    if run.host.status(IGMP_SWITCH) is None:
        run.error(f"kernel does not support {IGMP_SWITCH}", at)
        return FAILED
    return True


def _prefix(keyword: str, attribute: str, title: str, default: str, help: str) -> Keyword[Any]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        if getattr(target, attribute) is not None:
            message = f"{title} has already been specified - ignoring {at.words[1]}"
            run.error(message, at, code="duplicate")
            return FAILED
        return at.words[1]

    return values.converted(
        keyword,
        attribute,
        convert,
        "<STRING>",
        pure=False,
        default=default,
        help=help,
        schema={"type": "string"},
    )


def _show_dynamic(allowed: Any) -> Iterable[str]:
    """Takes the globals as a whole, because two of their values stand on one line."""
    if not allowed.dynamic_interfaces:
        return ()
    return ("allow_if_changes" if allowed.allow_interface_changes else "",)


INTERFACES: list[Keyword[Any]] = [
    values.custom(
        "dynamic_interfaces",
        _dynamic,
        "[allow_if_changes]",
        required=False,
        default="off",
        attribute=".",
        show=_show_dynamic,
        help="interfaces may be configured that do not exist yet",
        schema={"type": "boolean"},
        options=(
            values.option(
                "allow_if_changes", "", "type and parent of an interface may change", default="off"
            ),
        ),
    ),
    values.interface(
        "default_interface",
        "default_interface",
        missing="default_interface requires interface name",
        default="eth0",
        help="interface of static addresses that name none",
    ),
    values.converted(
        "disable_local_igmp",
        "disable_local_igmp",
        _no_igmp,
        "",
        required=False,
        pure=False,
        show=values.show_flag,
        default="off",
        help="no IGMP reports for groups of the local link",
        schema={"type": "boolean"},
    ),
    _prefix("vmac_prefix", "vmac_prefix", "vmac prefix", "vrrp", "how names of VMAC interfaces begin"),
    _prefix(
        "vmac_addr_prefix",
        "vmac_address_prefix",
        "vmac_addr prefix",
        "vmac_prefix",
        "how names of VMAC interfaces for addresses elsewhere begin",
    ),
]

# Firewall --------------------------------------------------------------------


def _iptables(run: Run, target: Any, at: Directive) -> object:
    run.error(
        "iptables not supported, using nftables instead. "
        "Please replace 'vrrp_iptables and 'vrrp_ipsets' with 'nftables' config option",
        at,
        code="no-iptables",
    )
    target.table = DEFAULT_TABLE
    target.priority = -1
    names = at.words[1:3]
    if any(values.size(name) >= LONGEST_CHAIN for name in names):
        return FAILED
    if not names:
        return Iptables()
    return Iptables(names[0], names[1] if len(names) > 1 else None)


def _show_iptables(found: Iptables | None) -> Iterable[str]:
    if found is None:
        return ()
    return (values.quoted(found.input) + (f" {values.quoted(found.output)}" if found.output else ""),)


def _ipsets(run: Run, target: Any, at: Directive) -> object:
    """The Debian build of 2.2.7 does not have this keyword."""
    run.error(
        f"Unknown keyword '{at.keyword}'",
        at,
        word=0,
        code="not-built-in",
        error_class=ErrorClass.UNKNOWN_KEYWORD,
        severity=Severity.WARNING,
        notes=("keepalived has it only where it was built with libipset",),
    )
    return at.words[1 : 1 + IPSETS]


def _show_ipsets(found: tuple[str, ...] | None) -> Iterable[str]:
    return () if found is None else (" ".join(map(values.quoted, found)),)


def table(keyword: str, attribute: str, title: str, default: str, help: str) -> Keyword[Any]:
    """A keyword that names an nftables table, once."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        if getattr(target, attribute) is not None:
            run.error(f"{title} already specified - ignoring", at, code="duplicate")
            return FAILED
        if len(at.words) < 2:
            return default
        if values.size(at.words[1]) > LONGEST_TABLE:
            run.error(f"{title} table name too long - ignoring", at, word=1)
            return FAILED
        return at.words[1]

    return values.converted(
        keyword,
        attribute,
        convert,
        "[<TABLE>]",
        required=False,
        pure=False,
        default=default,
        help=help,
        schema={"type": "string", "maxLength": LONGEST_TABLE},
    )


def whole(keyword: str, attribute: str, low: int, high: int, title: str, **more: Any) -> Keyword[Any]:
    """A keyword with a number whose complaint is of the class of wrong numbers."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        value = integer(run, at, at.words[1], low, high)
        if value is None:
            message = f"invalid {title} '{at.words[1]}'"
            run.error(message, at, word=1, code="invalid-number", error_class=ErrorClass.INVALID_NUMBER)
            return FAILED
        return value

    shown = f"<INT {low}..{high}>"
    more.setdefault("schema", {"type": "integer", "minimum": low, "maximum": high})
    return values.converted(keyword, attribute, convert, shown, **more)


FIREWALL: list[Keyword[Any]] = values.inside(
    "firewall",
    Firewall,
    values.converted(
        "vrrp_iptables",
        "iptables",
        _iptables,
        "[<INCHAIN> [<OUTCHAIN>]]",
        required=False,
        pure=False,
        default="INPUT OUTPUT",
        help="chains for the rules that keep addresses from accepting packets",
        show=_show_iptables,
        schema={"type": "string"},
    ),
    values.converted(
        "vrrp_ipsets",
        "ipsets",
        _ipsets,
        "[<NAME> [<NAME6> [<IF6> [<IGMP> [<MLD> [<ND>]]]]]]",
        required=False,
        pure=False,
        default="names that begin with keepalived",
        help="names of the sets that the iptables rules refer to; none: no sets",
        show=_show_ipsets,
        schema={"type": "array", "items": {"type": "string"}, "maxItems": IPSETS},
    ),
    table("nftables", "table", "nftables", DEFAULT_TABLE, "drop packets with nftables, in this table"),
    whole(
        "nftables_priority",
        "priority",
        -LARGEST_INT - 1,
        LARGEST_INT,
        "nftables chain priority",
        default="-1",
        help="priority of our nftables chains",
    ),
    values.flag("nftables_ifindex", "ifindex", help="sets of link-local addresses hold interface numbers"),
    values.flag("nftables_counters", "counters", help="our nftables rules count packets"),
)

# Buffers ---------------------------------------------------------------------


def _rx_policy(run: Run, target: Any, at: Directive) -> None:
    """Words may be given more than once, on several lines; a size beats MTU, MTU beats ADVERT."""
    found: dict[str, int | None] = target.__dict__.setdefault("rx_policy_words", {})
    for position, word in enumerate(at.words[1:], 1):
        if word.upper() in RxBufferPolicy.__members__:
            found[word.upper()] = None
            continue
        size = integer(run, at, at.words[1], 0, UNSIGNED)  # whatever the position: so does keepalived
        if size is None:
            run.error(
                f"Invalid vrrp_rx_bufs_policy {word}", at, word=position, expected="MTU, ADVERT or bytes"
            )
        else:
            found["size"] = size
    if "size" in found and len(found) > 1:
        run.error("Cannot set vrrp_rx_bufs_policy size and policy, ignoring policy", at)
        found.pop("MTU", None)
        found.pop("ADVERT", None)
    elif "MTU" in found and "ADVERT" in found:
        run.error("Cannot set both vrrp_rx_bufs_policy MTU and ADVERT, ignoring ADVERT", at)
        del found["ADVERT"]
    for name, size in found.items():
        target.policy = size if name == "size" else RxBufferPolicy[name]


def _show_rx_policy(found: RxBufferPolicy | int | None) -> Iterable[str]:
    if found is None:
        return ()
    return (found.value if isinstance(found, RxBufferPolicy) else str(found),)


def _multiplier(run: Run, target: Any, at: Directive) -> object:
    if len(at.words) != 2:
        run.error("Invalid vrrp_rx_bufs_multiplier", at, expected="one number")
        return FAILED
    value = integer(run, at, at.words[1], 1, UNSIGNED)
    if value is None:
        run.error(f"Invalid vrrp_rx_bufs_multiplier {at.words[1]}", at, word=1)
        return FAILED
    return value


ADVERT_BUFFERS: list[Keyword[Any]] = values.inside(
    "advert_buffers",
    AdvertBuffers,
    values.custom(
        "vrrp_rx_bufs_policy",
        _rx_policy,
        f"MTU|ADVERT|<INT 0..{UNSIGNED}>",
        required=False,
        missing="vrrp_rx_bufs_policy missing",
        default="as the system has it",
        unit="bytes",
        help="what the receive buffers of adverts are sized by",
        attribute="policy",
        show=_show_rx_policy,
        schema={"anyOf": [{"enum": ["MTU", "ADVERT"]}, {"type": "integer", "minimum": 0}]},
        options=(
            values.option("MTU", "", "the MTU of the interface, in capitals or not"),
            values.option("ADVERT", "", "the length of the adverts, in capitals or not"),
        ),
    ),
    values.converted(
        "vrrp_rx_bufs_multiplier",
        "multiplier",
        _multiplier,
        f"<INT 1..{UNSIGNED}>",
        required=False,
        default="3",
        help="how many adverts of each instance the buffer must hold",
        schema={"type": "integer", "minimum": 1, "maximum": UNSIGNED},
    ),
)


def _receive_buffers(name: str, attribute: str, what: str) -> list[Keyword[Any]]:
    """A size and the wish to have it in any case.  keepalived leaves a size of 0 alone."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        size = integer(run, at, at.words[1], 0, UNSIGNED)
        if size is None:
            run.error(f"{name}_rcv_bufs size ({at.words[1]}) invalid", at, word=1)
        return size or FAILED

    return [
        values.converted(
            f"{name}_rcv_bufs",
            attribute,
            convert,
            f"<INT 0..{UNSIGNED}>",
            required=False,
            missing=f"{name}_rcv_bufs size missing",
            default="as the system has it",
            unit="bytes",
            help=f"receive buffer for {what}",
            schema={"type": "integer", "minimum": 0, "maximum": UNSIGNED},
        ),
        values.switch(
            f"{name}_rcv_bufs_force",
            f"{attribute}_force",
            f"Invalid value '{{word}}' for global {name}_rcv_bufs_force specified",
            help=f"the receive buffer for {what} may be larger than the system allows",
        ),
    ]


RECEIVE_BUFFERS: list[Keyword[Any]] = values.inside(
    "receive_buffers",
    ReceiveBuffers,
    *_receive_buffers("vrrp_netlink_cmd", "vrrp_command", "answers to the VRRP process's netlink requests"),
    *_receive_buffers("vrrp_netlink_monitor", "vrrp_monitor", "netlink news to the VRRP process"),
    *_receive_buffers("process_monitor", "process_monitor", "news about processes"),
    *_receive_buffers("lvs_netlink_cmd", "lvs_command", "answers to the checker's netlink requests"),
    *_receive_buffers("lvs_netlink_monitor", "lvs_monitor", "netlink news to the checker process"),
)
