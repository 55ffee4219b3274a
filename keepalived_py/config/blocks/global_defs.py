"""`global_defs` and the plain keywords of the top level.

Source: keepalived.conf(5) GLOBAL CONFIGURATION; texts and ranges of 2.2.7.
"""

from ipaddress import IPv4Address, IPv6Address

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import known, script_users, values
from keepalived_py.config.blocks.values import TIMER_SECONDS, UNSIGNED, bad_number, integer, second
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import WrittenGarp, WrittenGlobals

UMASK_BITS = {
    f"I{kind}{who}": bit << shift
    for who, shift in (("USR", 6), ("GRP", 3), ("OTH", 0))
    for kind, bit in (("R", 4), ("W", 2), ("X", 1))
}


def _version(run: Run, target: WrittenGlobals, at: Directive) -> None:
    value = integer(run, at, at.words[1], 2, 3)
    if value is None:
        run.error("VRRP Error: Version must be either 2 or 3", at)
    else:
        target.version = value


def _multicast_group(run: Run, target: WrittenGlobals, at: Directive) -> None:
    word = at.words[1]
    group = values.address(word)
    if group is None:
        run.error(f"Can't parse vrrp_mcast_group4 [{word}]. Skipping", at)
    elif not isinstance(group, IPv4Address):
        run.error(f"vrrp_mcast_group4 [{word}] is not IPv4. Skipping", at)
    elif not group.is_multicast:
        run.error(f"vrrp_mcast_group4 [{word}] is not multicast. Skipping", at)
    else:
        target.multicast_group = group


def _multicast_group6(run: Run, target: WrittenGlobals, at: Directive) -> None:
    word = at.words[1]
    group = values.address(word)
    if group is None:
        run.error(f"Can't parse vrrp_mcast_group6 [{word}]. Skipping", at)
    elif not isinstance(group, IPv6Address):
        run.error(f"vrrp_mcast_group6 [{word}] is not IPv6. Skipping", at)
    elif not group.is_multicast:
        run.error(f"vrrp_mcast_group6 [{word}] is not multicast. Skipping", at)
    elif (int(group) >> 112) & 0xF != 2:
        run.error(f"vrrp_mcast_group6 [{word}] should be link-local multicast.", at)
    else:
        run.no_effect("global_defs", at)


def _dynamic_interfaces(run: Run, target: WrittenGlobals, at: Directive) -> None:
    target.dynamic_interfaces = True
    if len(at.words) > 1 and at.words[1] != "allow_if_changes":
        run.error(f"Unknown dynamic_interfaces option '{at.words[1]}'", at)


def _nice(run: Run, target: WrittenGlobals, at: Directive) -> None:
    if len(at.words) < 2:
        run.error("No vrrp process priority specified", at)
        return
    value = integer(run, at, at.words[1], -20, 19)
    if value is None:
        run.error("Invalid vrrp process priority specified", at)
    else:
        target.nice = value


def _rt_priority(run: Run, target: WrittenGlobals, at: Directive) -> None:
    word = second(at)
    found = values.integer(run, at, word, -(2**31), 2**31 - 1) if word else None
    title = "vrrp process real-time priority"
    if found is None:
        run.error(f"{title} '{word}' invalid" if word else f"No {title} specified", at)
        return
    if found > 99:
        run.error(f"{title} {found} greater than maximum 99 - setting to maximum", at)
    elif found < 1:
        run.error(f"{title} {found} less than minimum 1 - setting to minimum", at)
    target.rt_priority = min(max(found, 1), 99)


def _umask(run: Run, target: WrittenGlobals, at: Directive) -> None:
    word = "".join(at.words[1:])
    if word[:1].isdigit():
        try:
            target.umask = int(word, 8 if word[0] == "0" and word.isdigit() else 0) & 0o777
        except ValueError:
            run.error(f"invalid umask value {word}", at)
        return
    mask = 0
    for name in word.split("|"):
        bit = UMASK_BITS.get(name)
        if bit is None:
            odd = not name.isalnum()
            run.error(f"Invalid umask syntax {word}" if odd else f"Unknown umask bit {name}", at)
            return
        mask |= bit
    target.umask = mask


def _script_user(run: Run, target: WrittenGlobals, at: Directive) -> None:
    found = script_users.find_user(run, at, at.words[1:3])
    if found is None:
        run.error("Error setting global script uid/gid", at)
    else:
        target.script_user = found


def _email(run: Run, target: WrittenGlobals, at: Directive) -> None:
    target.emails.append(at.words[0])


def _emails_end(run: Run, target: WrittenGlobals, at: Directive) -> None:
    run.no_effect("global_defs", at)
    if not target.emails:
        run.error("Warning - empty notification_email block", at)


def _smtp_server(run: Run, target: WrittenGlobals, at: Directive) -> None:
    run.no_effect("global_defs", at)
    host, port = at.words[1], at.words[2] if len(at.words) > 2 else "25"
    dotted = all(part.isdigit() for part in host.replace(":", ".").split("."))
    if dotted and values.address(host) is None:
        run.error(f"Invalid smtp server {host} {port}", at)


def _smtp_timeout(run: Run, target: WrittenGlobals, at: Directive) -> None:
    run.no_effect("global_defs", at)
    word = at.words[1]
    value = integer(run, at, word, 0, TIMER_SECONDS)
    if value is None:
        run.error(f"smtp_connect_timeout '{word}' must be in [0, {TIMER_SECONDS}] - ignoring", at)
    elif value == 0:
        run.error("smtp_conect_timeout must be greater than 0, setting to 1", at)


def _email_from(run: Run, target: WrittenGlobals, at: Directive) -> None:
    run.no_effect("global_defs", at)
    if len(at.words) < 2:
        run.error("emailfrom missing - ignoring", at)


def _garp(
    name: str, attribute: str, high: int, message: str, scale: int, help: str
) -> Keyword[WrittenGlobals]:
    inner: Keyword[WrittenGarp] = values.number(
        name, attribute, 0, high, message, scale=scale, zero=_GARP_ZERO.get(name, ""), help=help
    )

    def read(run: Run, target: WrittenGlobals, at: Directive) -> None:
        assert inner.convert is not None
        value = inner.convert(run, target.garp, at)
        if value is not FAILED:
            setattr(target.garp, attribute, value)

    return Keyword(name, read, inner.arguments, unit="s" if scale > 1 else "", help=help, required=True)


def _min_garp(run: Run, target: WrittenGlobals, at: Directive) -> None:
    word = second(at) or "on"
    if word not in values.BOOLEANS:
        run.error(f"Invalid value '{word}' for vrrp_min_garp specified", at)
    elif values.BOOLEANS[word]:
        garp = target.garp
        garp.repeat = 1 if garp.repeat is None else garp.repeat
        garp.delay_us = Micros(0) if garp.delay_us is None else garp.delay_us
        garp.refresh_us = Micros(0) if garp.refresh_us is None else garp.refresh_us
        garp.refresh_repeat = 1 if garp.refresh_repeat is None else garp.refresh_repeat


_GARP_ZERO = {
    name: f"{name} must be greater than 0, setting to 1"
    for name in ("vrrp_garp_master_repeat", "vrrp_garp_master_refresh_repeat")
}
_GARP = [
    _garp(
        "vrrp_garp_master_delay",
        "delay_us",
        TIMER_SECONDS,
        "vrrp_garp_master_delay '{word}' invalid - ignoring",
        1_000_000,
        "delay before the second burst of gratuitous ARP",
    ),
    _garp(
        "vrrp_garp_master_repeat",
        "repeat",
        UNSIGNED,
        "vrrp_garp_master_repeat '{word}' invalid - ignoring",
        1,
        "gratuitous ARP packets per burst",
    ),
    _garp(
        "vrrp_garp_master_refresh",
        "refresh_us",
        UNSIGNED,
        "Invalid vrrp_garp_master_refresh '{word}' - ignoring",
        1_000_000,
        "period of repeated announcements while MASTER, 0 for none",
    ),
    _garp(
        "vrrp_garp_master_refresh_repeat",
        "refresh_repeat",
        UNSIGNED,
        "vrrp_garp_master_refresh_repeat '{word}' invalid - ignoring",
        1,
        "packets per repeated announcement",
    ),
    _garp(
        "vrrp_garp_lower_prio_delay",
        "lower_priority_delay_us",
        TIMER_SECONDS,
        "vrrp_garp_lower_prio_delay '{word}' invalid - ignoring",
        1_000_000,
        "delay of the second burst after a lower-priority advert",
    ),
    _garp(
        "vrrp_garp_lower_prio_repeat",
        "lower_priority_repeat",
        2**31 - 1,
        "Invalid vrrp_garp_lower_prio_repeat '{word}'",
        1,
        "packets sent after a lower-priority advert",
    ),
]

_EMAILS: Block[WrittenGlobals] = Block("global_defs/notification_email", entry=_email)

GLOBAL_DEFS: Block[WrittenGlobals] = block(
    "global_defs",
    [
        values.text(
            "router_id", "router_id", missing="routerid name missing - ignoring", help="our name in mails"
        ),
        values.custom("vrrp_version", _version, "2|3", default="2", help="default protocol version"),
        values.custom("vrrp_mcast_group4", _multicast_group, "<IPV4>", help="destination of IPv4 adverts"),
        values.custom("vrrp_mcast_group6", _multicast_group6, "<IPV6>", help="destination of IPv6 adverts"),
        *_GARP,
        values.custom("vrrp_min_garp", _min_garp, "[on|off]", required=False, help="one announcement only"),
        values.switch(
            "vrrp_lower_prio_no_advert",
            "lower_priority_no_advert",
            "Invalid value '{word}' for vrrp_lower_prio_no_advert specified",
            help="stay silent on a lower-priority advert",
        ),
        values.switch(
            "vrrp_higher_prio_send_advert",
            "higher_priority_send_advert",
            "Invalid value '{word}' for vrrp_higher_prio_send_advert specified",
            help="send one advert before yielding",
        ),
        values.switch(
            "vrrp_skip_check_adv_addr",
            "skip_check_adv_addr",
            "Invalid value '{word}' for vrrp_skip_check_adv_addr specified",
            help="check the addresses of an advert only when the master changes",
        ),
        values.switch(
            "vrrp_strict",
            "strict",
            "Invalid value '{word}' for vrrp_strict specified",
            help="follow the RFC strictly",
        ),
        values.number(
            "vrrp_down_timer_adverts",
            "down_timer_adverts",
            1,
            100,
            "Invalid vrrp_down_timer_adverts [1:100] '{word}'",
            default="3",
            unit="adverts",
            help="missed adverts before taking over",
        ),
        values.seconds(
            "vrrp_startup_delay",
            "startup_delay_us",
            1000,
            4_294_967_295,
            "vrrp_startup_delay '{word}' is invalid",
            help="wait before VRRP starts",
        ),
        values.flag("log_unknown_vrids", "log_unknown_vrids", help="log adverts of VRIDs that are not ours"),
        values.flag(
            "enable_script_security", "script_security", help="refuse scripts that others may change"
        ),
        values.custom("script_user", _script_user, "<USER> [<GROUP>]", help="default user of scripts"),
        values.custom("dynamic_interfaces", _dynamic_interfaces, "[allow_if_changes]", required=False),
        values.custom("umask", _umask, "<NUM>|<BIT>[|<BIT>...]", help="file mode creation mask"),
        values.custom(
            "vrrp_priority", _nice, "<INT -20..19>", required=False, help="nice value of the VRRP process"
        ),
        values.custom(
            "vrrp_rt_priority", _rt_priority, "<INT 1..99>", required=False, help="real-time priority"
        ),
        values.flag("vrrp_no_swap", "no_swap", help="keep the VRRP process in memory"),
        Keyword("notification_email", block=_EMAILS, close=_emails_end, help="recipients of alert mails"),
        values.custom("notification_email_from", _email_from, "<EMAIL>", required=False),
        values.custom("smtp_server", _smtp_server, "<ADDR>|<DOMAIN> [<PORT>]"),
        values.custom("smtp_connect_timeout", _smtp_timeout, "<INT 0..4294>"),
    ],
)
GLOBAL_DEFS = Block("global_defs", GLOBAL_DEFS.keywords, fallback=known.fallback("global_defs"))


def _child_wait(run: Run, target: WrittenGlobals, at: Directive) -> None:
    if integer(run, at, at.words[1], 0, UNSIGNED) is None:
        bad = at.words[1]
        bad_number(run, at, f"Invalid child_wait_time {bad}")
    run.no_effect("", at)


TOP_LEVEL: list[Keyword[WrittenGlobals]] = [
    values.flag("use_pid_dir", "use_pid_dir", help="keep pid files in a directory of our own"),
    values.text(
        "instance", "instance", missing="instance name missing - ignoring", help="name of this daemon"
    ),
    values.text("net_namespace", "net_namespace", missing="net_namespace name missing - ignoring"),
    values.custom("child_wait_time", _child_wait, "<INT 0..4294967295>", default="5"),
]
