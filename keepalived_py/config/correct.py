"""The corrections keepalived makes to one instance when the whole file has been read.

Each rule stands in a function of its own, called in keepalived's order, so the
messages come in its order too.  They change the written record in place.
"""

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.config.schema import Run
from keepalived_py.config.written import Written, WrittenInstance
from keepalived_py.diagnostics.report import ErrorClass, Severity
from keepalived_py.model.config import AuthType, InitialState

PASSWORD_BYTES = 8
OWNER_PRIORITY = 255
DEFAULT_PRIORITY = 100
MAX_ADDRESSES = 255
ETHERNET_HEADER = 14
CENTISECOND = 10_000
V3_LONGEST = Micros(40_950_000)
NO_PEERS = (
    "A unicast keyword has been specified without any unicast peers. Defaulting to multicast. "
    "This usage is deprecated - please update your configuration."
)


def correct(one: WrittenInstance, written: Written, run: Run) -> bool:
    """Fill in and correct one instance; False if keepalived would not start with it."""
    if one.vrid is None:
        run.error(f"({one.name}) the virtual router id must be set", code="missing-router-id")
        return False
    if one.interface is None:
        run.error(f"({one.name}) Unknown interface!", code="unknown-interface")
        return False
    one.strict = written.globals.strict if one.strict is None else one.strict
    _version(one, written, run)
    if not _addresses(one, run):
        return False
    _priority_and_state(one, run)
    _authentication(one, run)
    _unicast(one, run)
    _address_count(one, run)
    _preemption(one, run)
    _strictness(one, written, run)
    _advert_interval(one, run)
    _tracked(one, run)
    _unsupported(one)
    return True


def _version(one: WrittenInstance, written: Written, run: Run) -> None:
    if one.family == 6:
        if one.version == 2 and one.strict:
            run.error(f"({one.name}) cannot use IPv6 with VRRP version 2; setting version 3")
            one.version = 3
        one.version = one.version or 3
    if "IPv6" in one.unsupported:
        one.family = 6
    one.family = one.family or 4
    one.version = one.version or written.globals.version


def _addresses(one: WrittenInstance, run: Run) -> bool:
    """An instance without addresses is allowed only where keepalived allows it."""
    if one.addresses:
        return True
    if one.version == 3 or one.family == 6 or one.strict:
        run.error(f"({one.name}) No VIP specified; at least one is required", code="no-addresses")
        return False
    run.error(f"({one.name}) No VIP specified; at least one is sensible", code="no-addresses")
    return True


def _priority_and_state(one: WrittenInstance, run: Run) -> None:
    if one.priority is None:
        one.priority = OWNER_PRIORITY if one.state is InitialState.MASTER else DEFAULT_PRIORITY
    fitting = InitialState.MASTER if one.priority == OWNER_PRIORITY else InitialState.BACKUP
    if one.state is None:
        one.state = fitting
    elif one.strict and one.state is not fitting:
        run.error(f"({one.name}) State MASTER must match being address owner")
        one.state = fitting


def _authentication(one: WrittenInstance, run: Run) -> None:
    if one.auth_type is AuthType.NONE:
        return
    fault = ""
    if one.strict:
        fault = "Strict mode does not support authentication. Ignoring."
    elif one.version == 3:
        fault = "VRRP version 3 does not support authentication. Ignoring."
    elif not one.auth_pass:
        fault = "Authentication specified but no password given. Ignoring"
    elif one.auth_type is AuthType.AH and one.family == 6:
        fault = "Cannot use AH authentication with IPv6. ignoring"
    if fault:
        run.error(f"({one.name}) {fault}", code="authentication")
        one.auth_type = AuthType.NONE
    elif one.auth_type is AuthType.AH and one.state is InitialState.MASTER and one.priority != OWNER_PRIORITY:
        run.error(f"({one.name}) Initial state master is incompatible with AH authentication - clearing")
        one.state = InitialState.BACKUP


def _unicast(one: WrittenInstance, run: Run) -> None:
    if one.unicast_keyword and not one.unicast_peers:
        run.error(f"({one.name}) {NO_PEERS}", code="no-unicast-peers", error_class=ErrorClass.DEPRECATED)


def _address_count(one: WrittenInstance, run: Run) -> None:
    """Move addresses that do not fit into an advert to the excluded ones."""
    assert one.interface is not None
    bytes_each = 4 if one.family == 4 else 16
    header = (20 if one.family == 4 else 40) + 8 + (8 if one.version == 2 and one.family == 4 else 0)
    mtu = run.host.interface_mtu(one.interface)
    room = (mtu - ETHERNET_HEADER - header) // bytes_each if mtu else MAX_ADDRESSES
    most = min(MAX_ADDRESSES, max(room, 0))
    if len(one.addresses) > most:
        run.error(
            f"({one.name}) Number of VIPs ({len(one.addresses)}) exceeds maximum/space available in packet "
            f"(max {most} addresses) - excess moved to eVIPs",
            code="too-many-addresses",
        )
        one.excluded_addresses.extend(one.addresses[most:])
        del one.addresses[most:]


def _preemption(one: WrittenInstance, run: Run) -> None:
    name = one.name
    if one.nopreempt and one.priority == OWNER_PRIORITY:
        run.error(f"({name}) nopreempt is incompatible with priority {OWNER_PRIORITY}. resetting nopreempt")
        one.nopreempt = False
    if one.nopreempt and one.state is InitialState.MASTER:
        run.error(f"({name}) Warning - nopreempt will not work with initial state MASTER - clearing")
        one.nopreempt = False
    if not one.preempt_delay_us:
        return
    fault = ""
    if one.strict:
        fault = "preempt_delay is incompatible with strict mode - resetting"
    elif one.nopreempt:
        fault = "preempt_delay is incompatible with nopreempt mode - resetting"
    elif one.state is InitialState.MASTER:
        fault = "Warning - preempt delay will not work with initial state MASTER - clearing"
    if fault:
        run.error(f"({name}) {fault}")
        one.preempt_delay_us = Micros(0)


def _strictness(one: WrittenInstance, written: Written, run: Run) -> None:
    """What strict mode takes away (keepalived.conf `vrrp_strict`)."""
    if one.down_timer_adverts is None:
        one.down_timer_adverts = written.globals.down_timer_adverts
    if not one.strict:
        return
    name = one.name
    if one.down_timer_adverts != 3:
        run.error(f"({name}) down_timer_adverts is incompatible with strict mode - resetting")
        one.down_timer_adverts = 3
    if one.accept and one.version == 2:
        run.error(
            f"({name}) warning - accept mode for VRRP version 2 does not comply with RFC3768 - resetting"
        )
        one.accept = False
    if one.garp.lower_priority_repeat:
        run.error(f"({name}) Strict mode requires no repeat garps. resetting")
    if one.garp.lower_priority_delay_us:
        run.error(f"({name}) Strict mode requires no repeat garp delay. resetting")
    if one.lower_priority_no_advert is False:
        run.error(f"({name}) Strict mode requires no lower priority advert. resetting")
    if one.higher_priority_send_advert:
        run.error(f"({name}) strict mode requires higher_prio_send_advert to be clear. resetting")
    one.lower_priority_no_advert, one.higher_priority_send_advert = True, False
    if one.accept is None and one.priority != OWNER_PRIORITY:
        run.without_effect.append(f"vrrp_instance: strict mode's no_accept ({name})")


def _advert_interval(one: WrittenInstance, run: Run) -> None:
    interval, shown = one.advert_interval_us, one.advert_interval_us / SECOND
    if one.version == 2:
        if interval % SECOND:
            run.error(f"({one.name}) VRRPv2 advertisement interval {shown:f}s must be an integer. rounding")
            interval = Micros(max((interval + SECOND // 2) // SECOND, 1) * SECOND)
    elif interval > V3_LONGEST:
        run.error(
            f"({one.name}) VRRPv3 advertisement interval {shown:.2f}s is out of range. "
            "Must be less than 40.96s. Setting to 40.95s"
        )
        interval = V3_LONGEST
    elif interval % CENTISECOND:
        run.error(
            f"({one.name}) VRRPv3 advertisement interval {shown:f}s must be in units of 10ms - rounding"
        )
        interval = Micros(max((interval + CENTISECOND // 2) // CENTISECOND, 1) * CENTISECOND)
    one.advert_interval_us = interval


def _tracked(one: WrittenInstance, run: Run) -> None:
    """The own interface is tracked anyway; an address owner's priority never changes."""
    own = [track for track in one.track_interfaces if track.name == one.interface]
    for track in own:
        run.error(
            f"({one.name}) Ignoring track_interface {track.name} since own interface",
            code="own-interface",
            severity=Severity.WARNING,
        )
    one.track_interfaces = [track for track in one.track_interfaces if track not in own]
    if one.priority != OWNER_PRIORITY:
        return
    for track in one.track_scripts:
        if track.weight:
            run.error(f"({one.name}) ignoring tracked script {track.name} with weights due to address_owner")
    for track in one.track_interfaces:
        if track.weight:
            run.error(f"({one.name}) ignoring {track.name} tracked interface due to address owner")
    one.track_scripts = [track for track in one.track_scripts if not track.weight]
    one.track_interfaces = [track for track in one.track_interfaces if not track.weight]


def _unsupported(one: WrittenInstance) -> None:
    """Note what makes an instance one that this program cannot run yet."""
    needs = {
        "IPv6": one.family == 6,
        "VRRP version 3": one.version == 3,
        "unicast_peer": bool(one.unicast_peers),
        "auth_type AH": one.auth_type is AuthType.AH,
    }
    one.unsupported.extend(name for name, needed in needs.items() if needed and name not in one.unsupported)
