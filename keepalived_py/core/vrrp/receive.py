"""Whether a heard advert counts, in keepalived's order of checks (RFC 3768, RFC 9568 section 7.1).

The order decides which counter grows and which line is logged.  A rejected
advert touches no timer.  Where keepalived after 2.4.3 differs from 2.2.7 we
follow it: a different number of addresses, and an address of ours that is
missing, do not reject; an interval that differs is said once in version 3;
`check_unicast_src` is checked whether or not addresses are; the padding of
short Ethernet frames is no part of an advert.

The checksum over IPv6 is the kernel's business, and so it was right.
"""

from keepalived_py.core.vrrp import authentication
from keepalived_py.core.vrrp.adverts import CENTISECOND, checksum_form, renewed
from keepalived_py.core.vrrp.complaint import Complaint
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.core.vrrp.timing import OWNER
from keepalived_py.model.config import AuthType, Instance
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.packet import Advert, ChecksumForm
from keepalived_py.model.vrrp import UnicastChecksum

ADVERTISEMENT = 1
FULL_TTL = 255
INTERVAL = "interval"
_ETHERNET_PAYLOAD = 46
_VLAN_TAG = 4


def judge(
    state: InstanceState, advert: Advert, wall_clock_s: int, out: list[Effect]
) -> tuple[InstanceState, Complaint | None]:
    """Why `advert` must be ignored, or None; and the instance with what it learned on the way."""
    settings = state.settings
    complaint = _envelope(settings, advert)
    if complaint is None and settings.auth_hmac is not None:
        state, complaint = authentication.verify_trailer(state, advert, wall_clock_s, out)
    if complaint is None and settings.version == 2:
        complaint = authentication.wrong_type_or_password(settings, advert)
        if complaint is None and settings.auth_type is AuthType.AH:
            state, complaint = authentication.verify_header(state, advert)
        complaint = complaint or _interval(settings, advert)
    complaint = complaint or _body(settings, advert)
    if complaint is None and settings.family == 4:
        state, complaint = _checksum(state, advert, out)
    return state, complaint or _addressee(state, advert)


def can_be_remembered(settings: Instance) -> bool:
    """Whether the same advert is judged the same way each time."""
    fixed = settings.auth_hmac is None and settings.auth_type is not AuthType.AH
    return fixed and not settings.owner_ignore_adverts


def wrong_peer(settings: Instance, advert: Advert) -> Complaint | None:
    """Whom `check_unicast_src` refuses; the advert was counted as received before."""
    if not settings.check_unicast_source or not settings.unicast:
        return None
    for peer in settings.unicast_peers:
        if peer.address == advert.source:
            if peer.min_ttl <= advert.ttl <= peer.max_ttl:
                return None
            text = f"TTL/HL {advert.ttl} from {advert.source} not in range [{peer.min_ttl}, {peer.max_ttl}]"
            return Complaint("ip_ttl_err", "ttl range", text)
    return authentication.stranger(advert)


def disagreements(state: InstanceState, advert: Advert, addresses: bool) -> list[Complaint]:
    """What is said (and counted) although the advert is used.

    The list of addresses is compared if `addresses`, their number always is.
    Another interval, which version 3 allows, is not found twice: the advert is an ordinary one.
    """
    found, settings = [], state.settings
    ours, interval = settings.addresses, advert.advert_interval * CENTISECOND
    if settings.version == 3 and interval != settings.advert_interval_us and INTERVAL not in state.said:
        mine = settings.advert_interval_us // CENTISECOND
        text = (
            f"advertisement interval mismatch ours = {mine} centi-sec "
            f"rcv'd={advert.advert_interval} centi-sec from {advert.source}"
        )
        found.append(Complaint("", INTERVAL, text))
    if advert.address_count != len(ours):
        text = f"expected {len(ours)} VIPs but received {advert.address_count} from {advert.source}"
        found.append(Complaint("addr_list_err", "address count", text))
    elif addresses:
        theirs = frozenset(advert.addresses)
        missing = [str(mine.address) for mine in ours if mine.address not in theirs]
        if missing:
            text = f"ip address associated with VRID {settings.vrid} not present in advert"
            text = f"{text} from {advert.source}: {', '.join(missing)}"
            found.append(Complaint("addr_list_err", "address list", text))
    return found


def _envelope(settings: Instance, advert: Advert) -> Complaint | None:
    sender = f"from {advert.source}"
    if settings.family == 4 and advert.has_ah is not (settings.auth_type is AuthType.AH):
        text = (
            "Received AH header but auth type not AH" if advert.has_ah else "No AH header but auth type is AH"
        )
        return Complaint("authtype_mismatch", "ah", f"{text} {sender}")
    expected = advert.expected_length
    if authentication.carries_trailer(settings, advert):
        expected += authentication.TRAILER_LENGTH
    if advert.received_length != expected and not _padded(expected, advert.received_length):
        size = "short" if advert.received_length < expected else "long"
        lengths = f"length {advert.received_length} and expect {expected}"
        return Complaint("packet_len_err", "length", f"vrrp packet too {size} {sender}, {lengths}")
    if advert.ttl != FULL_TTL and not settings.unicast:
        text = f"invalid TTL/HL {sender}. Received {advert.ttl} and expect {FULL_TTL}"
        return Complaint("ip_ttl_err", "ttl", text)
    if advert.version != settings.version:
        text = f"wrong version {sender}. Received {advert.version} and expect {settings.version}"
        return Complaint("vers_err", "version", text)
    return None


def _padded(wanted: int, received: int) -> bool:
    """Whether the surplus is Ethernet's filling of short frames, less any VLAN tags taken off."""
    return wanted < received <= _ETHERNET_PAYLOAD and (_ETHERNET_PAYLOAD - received) % _VLAN_TAG == 0


def _interval(settings: Instance, advert: Advert) -> Complaint | None:
    """Version 2 demands the same interval of everybody; keepalived counts nothing here."""
    seconds = settings.advert_interval_us // 1_000_000
    if advert.advert_interval == seconds:
        return None
    text = f"advertisement interval mismatch mine={seconds} sec rcv'd={advert.advert_interval} sec"
    return Complaint("", INTERVAL, f"{text} from {advert.source}")


def _body(settings: Instance, advert: Advert) -> Complaint | None:
    sender = f"from {advert.source}"
    if advert.kind != ADVERTISEMENT:
        text = f"Invalid packet type {sender}. {advert.kind} and expect {ADVERTISEMENT}"
        return Complaint("invalid_type_rcvd", "type", text)
    total, received = advert.total_length, advert.received_length
    if settings.family == 4 and total != received and not _padded(total, received):
        text = f"ip_tot_len mismatch against received length {sender}. {total} and received {received}"
        return Complaint("packet_len_err", "total length", text)
    return None


def _checksum(
    state: InstanceState, advert: Advert, out: list[Effect]
) -> tuple[InstanceState, Complaint | None]:
    """The usual form is always good; the old one between unicast peers, and makes us speak it.

    keepalived refuses the usual form once it speaks the old one.  Its own change of form is
    only half done, though: it goes on sending the usual one, so that both become MASTER.
    """
    settings, memory = state.settings, state.memory
    form = checksum_form(settings, memory.old_checksum)
    if advert.checksum_valid or form is ChecksumForm.MESSAGE_ONLY:
        return state, None
    if advert.old_checksum_valid and form is ChecksumForm.OLD_UNICAST:
        return state, None
    if (
        advert.old_checksum_valid
        and settings.unicast
        and settings.version == 3
        and settings.unicast_checksum is UnicastChecksum.AUTO
    ):
        out.append(WriteLog(f"({settings.name}) Setting unicast VRRPv3 checksum to old version"))
        return renewed(state._replace(memory=memory._replace(old_checksum=True))), None
    text = f"Invalid VRRPv{settings.version} checksum from {advert.source}"
    return state, Complaint("chk_err", "checksum", text)


def _addressee(state: InstanceState, advert: Advert) -> Complaint | None:
    settings = state.settings
    if advert.destination.is_multicast is settings.unicast:
        wanted, got = ("uni", "multi") if settings.unicast else ("multi", "uni")
        text = f"Expected {wanted}cast packet but received {got}cast packet from {advert.source}"
        return Complaint("addr_list_err", "destination", text)
    if settings.owner_ignore_adverts and state.effective_priority == OWNER:
        text = f"Dropping packet(s) from {advert.source} since we are address owner"
        return Complaint("", "owner", text)
    return None
