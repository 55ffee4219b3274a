"""Who may speak: the three ways in which adverts are authenticated.

PASS (RFC 2338): eight bytes in the clear behind the addresses.  Over IPv6
there is no room for them in a version 2 advert, so the type alone is compared.

AH (RFC 2402, HMAC-MD5-96): the integrity check value first, since nothing
else in the packet can be believed before; then the SPI, which keepalived sets
to the source address; then the sequence number, which must grow.  The TTL is
part of the value for multicast (it is 255 or the packet is refused), and
counts as 0 for unicast.  keepalived counts what it sends and what it hears with one
number.  Here the sender's number is kept where packets are built; it
is raised above what was heard (`RaiseSequence`) before a new MASTER speaks and
when a MASTER hears a worse one that is ahead.

`auth_hmac` (keepalived 2.4): 28 bytes behind the message.

    scheme 1 | key id | 0 0 | seconds (4) | fraction (2) | counter (2) | HMAC-SHA256 (16)

The bytes 4..11 are a 64 bit sequence that grows with every advert; each sender
has a mark of its own, which moves only after a good HMAC, so that forged
packets can neither raise it nor push others out of the table.  In time mode
the seconds must be near our clock, which is looked at first because it costs
nothing, and a mark that is further away from the clock than the window is
forgotten: it could only refuse what the window refuses anyway, and a sender
whose clock was set back would stay refused.
"""

from keepalived_py.base.integrity import advert_signature, ah_icv, same
from keepalived_py.core.vrrp.complaint import Complaint, complain
from keepalived_py.core.vrrp.state import InstanceState, Mark
from keepalived_py.model.config import AuthType, Instance
from keepalived_py.model.effects import Effect
from keepalived_py.model.packet import Advert
from keepalived_py.model.vrrp import AntiReplay, AuthHmac, HmacMode

PASSWORD_LENGTH = 8
PROTOCOL_VRRP = 112
TRAILER_LENGTH = 28
MULTICAST_SENDERS = 4
_HEAD_LENGTH = 12
_SCHEME = 1
_TTL_AT = 8
_IGNORED = Complaint("", "", "")

Verdict = tuple[InstanceState, Complaint | None]


def wrong_type_or_password(settings: Instance, advert: Advert) -> Complaint | None:
    """What a version 2 advert's authentication type and password are refused for."""
    sender = f"from {advert.source}"
    ours = settings.auth_type
    if advert.auth_type not in (0, 1, 2):
        return Complaint("invalid_authtype", "auth type", f"Invalid auth type: {advert.auth_type} {sender}")
    if advert.auth_type != ours.value:
        text = f"received a {advert.auth_type} auth, expecting {ours.value}! {sender}"
        return Complaint("authtype_mismatch", "auth mismatch", text)
    if ours is not AuthType.PASS or settings.family == 6:
        return None
    password = settings.auth_data[:PASSWORD_LENGTH].ljust(PASSWORD_LENGTH, b"\0")
    if same(advert.auth_data, password):
        return None
    return Complaint("auth_failure", "password", f"received an invalid passwd! {sender}")


# -- AH -----------------------------------------------------------------------


def verify_header(state: InstanceState, advert: Advert) -> Verdict:
    """Judge the AH header; a good one moves the greatest sequence number heard."""
    header, settings = advert.ah, state.settings
    if header is None or header.next_header != PROTOCOL_VRRP:
        return state, _IGNORED
    covered = header.covered
    if settings.unicast:
        covered = covered[:_TTL_AT] + b"\0" + covered[_TTL_AT + 1 :]
    if not same(header.icv, ah_icv(settings.auth_data, covered)):
        text = "IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !"
        return state, Complaint("auth_failure", "ah icv", f"{text} from {advert.source}")
    if header.spi != advert.source.packed:
        found, wanted = int.from_bytes(header.spi, "big"), int(advert.source)
        text = f"IPSEC AH : invalid IPSEC SPI value. {found} and expect {wanted}"
        return state, Complaint("auth_failure", "ah spi", f"{text} from {advert.source}")
    memory = state.memory
    if header.sequence <= memory.sequence:
        text = f"IPSEC-AH : sequence number {header.sequence} already processed. Packet dropped."
        return state, Complaint(
            "auth_failure", "ah sequence", f"{text} Local({memory.sequence}) from {advert.source}"
        )
    return state._replace(memory=memory._replace(sequence=header.sequence)), None


# -- auth_hmac ----------------------------------------------------------------


def carries_trailer(settings: Instance, advert: Advert) -> bool:
    """Whether what follows the message is a trailer; padding never has its length."""
    return settings.auth_hmac is not None and len(advert.trailer) == TRAILER_LENGTH


def verify_trailer(state: InstanceState, advert: Advert, wall_clock_s: int, out: list[Effect]) -> Verdict:
    """Judge the trailer as `auth_hmac` asks; `wall_clock_s` is the time in UTC seconds."""
    settings = state.settings
    asked, sender = settings.auth_hmac, advert.source
    assert asked is not None
    if not carries_trailer(settings, advert):
        if asked.mode is not HmacMode.ENFORCE:
            return state, None
        return state, Complaint(
            "auth_ext_missing", "hmac missing", f"missing authentication trailer from {sender}"
        )
    if settings.unicast and all(peer.address != sender for peer in settings.unicast_peers):
        return state, stranger(advert)
    timed = asked.anti_replay is AntiReplay.TIME
    skew = _signed(wall_clock_s - int.from_bytes(advert.trailer[4:8], "big"), 32) if timed else 0
    complaint = _forged(asked, advert, skew)
    if complaint is not None:
        return state, complaint
    if not _is_new(state, advert, wall_clock_s):
        text = f"replayed authentication trailer from {sender}"
        return state, Complaint("auth_ext_replay", "hmac replay", text)
    state = _marked(state, advert)
    if abs(skew) > asked.time_window_s // 2:
        text = f"authentication clock skew {skew} sec from {sender} approaching window"
        state = complain(state, Complaint("", "hmac skew", f"{text} {asked.time_window_s} sec"), out)
    return state, None


def stranger(advert: Advert) -> Complaint:
    """The sender is none of the configured unicast peers."""
    return Complaint("", "unicast source", f"unicast source address {advert.source} not a unicast peer")


def _forged(asked: AuthHmac, advert: Advert, skew: int) -> Complaint | None:
    trailer, sender = advert.trailer, advert.source
    if trailer[0] != _SCHEME or trailer[2:4] != b"\0\0":
        text = f"malformed authentication trailer from {sender}"
        return Complaint("auth_ext_malformed", "hmac malformed", text)
    if abs(skew) > asked.time_window_s:
        text = (
            f"stale authentication trailer from {sender}, "
            f"clock skew {skew} sec exceeds window {asked.time_window_s} sec"
        )
        return Complaint("auth_ext_stale", "hmac stale", text)
    key = next((key.value for key in asked.keys if key.id == trailer[1]), None)
    if key is None:
        text = f"unknown authentication key id {trailer[1]} from {sender}"
        return Complaint("auth_ext_unknown_key", "hmac key", text)
    head, signature = trailer[:_HEAD_LENGTH], trailer[_HEAD_LENGTH:]
    if not same(signature, advert_signature(key, sender, advert.message, head)):
        return Complaint("auth_ext_invalid_hmac", "hmac", f"invalid authentication HMAC from {sender}")
    return None


def _sequence(advert: Advert) -> int:
    return int.from_bytes(advert.trailer[4:_HEAD_LENGTH], "big")


def _is_new(state: InstanceState, advert: Advert, wall_clock_s: int) -> bool:
    """Whether the sequence is greater than the sender's mark (serial arithmetic, RFC 1982)."""
    asked = state.settings.auth_hmac
    assert asked is not None
    for mark in state.memory.marks:
        if mark.sender == advert.source:
            age = _signed(wall_clock_s - (mark.sequence >> 32), 32)
            if asked.anti_replay is AntiReplay.TIME and abs(age) > asked.time_window_s:
                return True
            return _signed(_sequence(advert) - mark.sequence, 64) > 0
    return True


def _marked(state: InstanceState, advert: Advert) -> InstanceState:
    """Remember the sequence; of many senders to a group only the latest few are known."""
    memory = state.memory
    marks = tuple(mark for mark in memory.marks if mark.sender != advert.source)
    marks += (Mark(advert.source, _sequence(advert)),)
    if not state.settings.unicast:
        marks = marks[-MULTICAST_SENDERS:]
    return state._replace(memory=memory._replace(marks=marks))


def _signed(value: int, bits: int) -> int:
    """`value` modulo 2**bits as a signed number."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half
