"""Which control packets count, and for which session."""

from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.core.bfd.checking import Index, Reason, Refused, find
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import ControlPacket, Heard, Origin, State
from tests.core.bfd_pair import instance, origin

GOOD = ControlPacket(State.UP, 5, 99, 10_000, 10_000, 5)


def index(*sessions: BfdInstance) -> Index:
    """The first has discriminator 99, the others 100 and more."""
    by_neighbour: dict[Any, tuple[str, ...]] = {}
    for one in sessions:
        key = (one.neighbour, one.multihop)
        by_neighbour[key] = (*by_neighbour.get(key, ()), one.name)
    numbers = {99 + number: one.name for number, one in enumerate(sessions)}
    return Index(numbers, by_neighbour, {one.name: one for one in sessions})


def judged(packet: ControlPacket | None, where: Origin, known: Index, size: int = 24) -> str | Refused:
    return find(Heard(where, size, packet, Micros(0)), known)


def refused(**fields: Any) -> Refused:
    """What is said of `GOOD` with other fields."""
    settings = instance()
    found = judged(GOOD._replace(**fields), origin(settings), index(settings))
    assert isinstance(found, Refused)
    return found


BOGUS = "Discarding bogus packet from [10.0.0.2]:49152"


@pytest.mark.parametrize(
    ("fields", "reason", "line"),
    [
        (
            {"length": 25},
            Reason.LENGTH,
            "Packet size mismatch: length field: 25 bytes, buffer size: 24 bytes",
        ),
        ({"version": 0}, Reason.VERSION, "Packet is of unsupported version: 0"),
        ({"version": 7}, Reason.VERSION, "Packet is of unsupported version: 7"),
        ({"multiplier": 0}, Reason.MULTIPLIER, "Packet 'detection multiplier' field is zero"),
        ({"multipoint": True}, Reason.MULTIPOINT, "Packet has 'multipoint' flag"),
        ({"my_discriminator": 0}, Reason.MY_DISCRIMINATOR, "Packet 'my discriminator' field is zero"),
        (
            {"your_discriminator": 0},
            Reason.YOUR_DISCRIMINATOR,
            "Packet 'your discriminator' field is zero and 'state' field is not Down or AdminDown",
        ),
        ({"poll": True, "final": True}, Reason.FLAGS, "Packet has both poll and final  flags set"),
        ({"diagnostic": 9}, Reason.DIAGNOSTIC, "Packet has invalid 'diag' field: 9"),
    ],
)
def test_bogus(fields: dict[str, Any], reason: Reason, line: str) -> None:
    assert refused(**fields) == Refused(reason, (line, BOGUS))


def test_too_short() -> None:
    settings = instance()
    found = judged(None, origin(settings), index(settings), 23)
    assert found == Refused(Reason.SHORT, ("Packet is too small: 23 bytes", BOGUS))


def test_authentication_is_not_in_use() -> None:
    assert refused(authenticated=True).reason is Reason.AUTHENTICATION


def test_good_one() -> None:
    settings = instance()
    assert judged(GOOD, origin(settings), index(settings)) == "b0"


def test_unknown_discriminator() -> None:
    assert refused(your_discriminator=0x12) == Refused(
        Reason.NO_SESSION,
        (
            "Discarding packet from [10.0.0.2]:49152 (session is not found - "
            "your discriminator field is 0x00000012)",
        ),
    )


@pytest.mark.parametrize(
    ("ttl", "max_hops", "heard", "counts"),
    [
        (255, 0, 255, True),
        (255, 0, 254, False),
        (255, 1, 254, True),
        (255, 1, 253, False),
        (255, -1, 1, True),
        (64, 0, 63, False),
        (64, 0, 64, True),
        (64, 64, 0, True),
        (255, 0, None, False),
        (255, -1, None, True),
    ],
)
def test_ttl(ttl: int, max_hops: int, heard: int | None, counts: bool) -> None:
    settings = instance(ttl=ttl, max_hops=max_hops)
    found = judged(GOOD, origin(settings, ttl=heard), index(settings))
    assert (found == "b0") is counts
    if isinstance(found, Refused):
        assert found == Refused(Reason.TTL, (f"Packet ttl({heard or 0}) < {ttl - max_hops} - discarding",))


def test_ttl_of_ipv6_is_called_hop_limit() -> None:
    settings = instance(neighbour=ip_address("fd00::2"))
    found = judged(GOOD, origin(settings, ttl=3), index(settings))
    assert isinstance(found, Refused) and found.lines == ("Packet hop_limit(3) < 255 - discarding",)


DOWN = GOOD._replace(state=State.DOWN, your_discriminator=0)


def test_found_by_address_before_it_knows_us() -> None:
    one = instance(name="one", source=ip_address("10.0.0.1"))
    two = instance(name="two", source=ip_address("10.0.0.7"))
    far = instance(name="far", multihop=True)
    known = index(one, two, far)
    assert judged(DOWN, origin(one, destination=ip_address("10.0.0.1")), known) == "one"
    assert judged(DOWN, origin(one, destination=ip_address("10.0.0.7")), known) == "two"
    assert isinstance(judged(DOWN, origin(one, destination=ip_address("10.0.0.8")), known), Refused)
    assert isinstance(judged(DOWN, origin(one, source=ip_address("10.0.0.9")), known), Refused)
    assert judged(DOWN, origin(far), known) == "far"


def test_port_must_fit() -> None:
    """A packet for several hops does not reach a session of one hop, whatever discriminator it has."""
    settings = instance()
    found = judged(GOOD, origin(settings, multihop=True), index(settings))
    assert isinstance(found, Refused) and found.reason is Reason.NO_SESSION


def test_every_discriminator_finds_its_own() -> None:
    sessions = [instance(name=f"s{number}", neighbour=ip_address(f"10.0.1.{number}")) for number in range(50)]
    known = index(*sessions)
    for number, one in enumerate(sessions):
        assert judged(GOOD._replace(your_discriminator=99 + number), origin(one), known) == one.name
