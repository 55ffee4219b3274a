"""A VRRP advert as a value: what is to be sent, and what was heard.

Field names are RFC 3768 section 5.1 / RFC 9568 section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.config import AuthType


class ChecksumForm(Enum):
    """What the checksum of a version 3 advert over IPv4 covers beside the message."""

    PSEUDO_HEADER = "pseudo header"  # RFC 5798
    OLD_UNICAST = "old"  # a pseudo header with the group in place of the peer: keepalived before 1.3.7
    MESSAGE_ONLY = "as version 2"  # RFC 9568


@dataclass(frozen=True, slots=True)
class Signing:
    """How adverts are signed (`auth_hmac`).

    `monotonic`: never go back behind the last sequence.  `time_window_s`: how far the last
    one may be ahead of the clock before the clock counts again.
    """

    key_id: int
    key: bytes = field(repr=False)
    monotonic: bool
    time_window_s: int


@dataclass(frozen=True, slots=True)
class AdvertToSend:
    """Everything that the bytes of an advert depend on, except the IP id, AH sequence and time stamp.

    `destinations`: the group, or each peer.  `interface` "": no interface is prescribed.
    `ttl` None: the kernel's choice.  `advert_interval` is the field's value: whole seconds in version 2,
    centiseconds in version 3.  `group` is what the old checksum form covers in place of a peer.
    """

    interface: InterfaceName
    source: Address
    destinations: tuple[Address, ...]
    ttl: int | None
    version: int
    vrid: int
    priority: int
    auth_type: AuthType
    auth_data: bytes = field(repr=False)
    advert_interval: int
    addresses: tuple[Address, ...]
    checksum_form: ChecksumForm = ChecksumForm.PSEUDO_HEADER
    group: Address = IPv4Address("224.0.0.18")
    signing: Signing | None = None

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.source.version

    @property
    def multicast(self) -> bool:
        """Whether it goes to a group."""
        return self.destinations[0].is_multicast


@dataclass(frozen=True, slots=True)
class AuthenticationHeader:
    """The AH header of a received advert (RFC 2402 section 2).

    `covered` is what its integrity check value is the HMAC of, with the TTL as it was sent
    (byte 8 of it; unicast senders reckon with 0).
    """

    next_header: int
    spi: bytes
    sequence: int
    icv: bytes
    covered: bytes


@dataclass(frozen=True, slots=True)
class Advert:
    """A received advert, dissected but not yet judged (`core.vrrp.receive` does that).

    `received_length` is the number of bytes from the IP header on that came;
    `total_length` what the IP header says (IPv6: the same); `expected_length` what the VRRP
    header's address count and version ask for.  `auth_data` are the 8 bytes
    after the addresses of a version 2 advert over IPv4 (empty if there are none).  `ttl` is
    the hop limit for IPv6.
    `old_checksum_valid`: the checksum is right if the group is taken for the destination.
    `message` is the VRRP message without what follows its `expected_length`; `trailer` is
    what follows (padding, or an `auth_hmac` trailer).
    """

    source: Address
    destination: Address
    ttl: int
    total_length: int
    received_length: int
    expected_length: int
    has_ah: bool
    version: int
    kind: int
    vrid: int
    priority: int
    address_count: int
    auth_type: int
    advert_interval: int
    checksum_valid: bool
    addresses: tuple[Address, ...]
    auth_data: bytes = field(default=b"", repr=False)
    old_checksum_valid: bool = False
    ah: AuthenticationHeader | None = None
    message: bytes = field(default=b"", repr=False)
    trailer: bytes = field(default=b"", repr=False)
