"""Whether a heard advert counts, in keepalived's order of checks (RFC 3768 section 7.1).

The order decides which counter grows and which line is logged.  A rejected
advert touches no timer.  Two complaints of keepalived after 2.4.3 do not
reject: a different number of addresses, and an address of ours that is
missing.  Every kind of complaint is logged once until the master changes, and
names the sender.
"""

from typing import NamedTuple

from keepalived_py.core.vrrp.state import Counters, InstanceState
from keepalived_py.model.config import AuthType, Instance
from keepalived_py.model.packet import Advert

ADVERTISEMENT = 1
FULL_TTL = 255
PASSWORD_LENGTH = 8


class Complaint(NamedTuple):
    """What is wrong: the counter that grows ("" for none) and keepalived's text."""

    counter: str
    kind: str
    text: str


def rejection(settings: Instance, advert: Advert) -> Complaint | None:
    """Why `advert` must be ignored, or None."""
    if (
        not advert.has_ah
        and advert.version == settings.version == 2
        and advert.received_length == advert.expected_length == advert.total_length
        and advert.ttl == FULL_TTL
        and advert.kind == ADVERTISEMENT
        and advert.checksum_valid
        and advert.auth_type == settings.auth_type.value == 0
        and advert.advert_interval * 1_000_000 == settings.advert_interval_us
        and advert.destination == settings.destination
    ):
        return None
    return _envelope(settings, advert) or _version_2(settings, advert) or _body(settings, advert)


def disagreements(settings: Instance, advert: Advert) -> list[Complaint]:
    """What is logged and counted although the advert is used: its list of addresses."""
    ours = settings.addresses
    if len(ours) == len(advert.addresses) and all(
        mine.address == theirs for mine, theirs in zip(ours, advert.addresses, strict=True)
    ):
        return []
    found = []
    if advert.address_count != len(ours):
        text = f"expected {len(ours)} VIPs but received {advert.address_count} from {advert.source}"
        found.append(Complaint("addr_list_err", "address count", text))
    missing = [str(mine.address) for mine in ours if mine.address not in advert.addresses]
    if missing:
        text = (
            f"ip address associated with VRID {settings.vrid} not present in advert from {advert.source}: "
            + ", ".join(missing)
        )
        found.append(Complaint("addr_list_err", "address list", text))
    return found


def complain(state: InstanceState, complaint: Complaint, lines: list[str]) -> InstanceState:
    """Count `complaint`, and put its line into `lines` the first time."""
    counters = count(state.counters, complaint.counter)
    if complaint.kind in state.said:
        return state._replace(counters=counters)
    lines.append(f"({state.settings.name}) {complaint.text}")
    return state._replace(counters=counters, said=state.said | {complaint.kind})


def count(counters: Counters, name: str) -> Counters:
    """`counters` with one more of `name`; "" counts nothing."""
    return counters._replace(**{name: getattr(counters, name) + 1}) if name else counters


def _envelope(settings: Instance, advert: Advert) -> Complaint | None:
    sender = f"from {advert.source}"
    if advert.has_ah is not (settings.auth_type is AuthType.AH):
        text = (
            "Received AH header but auth type not AH" if advert.has_ah else "No AH header but auth type is AH"
        )
        return Complaint("authtype_mismatch", "ah", f"{text} {sender}")
    if advert.received_length != advert.expected_length:
        size = "short" if advert.received_length < advert.expected_length else "long"
        lengths = f"length {advert.received_length} and expect {advert.expected_length}"
        return Complaint("packet_len_err", "length", f"vrrp packet too {size} {sender}, {lengths}")
    if advert.ttl != FULL_TTL and settings.destination.is_multicast:
        text = f"invalid TTL/HL {sender}. Received {advert.ttl} and expect {FULL_TTL}"
        return Complaint("ip_ttl_err", "ttl", text)
    if advert.version != settings.version:
        text = f"wrong version {sender}. Received {advert.version} and expect {settings.version}"
        return Complaint("vers_err", "version", text)
    return None


def _version_2(settings: Instance, advert: Advert) -> Complaint | None:
    if settings.version != 2:
        return None
    sender = f"from {advert.source}"
    ours = settings.auth_type
    if advert.auth_type not in (0, 1, 2):
        return Complaint("invalid_authtype", "auth type", f"Invalid auth type: {advert.auth_type} {sender}")
    if advert.auth_type != ours.value:
        text = f"received a {advert.auth_type} auth, expecting {ours.value}! {sender}"
        return Complaint("authtype_mismatch", "auth mismatch", text)
    if ours is AuthType.PASS and advert.auth_data != settings.auth_data[:8].ljust(PASSWORD_LENGTH, b"\0"):
        return Complaint("auth_failure", "password", f"received an invalid passwd! {sender}")
    seconds = settings.advert_interval_us // 1_000_000
    if advert.advert_interval != seconds:
        text = (
            f"advertisement interval mismatch mine={seconds} sec rcv'd={advert.advert_interval} sec {sender}"
        )
        return Complaint("", "interval", text)
    return None


def _body(settings: Instance, advert: Advert) -> Complaint | None:
    sender = f"from {advert.source}"
    if advert.kind != ADVERTISEMENT:
        text = f"Invalid packet type {sender}. {advert.kind} and expect {ADVERTISEMENT}"
        return Complaint("invalid_type_rcvd", "type", text)
    if advert.total_length != advert.received_length:
        lengths = f"{advert.total_length} and received {advert.received_length}"
        text = f"ip_tot_len mismatch against received length {sender}. {lengths}"
        return Complaint("packet_len_err", "total length", text)
    if not advert.checksum_valid:
        return Complaint("chk_err", "checksum", f"Invalid VRRPv{settings.version} checksum {sender}")
    if advert.destination.is_multicast is not settings.destination.is_multicast:
        wanted, got = ("multi", "uni") if settings.destination.is_multicast else ("uni", "multi")
        text = f"Expected {wanted}cast packet but received {got}cast packet {sender}"
        return Complaint("addr_list_err", "destination", text)
    return None
