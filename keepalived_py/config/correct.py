"""What keepalived fills in and corrects in one instance when the whole file has been read.

Each rule stands in a function of its own; they are called in keepalived's
order, because what one of them changes decides another.  They change the draft
in place; `config.build` makes the instance of it, without a word.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.record import replace
from keepalived_py.config.blocks.use_vmac import MAC_BYTES
from keepalived_py.config.draft import Draft
from keepalived_py.config.places import say
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass, Severity
from keepalived_py.model.vrrp import AuthType, HmacMode, InitialState, Instance

OWNER_PRIORITY = 255
DEFAULT_PRIORITY = 100
DEFAULT_ADVERTS = 3
MAX_ADDRESSES = 255
ETHERNET_HEADER = 14
VRRP_HEADER = 8
V2_AUTHENTICATION = 8
AH_HEADER = 24
HMAC_TRAILER = 28
CENTISECOND = 10_000
V3_LONGEST = Micros(40_950_000)
LEAST_WINDOW_S, MOST_WINDOW_S = 5, 300
DEFAULT_FILE_WEIGHT = 1

NO_PEERS = (
    "A unicast keyword has been specified without any unicast peers. Defaulting to multicast. "
    "This usage is deprecated - please update your configuration."
)

One = Draft[Instance]


def correct(one: One, run: Run) -> bool:
    """Fill in and correct one instance; False if keepalived would not start with it."""
    common = run.written.globals
    one.strict = bool(common.strict) if one.strict is None else one.strict
    _version(one, run)
    if not _may_be_empty(one, run):
        return False
    _priority_and_state(one, run)
    _authentication(one, run)
    _hmac(one, run)
    _unicast(one, run)
    _own_link_type(one, run)
    _first_ipv6(one, run)
    _vrf(one, run)
    _address_count(one, run)
    _preemption(one, run)
    _strictness(one, run)
    _advert_interval(one, run)
    _own_link(one, run)
    _own_interface(one, run)
    _addresses_on_vmac(one, run)
    _weights(one, run)
    if one.interface is None:
        _without_interface(one, run)
    return True


def _complain(run: Run, one: One, text: str, field: str = "", **more: Any) -> None:
    say(run, one, f"({one.name}) {text}", field, **more)


def _version(one: One, run: Run) -> None:
    if one.family == 6:
        if one.version == 2 and one.strict:
            _complain(run, one, "cannot use IPv6 with VRRP version 2; setting version 3", "version")
            one.version = 3
        one.version = one.version or 3
    one.family = one.family or 4
    one.version = one.version or run.written.globals.version


def _may_be_empty(one: One, run: Run) -> bool:
    """An instance without addresses is allowed only where keepalived allows it."""
    if one.addresses or one.allow_no_addresses:
        return True
    needed = one.version == 3 or one.strict
    if not needed:
        _no_addresses(one, run, "sensible")
    if needed or one.family == 6:
        _no_addresses(one, run, "required")
        return False
    return True


def _no_addresses(one: One, run: Run, worth: str) -> None:
    _complain(
        run,
        one,
        f"No VIP specified; at least one is {worth}",
        code="no-addresses",
        expected="a virtual_ipaddress block",
    )


def _priority_and_state(one: One, run: Run) -> None:
    if one.base_priority is None:
        asked = one.configured_state is InitialState.MASTER
        one.base_priority = OWNER_PRIORITY if asked else DEFAULT_PRIORITY
    fitting = InitialState.MASTER if one.base_priority == OWNER_PRIORITY else InitialState.BACKUP
    if one.configured_state is None:
        one.configured_state = fitting
    elif one.strict and one.configured_state is not fitting:
        _complain(run, one, "State MASTER must match being address owner", "configured_state")
        one.configured_state = fitting


def _authentication(one: One, run: Run) -> None:
    if one.auth_type is AuthType.NONE:
        return
    fault = ""
    if one.strict:
        fault = "Strict mode does not support authentication. Ignoring."
    elif one.version == 3:
        fault = "VRRP version 3 does not support authentication. Ignoring."
    elif not one.auth_data or one.auth_data[0] == 0:
        fault = "Authentication specified but no password given. Ignoring"
    elif one.auth_type is AuthType.AH and one.family == 6:
        fault = "Cannot use AH authentication with IPv6. ignoring"
    if fault:
        _complain(run, one, fault, "auth_type", code="authentication")
        one.auth_type = AuthType.NONE
    elif (
        one.auth_type is AuthType.AH
        and one.configured_state is InitialState.MASTER
        and one.base_priority != OWNER_PRIORITY
    ):
        _complain(
            run,
            one,
            "Initial state master is incompatible with AH authentication - clearing",
            "configured_state",
            code="authentication",
        )
        one.configured_state = InitialState.BACKUP


def _hmac(one: One, run: Run) -> None:
    """The signed trailer of 2.4; 2.2.7 has refused the block, so this never changes its verdict."""
    found: Any = one.auth_hmac
    if found is None:
        return
    if one.auth_type is not AuthType.NONE:
        text = "auth_hmac cannot be combined with authentication, dropping legacy auth"
        _complain(run, one, text, "auth_hmac", code="authentication")
        one.auth_type = AuthType.NONE
    if all(key.id != found.active_key for key in found.keys):
        text = f"auth_hmac active_key {found.active_key} is not defined, disabling extension"
        _complain(run, one, text, "auth_hmac", code="authentication")
        one.auth_hmac = None
        return
    if one.strict and found.mode is not HmacMode.ENFORCE:
        _complain(run, one, "strict mode requires auth_hmac mode enforce", "auth_hmac")
        found.mode = HmacMode.ENFORCE
    if not found.time_window_s:
        seconds = 3 * (one.advert_interval_us // SECOND)
        found.time_window_s = min(max(seconds, LEAST_WINDOW_S), MOST_WINDOW_S)


def _unicast(one: One, run: Run) -> None:
    if not one.unicast_keyword or one.unicast_peers:
        return
    if one.unicast_fault_no_peer:
        run.log(f"({one.name}) Cannot use unicast without any peers - going to fault state", one.header)
        return
    _complain(
        run,
        one,
        NO_PEERS,
        code="no-unicast-peers",
        error_class=ErrorClass.DEPRECATED,
        expected="a unicast_peer block",
    )


def _own_link_type(one: One, run: Run) -> None:
    if one.vmac is None or one.vmac.mac is None:
        return
    if one.strict:
        text = f"({one.name}): cannot specify MAC address with strict mode - clearing"
        say(run, one, text, "vmac")
        one.vmac = replace(one.vmac, mac=None)
    elif len(one.vmac.mac) < MAC_BYTES:
        one.vmac = replace(one.vmac, mac=one.vmac.mac + bytes((one.vrid,)))


def _first_ipv6(one: One, run: Run) -> None:
    if one.family != 6 or one.unicast_peers or not one.addresses:
        return
    if one.addresses[0].address.is_link_local:
        return
    if one.strict:
        _complain(
            run,
            one,
            "the first IPv6 VIP address must be link local",
            "addresses",
            code="not-link-local",
            expected="an address of fe80::/10 in front",
        )
    else:
        run.log(f"({one.name}) the first IPv6 VIP address should be link local", one.at("addresses"))


def _vrf(one: One, run: Run) -> None:
    if one.vrf is not None and (one.interface is not None or not one.unicast_peers):
        more = "out interface" if one.interface is not None else " unicast"
        _complain(run, one, f"vrf can only be specified with{more} - clearing", "vrf")
        one.vrf = None


def _address_count(one: One, run: Run) -> None:
    """Move addresses that do not fit into an advert to the excluded ones."""
    if len(one.addresses) <= 1:
        return
    if one.family == 4:
        header = ETHERNET_HEADER + 20 + VRRP_HEADER
        if one.version == 2:
            header += V2_AUTHENTICATION + (AH_HEADER if one.auth_type is AuthType.AH else 0)
    else:
        header = ETHERNET_HEADER + 40 + VRRP_HEADER
    header += HMAC_TRAILER if one.auth_hmac is not None else 0
    room = run.host.interface_mtu(one.interface or "") - header
    most = min(MAX_ADDRESSES, room // (4 if one.family == 4 else 16) if room >= 0 else MAX_ADDRESSES)
    if len(one.addresses) > most:
        _complain(
            run,
            one,
            f"Number of VIPs ({len(one.addresses)}) exceeds maximum/space available in packet "
            f"(max {most} addresses) - excess moved to eVIPs",
            "addresses",
            code="too-many-addresses",
        )
        one.excluded_addresses.extend(one.addresses[most:])
        del one.addresses[most:]


def _preemption(one: One, run: Run) -> None:
    if not one.preempt and one.base_priority == OWNER_PRIORITY:
        text = f"nopreempt is incompatible with priority {OWNER_PRIORITY}. resetting nopreempt"
        _complain(run, one, text, "preempt", code="nopreempt-owner")
        one.preempt = True
    if one.configured_state is InitialState.MASTER:
        if not one.preempt:
            text = "Warning - nopreempt will not work with initial state MASTER - clearing"
            _complain(run, one, text, "preempt", code="nopreempt-master", expected="state BACKUP")
            one.preempt = True
        if one.preempt_delay_us:
            text = "Warning - preempt delay will not work with initial state MASTER - clearing"
            _complain(
                run, one, text, "preempt_delay_us", code="preempt-delay-master", expected="state BACKUP"
            )
            one.preempt_delay_us = Micros(0)
    if not one.preempt_delay_us:
        return
    for applies, mode in ((one.strict, "strict mode"), (not one.preempt, "nopreempt mode")):
        if applies:
            text = f"preempt_delay is incompatible with {mode} - resetting"
            _complain(run, one, text, "preempt_delay_us", code="preempt-delay")
            one.preempt_delay_us = Micros(0)


def _strictness(one: One, run: Run) -> None:
    """What strict mode takes away (keepalived.conf `vrrp_strict`), and what has defaults because of it."""
    common = run.written.globals
    owner = one.base_priority == OWNER_PRIORITY
    if one.down_timer_adverts is None:
        one.down_timer_adverts = common.down_timer_adverts
    if one.accept is None:
        one.accept = owner or not one.strict
    if one.strict:
        _strict_timing(one, run, owner)
    if one.unicast_peers and one.multicast_destination is not None:
        text = "multicast destination specified with unicast - ignoring"
        _complain(run, one, text, "multicast_destination")
        one.multicast_destination = None
    if one.strict:
        _strict_adverts(one, run)
    if one.owner_ignore_adverts is None:
        one.owner_ignore_adverts = True if owner and (one.strict or common.owner_ignore_adverts) else None
    elif one.owner_ignore_adverts and not owner:
        text = f"ignoring owner_ignore_adverts since priority is not {OWNER_PRIORITY}"
        _complain(run, one, text, "owner_ignore_adverts")
        one.owner_ignore_adverts = None
    elif owner and one.strict and not one.owner_ignore_adverts:
        text = f"strict_mode with priority {OWNER_PRIORITY} requires owner_ignore_adverts"
        _complain(run, one, text, "owner_ignore_adverts")
        one.owner_ignore_adverts = True


def _strict_timing(one: One, run: Run, owner: bool) -> None:
    if one.down_timer_adverts != DEFAULT_ADVERTS:
        text = "down_timer_adverts is incompatible with strict mode - resetting"
        _complain(run, one, text, "down_timer_adverts")
        one.down_timer_adverts = DEFAULT_ADVERTS
    if one.accept and one.version == 2 and not owner:
        text = "warning - accept mode for VRRP version 2 does not comply with RFC3768 - resetting"
        _complain(run, one, text, "accept")
        one.accept = False


def _strict_adverts(one: One, run: Run) -> None:
    garp = one.garp
    for field, what in (
        ("lower_priority_repeat", "repeat garps"),
        ("lower_priority_delay_us", "repeat garp delay"),
    ):
        if garp.written(field) and getattr(garp, field):
            say(run, garp, f"({one.name}) Strict mode requires no {what}. resetting", field)
        setattr(garp, field, 0)
    if one.lower_priority_no_advert is False:
        text = "Strict mode requires no lower priority advert. resetting"
        _complain(run, one, text, "lower_priority_no_advert")
    if one.higher_priority_send_advert:
        text = "strict mode requires higher_prio_send_advert to be clear. resetting"
        _complain(run, one, text, "higher_priority_send_advert")
    one.lower_priority_no_advert, one.higher_priority_send_advert = True, False


def _advert_interval(one: One, run: Run) -> None:
    interval = one.advert_interval_us
    shown = interval / SECOND
    if one.version == 2:
        if interval % SECOND:
            text = f"VRRPv2 advertisement interval {shown:f}s must be an integer. rounding"
            _complain(run, one, text, "advert_interval_us", code="advert-interval", expected="whole seconds")
            interval = Micros(max((interval + SECOND // 2) // SECOND, 1) * SECOND)
    elif interval > V3_LONGEST + CENTISECOND - 1:
        _complain(
            run,
            one,
            f"VRRPv3 advertisement interval {shown:.2f}s is out of range. "
            "Must be less than 40.96s. Setting to 40.95s",
            "advert_interval_us",
            code="advert-interval",
        )
        interval = V3_LONGEST
    elif interval % CENTISECOND:
        text = f"VRRPv3 advertisement interval {shown:f}s must be in units of 10ms - rounding"
        _complain(run, one, text, "advert_interval_us", code="advert-interval")
        interval = Micros(max((interval + CENTISECOND // 2) // CENTISECOND, 1) * CENTISECOND)
    one.advert_interval_us = interval
    if one.source is None:
        one.track_source = False


def _own_link(one: One, run: Run) -> None:
    """What goes together with a VMAC or an ipvlan."""
    if one.vmac is not None and one.strict and one.vmac_xmit_base:
        text = "xmit_base is incompatible with strict mode - resetting"
        _complain(run, one, text, "vmac_xmit_base")
        one.vmac_xmit_base = False
    if one.promote_secondaries and (one.vmac is not None or one.ipvlan is not None):
        text = "promote_secondaries is automatically set for vmacs - ignoring"
        _complain(run, one, text, "promote_secondaries")
        one.promote_secondaries = False
    if one.ipvlan is not None and one.family == 4 and one.ipvlan.address is None:
        text = "IPv4 ipvlan requires a source ip address to be configured. setting instance to fault state"
        _complain(run, one, text, "ipvlan", code="ipvlan-address", expected="use_ipvlan [NAME] ADDRESS")


def _own_interface(one: One, run: Run) -> None:
    """The own interface is tracked anyway."""
    own = [track for track in one.track_interfaces if track.name == one.interface]
    for track in own:
        said = say(
            run,
            one,
            f"({one.name}) Ignoring track_interface {track.name} since own interface",
            "track_interfaces",
            code="own-interface",
        )
        run.diagnostics[-1] = replace(said, severity=Severity.WARNING)
    if own:
        one.track_interfaces = [track for track in one.track_interfaces if track not in own]
    if one.vmac_xmit_base and one.vmac is None:
        text = "vmac_xmit_base is only valid with a vmac"
        _complain(run, one, text, "vmac_xmit_base")
        one.vmac_xmit_base = False


def _addresses_on_vmac(one: One, run: Run) -> None:
    """`use_vmac` at an address is for those that are not on the instance's VMAC anyway."""
    for entry in (*one.addresses, *one.excluded_addresses):
        if not entry.use_vmac:
            continue
        own = entry.interface is None or entry.interface == one.interface
        same_family = entry.address.version == one.family
        shown = address_text(entry)
        if own and same_family and one.vmac is not None:
            text = f"use_vmac specified for VIP/eVIP {shown} and vrrp instance"
        elif one.vmac_addresses and not (own and same_family):
            text = f"use_vmac_addr specified and use_vmac specified for VIP/eVIP {shown}"
        else:
            continue
        _complain(run, one, text, "vmac")
        entry.use_vmac = False


def _without_interface(one: One, run: Run) -> None:
    """Unicast without an interface: every address says itself where it goes."""
    for kind, entries in (("", one.addresses), ("e", one.excluded_addresses)):
        for entry in [entry for entry in entries if entry.interface is None]:
            text = f"({one.name}): no interface for {kind}vip {address_text(entry)} - removing"
            say(run, one, text, "addresses", code="no-interface", expected="dev NAME")
            entries.remove(entry)
    one.interface = ""


def address_text(entry: Any) -> str:
    """An address as keepalived names it: with the length of its prefix unless that is all of it."""
    whole = entry.prefix_length == entry.address.max_prefixlen
    return str(entry.address) if whole else f"{entry.address}/{entry.prefix_length}"


def _weights(one: One, run: Run) -> None:
    """Owners have a fixed priority, and members of a group (unless it says otherwise) must keep step."""
    group: Any = one.__dict__.get("group")
    in_step = group is not None and not group.tracking_weight
    if not in_step and one.base_priority != OWNER_PRIORITY:
        return
    reason = "SYNC group" if in_step else "address_owner"
    for track in one.track_interfaces:
        if track.weight:
            why = "weight due to SYNC group" if in_step else "due to address owner"
            _complain(run, one, f"ignoring {track.name} tracked interface {why}", "track_interfaces")
    if in_step:
        one.track_interfaces = [replace(track, weight=0) for track in one.track_interfaces]
    else:
        one.track_interfaces = [track for track in one.track_interfaces if not track.weight]
    for field, kind in (("track_scripts", "script"), ("track_checks", "check")):
        tracks = getattr(one, field)
        for track in tracks:
            if track.weight:
                text = f"ignoring tracked {kind} {track.name} with weights due to {reason}"
                _complain(run, one, text, field)
        setattr(one, field, [track for track in tracks if not track.weight])
    one.track_files = list(_unweighted_files(one, run, reason))
    for track in one.track_bfds:
        if track.weight:
            text = f"ignoring tracked bfd {track.name} with weight {track.weight} due to {reason}"
            _complain(run, one, text, "track_bfds")
    one.track_bfds = [track for track in one.track_bfds if not track.weight]


def _unweighted_files(one: One, run: Run, reason: str) -> Any:
    """A file of the default weight is watched without one; any other weight takes it out."""
    for track in one.track_files:
        if track.weight == DEFAULT_FILE_WEIGHT:
            text = f"ignoring weight from tracked file {track.name} due to {reason}. specify weight 0"
            _complain(run, one, text, "track_files")
            yield replace(track, weight=0)
        elif track.weight:
            text = f"ignoring tracked file {track.name} with weight {track.weight} due to {reason}"
            _complain(run, one, text, "track_files")
        else:
            yield track
