"""A VRRP advert as a value: what is to be sent, and what was heard.

Field names are RFC 3768 section 5.1 / RFC 9568 section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.config import AuthType


@dataclass(frozen=True, slots=True)
class AdvertToSend:
    """Everything that the bytes of an advert depend on, except the IP id.

    `advert_interval` is the field's value: whole seconds in version 2.
    """

    interface: InterfaceName
    source: Address
    destination: Address
    ttl: int
    version: int
    vrid: int
    priority: int
    auth_type: AuthType
    auth_data: bytes = field(repr=False)
    advert_interval: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Advert:
    """A received advert, dissected but not yet judged (`core.vrrp.receive` does that).

    `received_length` is the number of bytes from the IP header on that came;
    `total_length` what the IP header says; `expected_length` what the VRRP
    header's address count and version ask for.  `auth_data` are the 8 bytes
    after the addresses (empty if there are none).
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
