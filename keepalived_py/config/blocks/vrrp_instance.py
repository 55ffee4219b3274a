"""`vrrp_instance`: one virtual router on one interface.

Source: keepalived.conf(5) VRRPD CONFIGURATION; ranges and texts of 2.2.7.
What can only be judged once everything is read stands in `config.correct`.
"""

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.config.blocks import (
    authentication,
    garp,
    lists,
    notify,
    tracking,
    unicast,
    use_vmac,
    values,
)
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.line_options import known_interface
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.vrrp import GratuitousArp, InitialState, Instance, Notifies

PACKAGE = "keepalived_py.config.blocks"
DEFAULT_PRIORITY = 100
OWNER_PRIORITY = 255

# Fields that stay None until something is written: their defaults depend on the rest.
_UNDECIDED: dict[str, None] = dict.fromkeys(
    (
        "family",
        "version",
        "base_priority",
        "configured_state",
        "accept",
        "strict",
        "lower_priority_no_advert",
        "higher_priority_send_advert",
        "smtp_alert",
        "notify_priority_changes",
        "owner_ignore_adverts",
        "v3_checksum_as_v2",
        "down_timer_adverts",
    )
)


def new_instance(name: str, at: Directive) -> Draft[Instance]:
    """An instance of which only the name is known."""
    return Draft(
        Instance,
        at,
        name=InstanceName(name),
        addresses=[],
        excluded_addresses=[],
        routes=[],
        rules=[],
        track_interfaces=[],
        track_scripts=[],
        track_files=[],
        track_processes=[],
        track_bfds=[],
        unicast_peers=[],
        unicast_keyword=False,
        notifies=Draft(Notifies, at),
        garp=Draft(GratuitousArp, at),
        **_UNDECIDED,
    )


def opened(run: Run, target: Written, at: Directive) -> Draft[Instance] | None:
    """A new instance; None for one without a usable name."""
    if len(at.words) != 2:
        run.error("vrrp_instance must have a name", at, code="missing-name", expected="vrrp_instance NAME {")
        return None
    name = at.words[1]
    if name in target.instances:
        first = target.instances[name].header.line_origin
        run.error(
            f"vrrp instance {name} already defined",
            at,
            word=1,
            code="duplicate",
            notes=(f"it is defined in {first.file}, line {first.line}",),
        )
        return None
    instance = target.instances[name] = new_instance(name, at)
    return instance


def closed(run: Run, target: Draft[Instance], at: Directive) -> None:
    """What 2.2.7 checks at the `}` of an instance."""
    own_link = target.vmac is not None or target.ipvlan is not None
    if target.unicast_keyword and own_link:
        if target.interface is None:
            run.error(
                f"({target.name}): Cannot use VMAC/ipvlan with unicast and no interface - clearing use_vmac",
                closing(at),
                code="vmac-without-interface",
            )
            target.vmac = target.ipvlan = None
        elif not target.vmac_xmit_base:
            run.error(
                f"({target.name}) unicast with use_vmac requires vmac_xmit_base - setting",
                closing(at),
                code="unicast-vmac",
                expected="vmac_xmit_base",
            )
            target.vmac_xmit_base = True
    if target.unicast_ttl is not None and not target.unicast_peers:
        run.error(
            f"({target.name}): Cannot use unicast_ttl without unicast peers - resetting",
            closing(at),
            code="no-unicast-peers",
        )
        target.unicast_ttl = None


# Single keywords -------------------------------------------------------------


def _state(run: Run, target: Draft[Instance], at: Directive) -> object:
    word = at.words[1]
    if word not in ("MASTER", "BACKUP"):
        run.error(
            f"({target.name}) unknown state '{word}', defaulting to BACKUP",
            at,
            word=1,
            expected="MASTER or BACKUP",
        )
        return InitialState.BACKUP
    if word == "BACKUP" and target.configured_state is InitialState.MASTER:
        run.error(
            f"({target.name}) state previously set as MASTER - ignoring BACKUP", at, word=1, code="duplicate"
        )
        return FAILED
    return InitialState(word)


def _interface(run: Run, target: Draft[Instance], at: Directive) -> object:
    word = at.words[1]
    if len(word) > values.MAX_INTERFACE_NAME:
        run.error(
            f"Interface name '{word}' too long - ignoring", at, word=1, expected="at most 15 characters"
        )
        return FAILED
    return _usable_interface(
        run,
        at,
        f"WARNING - interface {word} for vrrp_instance {target.name} doesn't exist",
        f"({target.name}) cannot use a loopback interface ({word}) for vrrp - ignoring",
    )


def _usable_interface(run: Run, at: Directive, missing: str, loopback: str) -> InterfaceName | None:
    word = at.words[1]
    if not known_interface(run, at, word):
        expected = "an interface of this machine"
        run.error(missing, at, word=1, code="unknown-interface", expected=expected)
        return None
    if run.host.interface_is_loopback(word):
        run.error(
            loopback, at, word=1, code="loopback-interface", expected="an interface that reaches others"
        )
        return None
    return InterfaceName(word)


def _vrf(run: Run, target: Draft[Instance], at: Directive) -> object:
    name, word = target.name, at.words[1]
    refused = ""
    if len(word) > values.MAX_INTERFACE_NAME:
        refused = f"VRF interface name '{word}' too long - ignoring"
    elif target.interface is not None:
        refused = "Cannot specify VRF interface and interface - ignoring"
    elif target.vrf is not None:
        refused = f"VRF interface already specified as '{target.vrf}' - ignoring"
    if refused:
        run.error(f"({name}) {refused}", at, word=1)
        return FAILED
    return _usable_interface(
        run,
        at,
        f"({name}) WARNING - VRF interface {word} doesn't exist",
        f"({name}) cannot use a loopback interface ({word}) for VRF - ignoring",
    )


def _version(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 2, 3, signed=True)
    if value is None:
        run.error(f"({target.name}): Version must be either 2 or 3", at, word=1, expected="2 or 3")
        return FAILED
    if target.version not in (None, value) or (value == 2 and target.family == 6):
        run.error(
            f"({target.name}) vrrp_version {value} conflicts with configured or deduced version "
            f"{target.version or 0}; ignoring.",
            at,
            word=1,
            code="version-conflict",
        )
        return FAILED
    return value


def _native_ipv6(run: Run, target: Draft[Instance], at: Directive) -> None:
    if target.family == 4:
        run.error(
            f"({target.name}) Cannot specify native_ipv6 with IPv4 addresses", at, code="mixed-families"
        )
        return
    target.family, target.version = 6, 3
    target.given["family"] = at


def _priority(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 1, OWNER_PRIORITY)
    if value is None:
        run.error(
            f"({target.name}) Priority not valid! must be between 1 & {OWNER_PRIORITY}. "
            f"Using default {DEFAULT_PRIORITY}",
            at,
            word=1,
            expected="a whole number from 1 to 255",
        )
        return DEFAULT_PRIORITY
    return value


def _preempt_delay(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = values.decimal(run, at, at.words[1], 0, 1_000_000_000)
    if value is None:
        run.error(
            f"({target.name}) Preempt_delay not valid! must be between 0-1000",
            at,
            word=1,
            expected="seconds from 0 to 1000",
        )
        return 0
    return value


def _skip_check(run: Run, target: Draft[Instance], at: Directive) -> object:
    """Any valid word turns it on, even `off`: keepalived does not look at which one it is."""
    if len(at.words) > 1 and at.words[1] not in values.BOOLEANS:
        run.error(f"({target.name}) invalid skip_check_adv_addr {at.words[1]} specified", at, word=1)
        return FAILED
    return True


def _receive_buffer(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 0, values.UNSIGNED) if len(at.words) == 2 else None
    if value is None:
        run.error(
            f"({target.name}) invalid kernel_rx_buf_size specified",
            at,
            word=min(1, len(at.words) - 1),
            expected="one number of bytes",
        )
        return FAILED
    return value


def _linkbeat(run: Run, target: Draft[Instance], at: Directive) -> object:
    run.error(
        f"({target.name}) 'linkbeat_use_polling' in vrrp instance deprecated - use linkbeat_interfaces block",
        at,
        word=0,
        code="deprecated",
    )
    return True


def _lvs_sync(run: Run, target: Draft[Instance], at: Directive) -> object:
    name = target.name
    run.error(
        f"({name}) Specifying lvs_sync_daemon_interface against a vrrp is deprecated.",
        at,
        word=0,
        code="deprecated",
    )
    indent = " " * (6 + abs(len(name) - 2))
    run.error(f"{indent}Please use global lvs_sync_daemon", at, word=0, code="deprecated")
    taken = _sync_daemon_interface(run)
    if taken is not None:
        run.error(
            f"({name}) lvs_sync_daemon_interface has already been specified as {taken} - ignoring",
            at,
            word=1,
            code="duplicate",
        )
        return FAILED
    return at.words[1]


def _sync_daemon_interface(run: Run) -> str | None:
    """The interface that the IPVS synchronisation daemon has already."""
    daemon = getattr(run.written.globals, "lvs_sync_daemon", None)
    if daemon is not None:
        return str(daemon.interface)
    others = (one.lvs_sync_interface for one in run.written.instances.values())
    return next((str(one) for one in others if one is not None), None)


def _late(run: Run, target: Draft[Instance], at: Directive) -> object:
    if at.keyword == "thread_timer_expired":
        run.error(
            f"({target.name}) thread_timer_expired - please replace with keyword 'timer_expired_backup'",
            at,
            word=0,
            code="deprecated",
        )
    if len(at.words) < 2:
        return OWNER_PRIORITY - 1
    value = integer(run, at, at.words[1], 1, OWNER_PRIORITY - 1)
    if value is None:
        run.error(
            f"({target.name}) timer_expired_backup highest_other_priority not valid! must be between 1 & 254",
            at,
            word=1,
        )
        return FAILED
    return value


def _show_late(value: int | None) -> Iterable[str]:
    return () if value is None else (str(value),)


def _once(found: object) -> Iterable[str]:
    """A keyword without arguments, written if its value is true."""
    return ("",) if found else ()


def _never(found: object) -> Iterable[str]:
    """A keyword that a dump need not write."""
    return ()


def _boolean(name: str, attribute: str, help: str, **more: Any) -> Keyword[Any]:
    message = f"({{name}}) invalid {name} {{word}} specified"
    more.setdefault("default", "that of global_defs")
    return values.switch(name, attribute, message, help=help, inherited=True, **more)


def _inner(name: str, module: str, attribute: str, help: str, block: str = "BLOCK") -> Keyword[Any]:
    """A list whose module is imported when it is met."""
    return Keyword(
        name,
        arguments="{ <entry> ... }",
        help=help,
        block=f"{PACKAGE}.{module}:{block}",
        open=lists.opened,
        attribute=attribute,
    )


_IDENTITY: tuple[Keyword[Any], ...] = (
    values.converted(
        "state",
        "configured_state",
        _state,
        "MASTER|BACKUP",
        default="MASTER with priority 255, else BACKUP",
        help="the role it may take at once at start",
        show=lambda found: (found.value,),
        schema={"enum": ["MASTER", "BACKUP"]},
        inherited=True,
        pure=False,
    ),
    values.converted(
        "interface",
        "interface",
        _interface,
        f"<IF max {values.MAX_INTERFACE_NAME}>",
        help="where adverts are sent and the addresses are added",
        schema={"type": "string", "maxLength": values.MAX_INTERFACE_NAME},
    ),
    values.converted(
        "vrf",
        "vrf",
        _vrf,
        "<VRF IF>",
        help="VRF to work in, for unicast without an interface",
        schema={"type": "string", "maxLength": values.MAX_INTERFACE_NAME},
        pure=False,
    ),
    values.number(
        "virtual_router_id",
        "vrid",
        1,
        255,
        "({name}): VRID '{word}' not valid - must be between 1 & 255",
        help="which virtual router this is; one of its own on each network",
    ),
    values.converted(
        "version",
        "version",
        _version,
        "2|3",
        default="vrrp_version; 3 for IPv6",
        help="version of the VRRP protocol",
        schema={"enum": [2, 3]},
        inherited=True,
        pure=False,
    ),
    values.converted(
        "priority",
        "base_priority",
        _priority,
        "<INT 1..255>",
        default="100; 255 if the state is MASTER",
        help="who becomes MASTER: the highest; 255 owns the addresses",
        schema={"type": "integer", "minimum": 1, "maximum": 255},
        inherited=True,
    ),
    Keyword(
        "native_ipv6",
        _native_ipv6,
        default="off",
        help="an IPv6 instance, even before an address says so",
        attribute="family",
        show=_never,
        schema={"enum": [4, 6]},
    ),
)

_TIMING: tuple[Keyword[Any], ...] = (
    values.seconds(
        "advert_int",
        "advert_interval_us",
        10_000,
        255_000_000,
        "({name}) Advert interval ({word}) not valid! Must be > 0 - ignoring",
        default="1",
        help="time between adverts; version 2 takes whole seconds, version 3 at most 40.95",
    ),
    values.flag("nopreempt", "preempt", False, help="leave a running MASTER of lower priority alone"),
    values.flag("preempt", "preempt", default="on", help="take over from a MASTER of lower priority"),
    values.converted(
        "preempt_delay",
        "preempt_delay_us",
        _preempt_delay,
        "<DEC 0..1000>",
        default="0",
        unit="s",
        help="wait before taking over from a lower priority",
        show=values.show_seconds,
        schema={"type": "integer", "minimum": 0, "maximum": 1_000_000_000},
    ),
    values.number(
        "down_timer_adverts",
        "down_timer_adverts",
        1,
        100,
        "({name}): Invalid down_timer_adverts [1:100] '{word}'",
        default="the global value",
        unit="adverts",
        help="missed adverts before taking over",
        inherited=True,
    ),
    Keyword(
        "timer_expired_backup",
        arguments="[<INT 1..254>]",
        default="off",
        help="go BACKUP after running so late that a router of this priority may have taken over",
        since="2.2.8",
        convert=_late,
        attribute="late_priority",
        show=_show_late,
        schema={"type": "integer", "minimum": 1, "maximum": 254},
    ),
    Keyword(
        "thread_timer_expired",
        arguments="[<INT 1..254>]",
        default="off",
        help="the old name of timer_expired_backup",
        since="2.3.2",
        convert=_late,
        attribute="late_priority",
        show=_never,
        schema={"type": "integer", "minimum": 1, "maximum": 254},
        alias="timer_expired_backup",
    ),
)

_BEHAVIOUR: tuple[Keyword[Any], ...] = (
    _boolean("strict_mode", "strict", "follow the RFC to the letter", default="vrrp_strict"),
    values.flag(
        "accept",
        "accept",
        default="on unless strict",
        inherited=True,
        help="accept packets for the addresses",
    ),
    values.flag(
        "no_accept",
        "accept",
        False,
        default="on if strict",
        inherited=True,
        help="drop packets for the addresses, except where they are owned",
    ),
    values.converted(
        "skip_check_adv_addr",
        "skip_check_adv_addr",
        _skip_check,
        "[<BOOL>]",
        default="the global value",
        required=False,
        help="adverts of the same MASTER need not list the right addresses again; any word turns it on",
        show=_once,
        schema={"type": "boolean"},
        inherited=True,
    ),
    _boolean(
        "lower_prio_no_advert",
        "lower_priority_no_advert",
        "do not answer an advert of lower priority at once",
    ),
    _boolean(
        "higher_prio_send_advert",
        "higher_priority_send_advert",
        "send one more advert before giving way to a higher priority",
    ),
    _boolean(
        "owner_ignore_adverts",
        "owner_ignore_adverts",
        "the owner of the addresses does not listen to others",
        since="2.3.3",
    ),
    _boolean(
        "v3_checksum_as_v2",
        "v3_checksum_as_v2",
        "the checksum of version 3 leaves the pseudo header out",
        since="2.2.8",
    ),
    values.flag("promote_secondaries", "promote_secondaries", help="keep the other addresses when one goes"),
    values.flag("dont_track_primary", "track_primary", False, help="a fault of our interface is ignored"),
    values.flag("track_src_ip", "track_source", help="a missing source address is a fault"),
    values.converted(
        "linkbeat_use_polling",
        "linkbeat_use_polling",
        _linkbeat,
        "",
        default="off",
        required=False,
        help="poll the link of our interface; linkbeat_interfaces is the place for it",
        show=_once,
        schema={"type": "boolean"},
    ),
    values.converted(
        "kernel_rx_buf_size",
        "receive_buffer_bytes",
        _receive_buffer,
        f"<INT 0..{values.UNSIGNED}>",
        required=False,
        default="by vrrp_rx_bufs_policy",
        unit="bytes",
        help="receive buffer of the socket",
        schema={"type": "integer", "minimum": 0},
    ),
    values.number(
        "debug",
        "debug",
        0,
        4,
        "({name}) Debug value '{word}' not valid; must be between 0-4",
        default="0",
        help="debug level",
        meaningless="keepalived itself never looks at it",
    ),
    values.converted(
        "lvs_sync_daemon_interface",
        "lvs_sync_interface",
        _lvs_sync,
        "<IF>",
        help="the old form of the global lvs_sync_daemon",
        schema={"type": "string"},
        pure=False,
    ),
)

_ADDRESSES: tuple[Keyword[Any], ...] = (
    _inner("virtual_ipaddress", "virtual_ipaddress", "addresses", "addresses of the MASTER", "ADDRESSES"),
    _inner(
        "virtual_ipaddress_excluded",
        "virtual_ipaddress",
        "excluded_addresses",
        "addresses that move too but are not in the adverts",
        "EXCLUDED",
    ),
    values.flag(
        "no_virtual_ipaddress", "allow_no_addresses", help="it is right to have no addresses", since="2.2.8"
    ),
    _inner("virtual_routes", "routes", "routes", "routes that the MASTER has"),
    _inner("virtual_rules", "rules", "rules", "policy rules that the MASTER has"),
)

BLOCK: Block[Any] = block(
    "vrrp_instance",
    [
        *_IDENTITY,
        *_TIMING,
        *use_vmac.KEYWORDS,
        *unicast.KEYWORDS,
        *authentication.KEYWORDS,
        *_BEHAVIOUR,
        *_ADDRESSES,
        *tracking.KEYWORDS,
        *garp.KEYWORDS,
        *notify.instance_keywords(),
    ],
    record=Instance,
    show_header=lambda instance: values.quoted(instance.name),
)
