"""`vrrp_instance`: one virtual router, and its `authentication` block.

Source: keepalived.conf(5) VRRPD CONFIGURATION; ranges and texts of 2.2.7.
"""

from functools import partial
from ipaddress import IPv4Address
from typing import Any

from keepalived_py.config.blocks import known, notify, tracking, values, virtual_ipaddress
from keepalived_py.config.blocks.values import TIMER_SECONDS, UNSIGNED, integer
from keepalived_py.config.blocks.virtual_ipaddress import missing_interface
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import Written, WrittenGarp, WrittenInstance
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.config import AuthType, InitialState

PASSWORD_BYTES = 8


def _state(run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[1]
    if word not in ("MASTER", "BACKUP"):
        run.error(f"({target.name}) unknown state '{word}', defaulting to BACKUP", at)
        target.state = InitialState.BACKUP
    elif word == "BACKUP" and target.state is InitialState.MASTER:
        run.error(f"({target.name}) state previously set as MASTER - ignoring BACKUP", at)
    else:
        target.state = InitialState(word)


def _interface(written: Written, run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[1]
    target.interface = None
    if len(word) > values.MAX_INTERFACE_NAME:
        run.error(f"Interface name '{word}' too long - ignoring", at)
        return
    if not run.host.interface_exists(word):
        missing_interface(run, written, at, word, f"vrrp_instance {target.name}")
    elif run.host.interface_is_loopback(word):
        run.error(f"({target.name}) cannot use a loopback interface ({word}) for vrrp - ignoring", at)
        return
    target.interface = word


def _version(run: Run, target: WrittenInstance, at: Directive) -> None:
    value = integer(run, at, at.words[1], 2, 3)
    if value is None:
        run.error(f"({target.name}): Version must be either 2 or 3", at)
    elif target.version not in (None, value) or (value == 2 and target.family == 6):
        run.error(
            f"({target.name}) vrrp_version {value} conflicts with configured or deduced version "
            f"{target.version or 0}; ignoring.",
            at,
        )
    else:
        target.version = value


def _source(run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[1]
    found = values.connection_address(word)
    if found is None:
        run.error(
            f"Configuration error: VRRP instance[{target.name}] malformed src address[{word}]. Skipping...",
            at,
        )
    elif target.family is not None and found.version != target.family:
        run.error(
            f"Configuration error: VRRP instance[{target.name}] and src address[{word}] MUST be of the same "
            "family !!! Skipping...",
            at,
        )
    else:
        target.source, target.family = found, found.version
    if at.keyword == "unicast_src_ip":
        target.unicast_keyword = True


def _destination(run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[1]
    found = values.address(word)
    if found is None:
        run.error(f"({target.name}) malformed mcast_dst_ip {word}. Skipping...", at)
    elif not found.is_multicast:
        run.error(f"({target.name}) mcast_dst_ip {word} not multicast. Skipping...", at)
    elif target.family is not None and found.version != target.family:
        run.error(f"({target.name}) mcast_dst_ip {word} address family does not match", at)
    elif isinstance(found, IPv4Address):
        target.destination = found
    else:
        target.family = 6


def _advert_interval(run: Run, target: WrittenInstance, at: Directive) -> None:
    value = values.decimal(run, at, at.words[1], 10_000, 255_000_000)
    if value is None:
        run.error(f"({target.name}) Advert interval ({at.words[1]}) not valid! Must be > 0 - ignoring", at)
    else:
        target.advert_interval_us = value


def _skip_check(run: Run, target: WrittenInstance, at: Directive) -> None:
    """Any valid word turns it on, even `off`: keepalived does not look at which one it is."""
    if len(at.words) > 1 and at.words[1] not in values.BOOLEANS:
        run.error(f"({target.name}) invalid skip_check_adv_addr {at.words[1]} specified", at)
    else:
        target.skip_check_adv_addr = True


def _accept(value: bool, run: Run, target: WrittenInstance, at: Directive) -> None:
    target.accept = value
    if not value:
        run.no_effect("vrrp_instance", at)


def _not_supported(what: str, run: Run, target: WrittenInstance, at: Directive) -> None:
    if what not in target.unsupported:
        target.unsupported.append(what)
    run.no_effect("vrrp_instance", at)


def _unicast_peer(run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[0]
    found = values.connection_address(word)
    title = f"Configuration error: VRRP instance[{target.name}]"
    if found is None:
        run.error(f"{title} malformed unicast peer address[{word}]. Skipping...", at)
        return
    if target.family is not None and found.version != target.family:
        run.error(f"{title} and unicast peer address[{word}] MUST be of the same family !!! Skipping...", at)
        return
    target.family = found.version
    target.unicast_peers.append(found)
    _ttl_limits(run, target, at)


def _ttl_limits(run: Run, target: WrittenInstance, at: Directive) -> None:
    limits = {"min_ttl": 0, "max_ttl": 255}
    for name, word in zip(at.words[1::2], [*at.words[2::2], ""], strict=False):
        if name not in limits:
            run.error(f"({target.name}) unknown unicast_peer option {name}", at)
            return
        value = integer(run, at, word, 0, 255)
        if value is None:
            run.error(f"({target.name}) invalid {name} {word}", at)
        else:
            limits[name] = value
    if limits["min_ttl"] > limits["max_ttl"]:
        run.error(
            f"({target.name}) min_ttl {limits['min_ttl']} > max_ttl {limits['max_ttl']}"
            " - all packets will be discarded",
            at,
        )


def _unicast_ttl(run: Run, target: WrittenInstance, at: Directive) -> None:
    run.no_effect("vrrp_instance", at)
    if integer(run, at, at.words[1], 0, 255) is None:
        run.error(f"({target.name}): Invalid unicast_ttl {at.words[1]}", at)
    else:
        target.unicast_ttl_at = at


def _old_checksum(run: Run, target: WrittenInstance, at: Directive) -> None:
    run.no_effect("vrrp_instance", at)
    word = values.second(at)
    if word not in ("", "never"):
        run.error(f"({target.name}) Unknown old_unicast_chksum mode {word} - ignoring", at)
    else:
        target.unicast_keyword = True


def _closed(run: Run, target: WrittenInstance, at: Directive) -> None:
    if target.unicast_ttl_at is not None and not target.unicast_peers:
        run.error(f"({target.name}): Cannot use unicast_ttl without unicast peers - resetting", at)


def _auth_type(run: Run, target: WrittenInstance, at: Directive) -> None:
    word = at.words[1]
    if word not in ("PASS", "AH"):
        run.error(f"({target.name}) unknown authentication type '{word}'", at)
        return
    target.auth_type = AuthType[word]


def _auth_pass(run: Run, target: WrittenInstance, at: Directive) -> None:
    if len(at.words[1].encode(errors="surrogateescape")) > PASSWORD_BYTES:
        run.error(f"Truncating auth_pass to {PASSWORD_BYTES} characters", at, code="auth-pass-too-long")
    target.auth_pass = at.words[1]


def _deprecated(run: Run, target: WrittenInstance, at: Directive) -> None:
    name = target.name
    if at.keyword == "linkbeat_use_polling":
        run.error(
            f"({name}) 'linkbeat_use_polling' in vrrp instance deprecated - use linkbeat_interfaces block",
            at,
            code="deprecated",
        )
    else:
        run.error(
            f"({name}) Specifying lvs_sync_daemon_interface against a vrrp is deprecated.",
            at,
            code="deprecated",
        )
        run.error("      Please use global lvs_sync_daemon", at, code="deprecated")
    run.no_effect("vrrp_instance", at)


AUTHENTICATION: Block[WrittenInstance] = block(
    "vrrp_instance/authentication",
    [
        values.custom("auth_type", _auth_type, "PASS|AH", help="how adverts are authenticated"),
        values.custom("auth_pass", _auth_pass, "<STRING max 8>", help="the password, 8 bytes are used"),
    ],
)


def _garp(
    name: str, attribute: str, high: int, message: str, scale: int = 1, zero: str = ""
) -> Keyword[WrittenInstance]:
    """A number of the announcement settings."""
    unit = "s" if scale > 1 else ""

    def read(run: Run, target: WrittenInstance, at: Directive) -> None:
        prefix = f"({target.name}): "
        inner: Keyword[WrittenGarp] = values.number(
            name, attribute, 0, high, prefix + message, scale=scale, zero=prefix + zero if zero else ""
        )
        assert inner.convert is not None
        value = inner.convert(run, target.garp, at)
        if value is not FAILED:
            setattr(target.garp, attribute, value)

    return Keyword(name, read, f"<INT 0..{high}>", unit=unit, help="announcement of addresses", required=True)


_GARP = [
    _garp(
        "garp_master_delay",
        "delay_us",
        TIMER_SECONDS,
        "garp_master_delay '{word}' invalid - ignoring",
        1_000_000,
    ),
    _garp(
        "garp_master_refresh",
        "refresh_us",
        UNSIGNED,
        "Invalid garp_master_refresh '{word}' - ignoring",
        1_000_000,
    ),
    _garp(
        "garp_master_repeat",
        "repeat",
        UNSIGNED,
        "garp_master_repeat '{word}' invalid - ignoring",
        zero="garp_master_repeat must be greater than 0, setting to 1",
    ),
    _garp(
        "garp_master_refresh_repeat",
        "refresh_repeat",
        UNSIGNED,
        "garp_master_refresh_repeat '{word}' invalid - ignoring",
        zero="garp_master_refresh_repeat must be greater than 0, setting to 1",
    ),
    _garp(
        "garp_lower_prio_delay",
        "lower_priority_delay_us",
        TIMER_SECONDS,
        "garp_lower_prio_delay '{word}' invalid - ignoring",
        1_000_000,
    ),
    _garp(
        "garp_lower_prio_repeat",
        "lower_priority_repeat",
        2**31 - 1,
        "Invalid garp_lower_prio_repeat '{word}'",
    ),
]

_PLAIN: list[Keyword[WrittenInstance]] = [
    values.custom("state", _state, "MASTER|BACKUP", help="the role it may take at once at start"),
    values.number(
        "virtual_router_id",
        "vrid",
        1,
        255,
        "({name}): VRID '{word}' not valid - must be between 1 & 255",
        help="which virtual router this is",
    ),
    values.number(
        "priority",
        "priority",
        1,
        255,
        "({name}) Priority not valid! must be between 1 & 255. Using default 100",
        default="100",
        help="who becomes MASTER: the highest; 255 owns the addresses",
    ),
    values.custom(
        "advert_int", _advert_interval, "<DEC 0.01..255>", default="1", help="seconds between adverts"
    ),
    values.custom("version", _version, "2|3", help="VRRP version"),
    values.custom("mcast_src_ip", _source, "<IPADDR>", help="source address of adverts"),
    values.custom("unicast_src_ip", _source, "<IPADDR>", help="source address of adverts"),
    values.custom("mcast_dst_ip", _destination, "<IPADDR>", help="destination of adverts"),
    values.flag("nopreempt", "nopreempt", help="leave a running MASTER of lower priority alone"),
    values.flag("preempt", "nopreempt", False, help="take over from a lower priority (the default)"),
    values.seconds(
        "preempt_delay",
        "preempt_delay_us",
        0,
        1_000_000_000,
        "({name}) Preempt_delay not valid! must be between 0-1000",
        help="wait before taking over from a lower priority",
    ),
    values.number(
        "down_timer_adverts",
        "down_timer_adverts",
        1,
        100,
        "({name}): Invalid down_timer_adverts [1:100] '{word}'",
        unit="adverts",
        help="missed adverts before taking over",
    ),
    values.flag("dont_track_primary", "track_primary", False, help="a fault of our interface is ignored"),
    values.switch("strict_mode", "strict", "({name}) invalid strict_mode {word} specified"),
    values.custom("skip_check_adv_addr", _skip_check, "[on|off]", required=False),
    values.switch(
        "lower_prio_no_advert",
        "lower_priority_no_advert",
        "({name}) invalid lower_prio_no_advert {word} specified",
    ),
    values.switch(
        "higher_prio_send_advert",
        "higher_priority_send_advert",
        "({name}) invalid higher_prio_send_advert {word} specified",
    ),
    values.custom("accept", partial(_accept, True), required=False, help="accept packets for the addresses"),
    values.custom("no_accept", partial(_accept, False), required=False),
    values.custom("use_vmac", partial(_not_supported, "use_vmac"), "[<IFNAME>] [<MAC>]", required=False),
    values.custom("use_ipvlan", partial(_not_supported, "use_ipvlan"), "[<IFNAME>] [<ADDR>]", required=False),
    values.custom("native_ipv6", partial(_not_supported, "IPv6"), required=False),
    values.custom("unicast_ttl", _unicast_ttl, "<INT 0..255>", help="TTL of unicast adverts"),
    values.custom("old_unicast_checksum", _old_checksum, "[never]", required=False),
    values.custom("linkbeat_use_polling", _deprecated, required=False),
    values.custom("lvs_sync_daemon_interface", _deprecated, "<IF>"),
    Keyword("authentication", block=AUTHENTICATION, help="VRRPv2 authentication"),
    *_GARP,
]


def _peers_opened(run: Run, target: WrittenInstance, at: Directive) -> WrittenInstance:
    target.unicast_keyword = True
    return target


def instance_block(written: Written, defined: dict[str, set[str]]) -> Block[WrittenInstance]:
    """The schema of one instance; `defined` holds the names of track objects seen so far."""
    peers: Block[Any] = Block("unicast_peer", entry=_unicast_peer)
    table = block(
        "vrrp_instance",
        [
            *_PLAIN,
            values.custom("interface", partial(_interface, written), "<IF>", help="where adverts are sent"),
            Keyword("unicast_peer", arguments="{ <ADDR> ... }", block=peers, open=_peers_opened),
            *virtual_ipaddress.keywords(written),
            tracking.script_keyword(written),
            tracking.interface_keyword(written),
            tracking.undefined_keyword("track_file", "file", ("track_file", "vrrp_track_file"), defined),
            tracking.undefined_keyword("track_process", "process", ("vrrp_track_process",), defined),
            tracking.undefined_keyword("track_bfd", "bfd", ("bfd_instance",), defined),
            *notify.instance_keywords(written),
        ],
    )
    return Block(table.name, table.keywords, fallback=known.fallback("vrrp_instance"))


def keyword(written: Written, defined: dict[str, set[str]]) -> Keyword[Written]:
    """The top-level keyword `vrrp_instance NAME { ... }`."""

    def opened(run: Run, target: Written, at: Directive) -> WrittenInstance | None:
        name = values.second(at)
        if not name:
            run.error("vrrp_instance must have a name", at, code="missing-name")
            return None
        if name in target.instances:
            run.error(
                f"vrrp instance {name} already defined", at, code="duplicate", error_class=ErrorClass.GENERAL
            )
            return None
        instance = target.instances[name] = WrittenInstance(name, at)
        return instance

    return Keyword(
        "vrrp_instance",
        arguments="<NAME>",
        block=instance_block(written, defined),
        open=opened,
        close=_closed,
    )
