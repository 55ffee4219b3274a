"""BFD control packets: 24 bytes each way (RFC 5880 section 4.1).

A session may exchange a hundred of them a second, so they are packed and split
in one go by `struct`.  Nothing is judged here: whatever stands in the bytes
becomes a value, and only what is too short for the mandatory part does not.
"""

from struct import Struct

from keepalived_py.model.bfd_packet import ControlPacket

_MANDATORY = Struct("!4B5I")
_VERSION_SHIFT = 5
_DIAGNOSTIC = 0x1F
_STATE_SHIFT = 6
_POLL, _FINAL, _INDEPENDENT, _AUTHENTICATED, _DEMAND, _MULTIPOINT = 0x20, 0x10, 0x08, 0x04, 0x02, 0x01


def build(packet: ControlPacket) -> bytes:
    """The bytes of `packet`; raises struct.error for a value that does not fit its field."""
    flags = packet.state << _STATE_SHIFT
    if packet.poll:
        flags |= _POLL
    if packet.final:
        flags |= _FINAL
    if packet.control_plane_independent:
        flags |= _INDEPENDENT
    if packet.authenticated:
        flags |= _AUTHENTICATED
    if packet.demand:
        flags |= _DEMAND
    if packet.multipoint:
        flags |= _MULTIPOINT
    return _MANDATORY.pack(
        packet.version << _VERSION_SHIFT | packet.diagnostic,
        flags,
        packet.multiplier,
        packet.length,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx_us,
        packet.required_min_rx_us,
        packet.required_min_echo_rx_us,
    )


def dissect(raw: bytes) -> ControlPacket | None:
    """What stands in `raw`; None if it is shorter than the mandatory part.  Never raises."""
    if len(raw) < _MANDATORY.size:
        return None
    first, flags, multiplier, length, mine, yours, min_tx, min_rx, echo = _MANDATORY.unpack_from(raw)
    return ControlPacket(
        flags >> _STATE_SHIFT,
        mine,
        yours,
        min_tx,
        min_rx,
        multiplier,
        flags & _POLL != 0,
        flags & _FINAL != 0,
        first & _DIAGNOSTIC,
        flags & _DEMAND != 0,
        first >> _VERSION_SHIFT,
        flags & _INDEPENDENT != 0,
        flags & _AUTHENTICATED != 0,
        flags & _MULTIPOINT != 0,
        length,
        echo,
    )
