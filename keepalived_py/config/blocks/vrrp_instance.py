"""`vrrp_instance`: one virtual router on one interface.

Source: keepalived.conf(5) VRRPD CONFIGURATION; ranges and texts of 2.2.7.
What can only be judged once everything is read stands in `config.correct`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.names import InstanceName
from keepalived_py.config.blocks import (
    authentication,
    elections,
    garp,
    lists,
    notify,
    tracking,
    unicast,
    use_vmac,
    values,
)
from keepalived_py.config.blocks import instance_values as read
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.weights import WHOLE_RECORD
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.vrrp import GratuitousArp, Instance, Notifies

PACKAGE = "keepalived_py.config.blocks"
NO_INTERFACE_SINCE = "2.2.8"

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
        "election",
        "dead_man",
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
        track_checks=[],
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
    if target.interface is None and needs_no_interface(target) and run.compat < NO_INTERFACE_SINCE:
        run.newer = True


def needs_no_interface(one: Draft[Instance]) -> bool:
    """Whether adverts go to peers from an address that says by itself where it is.

    2.2.7 means to allow that, and asks for an interface all the same.
    """
    source, device = one.source, one.vmac is not None or one.ipvlan is not None
    return bool(one.unicast_peers) and source is not None and not source.is_link_local and not device


def _once(found: object) -> Iterable[str]:
    """A keyword without arguments, written if its value is true."""
    return ("",) if found else ()


def _show_native(one: Instance) -> Iterable[str]:
    """Only where nothing else tells the family."""
    told = one.addresses or one.excluded_addresses or one.unicast_peers or one.source
    return ("",) if one.family == 6 and not (told or one.multicast_destination) else ()


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
        read.state,
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
        read.own_interface,
        f"<IF max {values.MAX_INTERFACE_NAME}>",
        help="where adverts are sent and the addresses are added",
        schema={"type": "string", "maxLength": values.MAX_INTERFACE_NAME},
    ),
    values.converted(
        "vrf",
        "vrf",
        read.vrf,
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
        help="which virtual router this is; one of its own on each network; not needed with election raft",
    ),
    values.converted(
        "version",
        "version",
        read.version,
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
        read.priority,
        "<INT 1..255>",
        default="100; 255 if the state is MASTER",
        help="who becomes MASTER: the highest; 255 owns the addresses",
        schema={"type": "integer", "minimum": 1, "maximum": 255},
        inherited=True,
    ),
    Keyword(
        "native_ipv6",
        read.native_ipv6,
        default="off",
        help="an IPv6 instance, even before an address says so",
        attribute=WHOLE_RECORD,
        show=_show_native,
        schema={"type": "boolean"},
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
        read.preempt_delay,
        "<DEC 0..1000>",
        default="0",
        unit="s",
        help="wait before taking over from a lower priority",
        show=values.show_seconds,
        schema=values.seconds_schema(0, 1_000_000_000),
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
        convert=read.late,
        attribute="late_priority",
        show=read.show_late,
        schema={"type": "integer", "minimum": 1, "maximum": 254},
    ),
    Keyword(
        "thread_timer_expired",
        arguments="[<INT 1..254>]",
        default="off",
        help="the old name of timer_expired_backup",
        since="2.3.2",
        convert=read.late,
        attribute="late_priority",
        show=_never,
        schema={"type": "integer", "minimum": 1, "maximum": 254},
        alias="timer_expired_backup",
    ),
)

_BEHAVIOUR: tuple[Keyword[Any], ...] = (
    values.custom(
        "election",
        elections.read,
        elections.CHOICES,
        default="that of global_defs",
        help="who decides which machine holds the addresses: adverts, or the quorum of raft_cluster",
        attribute="election",
        show=elections.show,
        schema=elections.SCHEMA,
        inherited=True,
        extension=True,
    ),
    _boolean(
        "dead_man",
        "dead_man",
        "the kernel shuts off the addresses when we are MASTER and have stopped sending adverts",
        extension=True,
    ),
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
        read.skip_check,
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
        read.linkbeat,
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
        read.receive_buffer,
        f"<INT 0..{values.UNSIGNED}>",
        required=False,
        default="by vrrp_rx_bufs_policy",
        unit="bytes",
        help="receive buffer of the socket",
        schema={"type": "integer", "minimum": 0, "maximum": values.UNSIGNED},
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
        read.lvs_sync,
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
