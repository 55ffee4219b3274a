"""Whether a control packet counts, and for which session (RFC 5880 section 6.8.6).

The order of the checks and the texts are keepalived's.  A packet that is
discarded changes nothing; its reason is counted, and logged with -D.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import LAST_DIAGNOSTIC, VERSION, ControlPacket, Heard, Origin, State

ANY_HOPS = -1


class Reason(Enum):
    """Why a packet does not count."""

    SHORT = "too short"
    LENGTH = "length"
    VERSION = "version"
    MULTIPLIER = "multiplier"
    MULTIPOINT = "multipoint"
    MY_DISCRIMINATOR = "my discriminator"
    YOUR_DISCRIMINATOR = "your discriminator"
    FLAGS = "poll and final"
    DIAGNOSTIC = "diagnostic"
    NO_SESSION = "no session"
    TTL = "ttl"
    AUTHENTICATION = "authentication"


class Refused(NamedTuple):
    """A packet that does not count: `lines` are what keepalived says of it."""

    reason: Reason
    lines: tuple[str, ...]


class Index(NamedTuple):
    """How sessions are found: by our discriminator, or by address for those who do not know it yet.

    `by_neighbour`: the names of the sessions with that other end and number of hops (many, or one).
    """

    by_discriminator: Mapping[int, str]
    by_neighbour: Mapping[tuple[Address, bool], tuple[str, ...]]
    settings: Mapping[str, BfdInstance]


def find(heard: Heard, index: Index) -> str | Refused:
    """The name of the session that the packet is for, or why it counts for none."""
    packet = heard.packet
    flaw = _flaw(heard)
    if packet is None or flaw is not None:
        reason, text = flaw or (Reason.SHORT, "")
        return Refused(reason, (text, f"Discarding bogus packet from {_pair(heard.origin)}"))
    name = _addressee(packet, heard.origin, index)
    if name is None:
        what = f"session is not found - your discriminator field is 0x{packet.your_discriminator:08x}"
        return Refused(Reason.NO_SESSION, (f"Discarding packet from {_pair(heard.origin)} ({what})",))
    refused = _too_far(heard.origin, index.settings[name])
    if refused is not None:
        return refused
    if packet.authenticated:
        what = "auth bit is set, but no authentication  is in use"
        return Refused(Reason.AUTHENTICATION, (f"Discarding packet from {_pair(heard.origin)} ({what})",))
    return name


def _flaw(heard: Heard) -> tuple[Reason, str] | None:
    packet = heard.packet
    if packet is None:
        return Reason.SHORT, f"Packet is too small: {heard.size} bytes"
    if packet.length != heard.size:
        sizes = f"length field: {packet.length} bytes, buffer size: {heard.size} bytes"
        return Reason.LENGTH, f"Packet size mismatch: {sizes}"
    if packet.version != VERSION:
        return Reason.VERSION, f"Packet is of unsupported version: {packet.version}"
    if not packet.multiplier:
        return Reason.MULTIPLIER, "Packet 'detection multiplier' field is zero"
    if packet.multipoint:
        return Reason.MULTIPOINT, "Packet has 'multipoint' flag"
    return _flaw_of_session(packet)


def _flaw_of_session(packet: ControlPacket) -> tuple[Reason, str] | None:
    if not packet.my_discriminator:
        return Reason.MY_DISCRIMINATOR, "Packet 'my discriminator' field is zero"
    if not packet.your_discriminator and packet.state not in (State.DOWN, State.ADMIN_DOWN):
        what = "field is zero and 'state' field is not Down or AdminDown"
        return Reason.YOUR_DISCRIMINATOR, f"Packet 'your discriminator' {what}"
    if packet.poll and packet.final:
        return Reason.FLAGS, "Packet has both poll and final  flags set"
    if packet.diagnostic > LAST_DIAGNOSTIC:
        return Reason.DIAGNOSTIC, f"Packet has invalid 'diag' field: {packet.diagnostic}"
    return None


def _addressee(packet: ControlPacket, origin: Origin, index: Index) -> str | None:
    if packet.your_discriminator:
        name = index.by_discriminator.get(packet.your_discriminator)
        return name if name is not None and index.settings[name].multihop == origin.multihop else None
    for name in index.by_neighbour.get((origin.source, origin.multihop), ()):
        source = index.settings[name].source
        if source is None or source == origin.destination:
            return name
    return None


def _too_far(origin: Origin, settings: BfdInstance) -> Refused | None:
    """Generalised TTL security (RFC 5082): whoever is nearer than `max_hops` cannot be faked from afar."""
    if settings.max_hops == ANY_HOPS:
        return None
    least = settings.ttl - settings.max_hops
    ttl = 0 if origin.ttl is None else origin.ttl
    if ttl >= least:
        return None
    what = "ttl" if origin.source.version == 4 else "hop_limit"
    return Refused(Reason.TTL, (f"Packet {what}({ttl}) < {least} - discarding",))


def _pair(origin: Origin) -> str:
    return f"[{origin.source}]:{origin.port}"
