"""`global_defs`: VRRP and the defaults of its instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import elections, values
from keepalived_py.config.blocks.values import LARGEST_INT, TIMER_SECONDS, UNSIGNED, integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass, Severity
from keepalived_py.model.globals import GarpDefaults

SECOND = 1_000_000
LINK_LOCAL_SCOPE = 2
DAY_S = 86400

# Protocol --------------------------------------------------------------------


def _version(run: Run, target: Any, at: Directive) -> object:
    value = integer(run, at, at.words[1], 2, 3, signed=True)
    if value is None:
        run.error("VRRP Error: Version must be either 2 or 3", at, word=1, expected="2 or 3")
        return FAILED
    return value


def _multicast(keyword: str, family: type[Any], title: str) -> Callable[[Run, Any, Directive], object]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        word = at.words[1]
        group = values.connection_address(word)
        if group is None:
            run.error(f"Can't parse {keyword} [{word}]. Skipping", at, word=1)
        elif not isinstance(group, family):
            run.error(f"{keyword} [{word}] is not {title}. Skipping", at, word=1)
        elif not group.is_multicast:
            run.error(f"{keyword} [{word}] is not multicast. Skipping", at, word=1)
        else:
            if isinstance(group, IPv6Address) and (int(group) >> 112) & 0xF != LINK_LOCAL_SCOPE:
                message = f"{keyword} [{word}] should be link-local multicast."
                run.error(message, at, word=1, error_class=ErrorClass.WARNING, severity=Severity.WARNING)
            return group
        return FAILED

    return convert


def _large(keyword: str, limit_us: int, **more: Any) -> Callable[[Run, Any, Directive], object]:
    """A number of seconds, with keepalived's remark in the log from `limit_us` on."""
    inner = values.seconds(keyword, "", more["low_us"], UNSIGNED, f"{keyword} '{{word}}' is invalid").convert
    assert inner is not None
    plain = inner

    def convert(run: Run, target: Any, at: Directive) -> object:
        value = plain(run, target, at)
        if isinstance(value, int) and value >= limit_us:
            run.log(f"The {keyword} is very large - {at.words[1]} seconds", at, code="large-value")
        return value

    return convert


def _seconds(
    keyword: str, attribute: str, low_us: int, large_us: int, help: str, **more: Any
) -> Keyword[Any]:
    return values.converted(
        keyword,
        attribute,
        _large(keyword, large_us, low_us=low_us),
        f"<DEC {values.seconds_text(low_us)}..{values.seconds_text(UNSIGNED)}>",
        unit="s",
        default="0",
        help=help,
        show=values.show_seconds,
        schema=values.seconds_schema(low_us, UNSIGNED),
        **more,
    )


def _loose_switch(keyword: str, attribute: str, message: str, help: str) -> Keyword[Any]:
    """A switch that 2.2.7 turns on whatever stands behind it; later versions read a boolean there."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        word = values.second(at) if len(at.words) > 1 else "on"
        if word in values.BOOLEANS:
            return values.BOOLEANS[word]
        if run.compat < "2.3.0":
            run.log(message.replace("{word}", word), at)
            return True
        run.error(message.replace("{word}", word), at, word=1)
        return FAILED

    return values.converted(
        keyword,
        attribute,
        convert,
        "[<BOOL>]",
        required=False,
        default="off",
        help=help,
        show=values.show_bool,
        schema={"type": "boolean"},
    )


PROTOCOL: list[Keyword[Any]] = [
    values.converted(
        "vrrp_version",
        "version",
        _version,
        "2|3",
        default="2",
        help="protocol version of instances that name none",
        schema={"enum": [2, 3]},
    ),
    values.converted(
        "vrrp_mcast_group4",
        "multicast_group",
        _multicast("vrrp_mcast_group4", IPv4Address, "IPv4"),
        "<IPV4 multicast>",
        default="224.0.0.18",
        help="where IPv4 adverts are sent to",
        schema={"type": "string", "format": "ipv4"},
    ),
    values.converted(
        "vrrp_mcast_group6",
        "multicast_group6",
        _multicast("vrrp_mcast_group6", IPv6Address, "IPv6"),
        "<IPV6 multicast>",
        default="ff02::12",
        help="where IPv6 adverts are sent to",
        schema={"type": "string", "format": "ipv6"},
    ),
    values.switch(
        "vrrp_lower_prio_no_advert",
        "lower_priority_no_advert",
        "Invalid value for vrrp_lower_prio_no_advert specified",
        help="a master stays silent when it hears a lower priority",
    ),
    values.switch(
        "vrrp_higher_prio_send_advert",
        "higher_priority_send_advert",
        "Invalid value for vrrp_higher_prio_send_advert specified",
        help="a master sends one more advert before it yields to a higher priority",
    ),
    values.number(
        "vrrp_down_timer_adverts",
        "down_timer_adverts",
        1,
        100,
        "Invalid vrrp_down_timer_adverts [1:100] '{word}'",
        default="3",
        unit="adverts",
        help="how many adverts must be missed before a backup takes over",
    ),
    values.flag(
        "vrrp_check_unicast_src", "check_unicast_src", help="unicast adverts count from configured peers only"
    ),
    _loose_switch(
        "vrrp_skip_check_adv_addr",
        "skip_check_adv_addr",
        "Invalid value '{word}' for global vrrp_check_adv_addr specified",
        "compare the addresses in an advert only when its sender has changed",
    ),
    _loose_switch(
        "vrrp_strict",
        "strict",
        "Invalid value '{word}' for global vrrp_strict specified",
        "obey the VRRP standard to the letter, without keepalived's extensions",
    ),
    values.switch(
        "vrrp_owner_ignore_adverts",
        "owner_ignore_adverts",
        "Invalid value 'vrrp_owner_ignore_adverts' for global {word} specified",
        since="2.3.3",
        pure=False,
        help="the owner of an address drops the adverts of others",
    ),
    values.flag(
        "v3_checksum_as_v2",
        "v3_checksum_as_v2",
        since="2.2.8",
        pure=False,
        help="IPv4 adverts of version 3 are summed without the pseudo header",
    ),
    _seconds(
        "vrrp_startup_delay", "startup_delay_us", 1000, 60 * SECOND, "how long to wait before VRRP starts"
    ),
    _seconds(
        "vrrp_delay_after_boot",
        "delay_after_boot_us",
        1000,
        60 * SECOND,
        "VRRP does not start before the machine has been up for this long",
        since="2.4.0",
        required=False,
        missing="vrrp_delay_after_boot requires a time",
    ),
    values.custom(
        "election",
        elections.read,
        elections.CHOICES,
        default="vrrp",
        help="who decides for instances that say nothing: adverts, or the quorum of raft_cluster",
        attribute="election",
        show=elections.show,
        schema=elections.SCHEMA,
        extension=True,
    ),
    values.switch(
        "dead_man",
        "dead_man",
        "Invalid value '{word}' for global dead_man specified",
        help="the kernel shuts off the addresses of a MASTER that has stopped sending adverts",
        extension=True,
    ),
    values.flag(
        "log_unknown_vrids", "log_unknown_vrids", help="log adverts of virtual routers that are not ours"
    ),
]

# Announcements ---------------------------------------------------------------


def _garp(keyword: str, attribute: str, high: int, scale: int, help: str, **more: Any) -> Keyword[Any]:
    message = more.pop("message", f"{keyword} '{{word}}' invalid - ignoring")
    if scale > 1:
        more["unit"] = "s"
    return values.number(keyword, attribute, 0, high, message, scale=scale, help=help, **more)


def _min_garp(run: Run, target: Any, at: Directive) -> None:
    word = at.words[1] if len(at.words) > 1 else "on"
    if word not in values.BOOLEANS:
        run.error("Invalid value for vrrp_min_garp specified", at, word=1, expected="on or off")
    elif values.BOOLEANS[word]:
        garp = values.part(target, "garp", GarpDefaults)
        garp.repeat = 1 if garp.repeat is None else garp.repeat
        garp.delay_us = Micros(0) if garp.delay_us is None else garp.delay_us
        garp.refresh_us = Micros(0) if garp.refresh_us is None else garp.refresh_us
        garp.refresh_repeat = 1 if garp.refresh_repeat is None else garp.refresh_repeat


def _extra_if(run: Run, target: Any, at: Directive) -> None:
    """`[all] SECONDS`, in any order; a later number replaces an earlier one."""
    delay, everywhere = 0, False
    for position, word in enumerate(at.words[1:], 1):
        if word == "all":
            everywhere = True
            continue
        found = integer(run, at, word, 1, DAY_S)
        if found is None:
            run.error(f"{at.keyword} '{word}' invalid - ignoring", at, word=position)
            return
        delay = found
    if not delay:
        run.error(f"{at.keyword} specified without time - ignoring", at)
        return
    garp = values.part(target, "garp", GarpDefaults)
    garp.extra_interface_s = delay
    garp.extra_interface_all = everywhere or garp.extra_interface_all


def _show_extra_if(garp: GarpDefaults) -> Iterable[str]:
    if not garp.extra_interface_s:
        return ()
    return (f"{'all ' if garp.extra_interface_all else ''}{garp.extra_interface_s}",)


ANNOUNCEMENTS: list[Keyword[Any]] = [
    *values.inside(
        "garp",
        GarpDefaults,
        _garp(
            "vrrp_garp_master_delay",
            "delay_us",
            TIMER_SECONDS,
            SECOND,
            "time before the second burst of gratuitous ARP, 0 for none",
            default="5",
        ),
        _garp(
            "vrrp_garp_master_repeat",
            "repeat",
            UNSIGNED,
            1,
            "gratuitous ARP packets in a burst",
            default="5",
            zero="vrrp_garp_master_repeat must be greater than 0, setting to 1",
        ),
        _garp(
            "vrrp_garp_master_refresh",
            "refresh_us",
            UNSIGNED,
            SECOND,
            "a master announces its addresses again after this time, 0 for never",
            default="0",
            message="Invalid vrrp_garp_master_refresh '{word}' - ignoring",
        ),
        _garp(
            "vrrp_garp_master_refresh_repeat",
            "refresh_repeat",
            UNSIGNED,
            1,
            "gratuitous ARP packets in a repeated announcement",
            default="1",
            zero="vrrp_garp_master_refresh_repeat must be greater than 0, setting to 1",
        ),
        _garp(
            "vrrp_garp_lower_prio_delay",
            "lower_priority_delay_us",
            TIMER_SECONDS,
            SECOND,
            "time before the second burst after an advert of lower priority",
            default="vrrp_garp_master_delay",
        ),
        _garp(
            "vrrp_garp_lower_prio_repeat",
            "lower_priority_repeat",
            LARGEST_INT,
            1,
            "gratuitous ARP packets after an advert of lower priority",
            default="vrrp_garp_master_repeat",
            message="Invalid vrrp_garp_lower_prio_repeat '{word}'",
        ),
        _seconds(
            "vrrp_garp_interval",
            "interval_us",
            1,
            SECOND,
            "least time between gratuitous ARPs on an interface",
        ),
        _seconds(
            "vrrp_gna_interval",
            "gna_interval_us",
            1,
            SECOND,
            "least time between unsolicited neighbour advertisements on an interface",
        ),
    ),
    values.custom(
        "vrrp_min_garp",
        _min_garp,
        "[<BOOL>]",
        required=False,
        default="off",
        help="announce once and never again, where nothing else was said above",
    ),
    values.custom(
        "vrrp_garp_extra_if",
        _extra_if,
        "[all] <INT 1..86400>",
        required=False,
        default="0",
        unit="s",
        help="announce addresses regularly on the other interfaces they concern",
        attribute="garp",
        show=_show_extra_if,
        schema={"type": "string"},
        options=(values.option("all", "", "on every such interface and not on VMACs only", default="off"),),
    ),
    values.custom(
        "vrrp_vmac_garp_intvl",
        _extra_if,
        "[all] <INT 1..86400>",
        required=False,
        default="0",
        unit="s",
        help="the old spelling of vrrp_garp_extra_if",
        alias="vrrp_garp_extra_if",
        deprecation='Keyword "vrrp_vmac_garp_intvl" is deprecated - please use "vrrp_garp_extra_if"',
    ),
]
