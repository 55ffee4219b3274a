"""The virtual wire: how an advert that was sent becomes the adverts that are heard.

Also the place where packets are spoilt on purpose: `spoil` gives events that
every router must refuse without any change of its role.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address
from random import Random

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.config import AuthType
from keepalived_py.model.events import AdvertReceived, Event, PacketUndecodable
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.simulation.faults import LinkFault, Pair

IP_HEADERS = {4: 20, 6: 40}
ADDRESSES = {4: 4, 6: 16}
VRRP_HEADER = 8
AUTH_DATA = 8
ADVERTISEMENT = 1
RFC_TTL = 255


@lru_cache(maxsize=4096)
def as_heard(sent: AdvertToSend, destination: Address | None = None) -> Advert:
    """`sent` as it is dissected by whom it reaches at `destination` (None: the first one).

    RFC 3768 section 5.1 and RFC 9568 section 5.1: only version 2 has a password at the end.
    """
    length = IP_HEADERS[sent.family] + VRRP_HEADER + ADDRESSES[sent.family] * len(sent.addresses)
    length += AUTH_DATA if sent.version == 2 else 0
    return Advert(
        source=sent.source,
        destination=sent.destinations[0] if destination is None else destination,
        ttl=RFC_TTL if sent.ttl is None else sent.ttl,
        total_length=length,
        received_length=length,
        expected_length=length,
        has_ah=False,
        version=sent.version,
        kind=ADVERTISEMENT,
        vrid=sent.vrid,
        priority=sent.priority,
        address_count=len(sent.addresses),
        auth_type=sent.auth_type.value,
        advert_interval=sent.advert_interval,
        checksum_valid=True,
        addresses=sent.addresses,
        auth_data=sent.auth_data[:AUTH_DATA].ljust(AUTH_DATA, b"\0") if sent.version == 2 else b"",
    )


def arrivals(random: Random, faults: tuple[LinkFault, ...], pair: Pair, latency_us: int) -> list[int]:
    """The delays after which copies of one packet arrive; empty if it is lost.

    `faults` are those in force now; `latency_us` is the most that a sound wire takes.
    Copies may arrive in any order, and overtake other packets.
    """
    suffered = [fault for fault in faults if pair in fault.pairs]
    if any(fault.loss and random.random() < fault.loss for fault in suffered):
        return []
    copies = 1 + sum(1 for fault in suffered if fault.duplicate and random.random() < fault.duplicate)
    extra = sum(fault.delay_us for fault in suffered)
    return [random.randint(10, latency_us + extra) for _ in range(copies)]


Spoiler = Callable[[Advert], Advert]

_ALWAYS: tuple[Spoiler, ...] = (
    lambda advert: replace(advert, version=5 - advert.version),
    lambda advert: replace(advert, kind=2),
    lambda advert: replace(advert, vrid=99),
    lambda advert: replace(advert, received_length=advert.received_length - 1),
)
_IPV4: tuple[Spoiler, ...] = (
    lambda advert: replace(advert, checksum_valid=False),
    lambda advert: replace(advert, has_ah=True),
    lambda advert: replace(advert, total_length=advert.total_length + 40),
)
_VERSION_2: tuple[Spoiler, ...] = (
    lambda advert: replace(advert, advert_interval=advert.advert_interval + 1),
    lambda advert: replace(advert, auth_type=7),
    lambda advert: replace(advert, auth_type=1 - advert.auth_type),
)
_TO_A_GROUP: tuple[Spoiler, ...] = (
    lambda advert: replace(advert, ttl=RFC_TTL - 1),
    lambda advert: replace(advert, destination=advert.source),
)
_TO_A_PEER: tuple[Spoiler, ...] = (lambda advert: replace(advert, destination=IPv4Address("224.0.0.18")),)


def spoilers(sent: AdvertToSend) -> Iterator[Spoiler]:
    """Every single damage that makes `sent` worthless: keepalived's receive checks, as they apply to it."""
    yield from _ALWAYS
    yield from _TO_A_GROUP if sent.multicast else _TO_A_PEER
    if sent.family == 4:
        yield from _IPV4
    if sent.version == 2:
        yield from _VERSION_2


def spoil(random: Random, sent: AdvertToSend, interface: InterfaceName) -> Event:
    """`sent` damaged in one way that keepalived refuses."""
    heard = as_heard(sent)
    if random.random() < 0.1:
        return PacketUndecodable(interface, "too short")
    if sent.auth_type is AuthType.PASS and random.random() < 0.2:
        return AdvertReceived(interface, replace(heard, auth_data=b"wrong\0\0\0"))
    return AdvertReceived(interface, random.choice(tuple(spoilers(sent)))(heard))
