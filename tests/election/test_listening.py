"""Listeners on a veth pair: who shares, what is heard, what follows a change."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from socket import if_nametoindex
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election import listening
from keepalived_py.election.listening import PACKETS_AT_ONCE, Listeners, Repeats
from keepalived_py.model.config import AuthType, Configuration, Globals, Instance
from keepalived_py.model.effects import SendAdvert, WriteLog
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.model.vrrp import UnicastPeer
from keepalived_py.system.vrrp_socket import Ipv4Socket
from keepalived_py.wire.vrrp import Undecodable
from tests.system.conftest import ip as ip
from tests.system.conftest import run_ip

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("ip")]

V0, V1 = InterfaceName("v0"), InterfaceName("v1")
GROUP = IPv4Address("224.0.0.18")
OTHER_GROUP = IPv4Address("224.0.0.99")
PEERS = (UnicastPeer(address=IPv4Address("10.0.0.2")),)
REPORTS = Path("/proc/sys/net/ipv4/igmp_link_local_mcast_reports")


def instance(name: str, interface: InterfaceName, **more: Any) -> Instance:
    return Instance(**{"name": InstanceName(name), "interface": interface, "vrid": 51, **more})


def advert(interface: InterfaceName = V0, **more: Any) -> AdvertToSend:
    # An address of another machine: the kernel drops what seems to come from itself.
    usual = AdvertToSend(
        interface,
        IPv4Address("10.0.0.77"),
        (GROUP,),
        255,
        2,
        51,
        100,
        AuthType.NONE,
        b"",
        1,
        (IPv4Address("10.0.0.100"),),
    )
    return replace(usual, **more)


def facts(*addresses: str) -> dict[InterfaceName, InterfaceFacts]:
    """What is there now; `addresses` are those of v0."""
    known = tuple(InterfaceAddress(IPv4Address(address), 24) for address in addresses)
    v0 = InterfaceFacts(V0, if_nametoindex(V0), True, addresses=known)
    return {V0: v0, V1: InterfaceFacts(V1, if_nametoindex(V1), True)}


class Ears:
    """Listeners, what they heard and what they logged."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Advert | Undecodable]] = []
        self.lines: list[str] = []
        self.listeners = Listeners(self._received, self._logged, wall_clock_ns=lambda: 0)

    def _received(self, interface: InterfaceName, heard: Advert | Undecodable) -> None:
        self.heard.append((interface, heard))

    def _logged(self, line: WriteLog) -> None:
        self.lines.append(line.text)

    def follow(self, *instances: Instance, **settings: Any) -> Configuration:
        configuration = Configuration(instances=instances, globals=Globals(**settings))
        self.listeners.follow(configuration, facts("10.0.0.1"))
        return configuration

    def vrids(self) -> list[int]:
        """Of what was heard since the last time."""
        found = [one.vrid for _, one in self.heard if isinstance(one, Advert)]
        self.heard.clear()
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    def send(self, *vrids: int) -> list[int]:
        return [self.listeners.send(InstanceName("S"), advert(vrid=vrid)) for vrid in vrids]


def live(life: Callable[[Ears], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        ears = Ears()
        try:
            await life(ears)
        finally:
            ears.listeners.close()

    asyncio.run(whole())


def test_shared_sockets_hear_their_vrids_only() -> None:
    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), instance("A", V1), instance("B", V1, vrid=52))
        assert [line.split(", fd")[0] for line in ears.lines] == [
            f"VRRP sockpool: [ifindex({if_nametoindex(name):3}), family(IPv4), proto(112)"
            for name in (V0, V1)
        ]
        assert ears.lines[0].endswith(") multicast, address(224.0.0.18)]")
        assert ears.send(51, 99, 52) == [0, 0, 0]
        await ears.until(lambda: len(ears.heard) == 2)
        assert [interface for interface, _ in ears.heard] == [V1, V1]
        assert ears.vrids() == [51, 52]
        ears.follow(instance("S", V0), instance("A", V1), log_unknown_vrids=True)
        ears.send(99)
        await ears.until(lambda: ears.heard)
        assert ears.vrids() == [99]
        ears.follow(instance("S", V0), instance("A", V1))
        ears.send(52, 51)
        await ears.until(lambda: ears.heard)
        assert ears.vrids() == [51]
        assert len(ears.lines) == 2

    live(life)


def test_a_superfluous_socket_still_serves_the_resignation() -> None:
    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), instance("A", V1))
        ears.follow(instance("A", V1))
        assert ears.send(51) == [0]
        await ears.until(lambda: ears.heard)
        assert ears.send(51) == [errno.ENODEV]
        ears.follow(instance("S", V0), instance("A", V1))
        assert ears.send(51) == [0]

    live(life)


def test_wanted_again_at_once_it_stays_open() -> None:
    async def life(ears: Ears) -> None:
        both = (instance("S", V0), instance("A", V1))
        ears.follow(*both)
        ears.follow(both[1])
        ears.follow(*both)
        await asyncio.sleep(0)
        assert len(ears.lines) == 2
        assert ears.send(51) == [0]

    live(life)


def test_a_group_joined_later_is_heard() -> None:
    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0))
        other = instance("A", V1, destination=OTHER_GROUP)
        ears.follow(instance("S", V0), other)
        to_other = advert(destinations=(OTHER_GROUP,))

        def heard() -> bool:
            # Joined in a thread: the first may come too early.
            assert ears.listeners.send(InstanceName("S"), to_other) == 0
            return bool(ears.heard)

        await ears.until(heard)
        assert ears.vrids()[0] == 51

    live(life)


def test_a_device_that_came_back_is_listened_to() -> None:
    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), instance("A", V1))
        configuration = ears.follow(instance("S", V0), instance("A", V1))
        run_ip("link del v0")
        run_ip("link add v0 index 77 type veth peer name v1")
        run_ip("link set v0 up")
        run_ip("link set v1 up")
        ears.listeners.follow(configuration, facts("10.0.0.1"))
        assert "ifindex( 77)" in ears.lines[2]

        def heard() -> bool:
            # Neighbours of a new link take a moment.
            ears.send(51)
            return bool(ears.heard)

        await ears.until(heard)

    live(life)


def test_adverts_that_are_sent_together_arrive_in_order() -> None:
    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), instance("A", V1), instance("B", V1, vrid=52))
        swarm = [SendAdvert(InstanceName("S"), advert(vrid=vrid)) for vrid in (52, 51, 52, 51)]
        assert ears.listeners.send_all(swarm) == []
        await ears.until(lambda: len(ears.heard) == 4)
        assert ears.vrids() == [52, 51, 52, 51], "a few are judged each, even repetitions"
        nowhere = SendAdvert(InstanceName("N"), advert(InterfaceName("none")))
        failures = ears.listeners.send_all([swarm[0], nowhere, swarm[1]])
        assert [(one, error) for one, _, error in failures] == [(nowhere, errno.ENODEV)]

    live(life)


def test_a_swarm_of_repetitions_is_read_to_its_end() -> None:
    """The socket rests meanwhile; what comes after the swarm is heard."""

    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), instance("A", V1), instance("B", V1, vrid=52))
        ears.listeners.send_all([SendAdvert(InstanceName("S"), advert(vrid=51))] * 100)
        ears.send(52)
        await ears.until(lambda: any(isinstance(one, Advert) and one.vrid == 52 for _, one in ears.heard))
        assert 4 <= ears.vrids().count(51) < 100

    live(life)


def test_unicast_follows_its_source_address() -> None:
    async def life(ears: Ears) -> None:
        configuration = ears.follow(instance("S", V0, unicast_peers=PEERS))
        assert ears.lines[-1].endswith(") , unicast, address(10.0.0.1)]")
        ears.listeners.follow(configuration, facts("10.0.0.7", "10.0.0.1"))
        assert ears.lines[-1].endswith(") , unicast, address(10.0.0.7)]")
        assert len(ears.lines) == 2

    live(life)


def test_nothing_is_worked_out_when_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def life(ears: Ears) -> None:
        configuration = ears.follow(instance("S", V0))
        monkeypatch.setattr(listening, "wanted_endpoints", None)
        ears.listeners.follow(configuration, facts("10.0.0.1", "10.0.0.100"))
        with pytest.raises(TypeError):
            ears.listeners.follow(configuration, {})

    live(life)


def test_without_interface_over_ipv6() -> None:
    Path("/proc/sys/net/ipv6/conf/v0/disable_ipv6").write_text("0")
    run_ip("addr add fd00::1/64 dev v0 nodad")
    run_ip("neigh add fd00::2 lladdr 02:00:00:00:00:99 dev v0")
    own, peer, nowhere = (IPv6Address(text) for text in ("fd00::1", "fd00::2", "fd01::2"))

    async def life(ears: Ears) -> None:
        peers = (UnicastPeer(address=peer),)
        ears.follow(instance("S", InterfaceName(""), family=6, version=3, unicast_peers=peers, source=own))
        assert ears.lines[-1].startswith("VRRP sockpool: [ifindex(  0), family(IPv6), proto(112), fd(")
        six = advert(
            InterfaceName(""), source=own, destinations=(peer,), ttl=None, version=3, addresses=(own,)
        )
        assert ears.listeners.send(InstanceName("S"), six) == 0
        both = replace(six, destinations=(nowhere, peer))
        assert ears.listeners.send_each(InstanceName("S"), both) == [(nowhere, errno.ENETUNREACH)]
        assert ears.listeners.send(InstanceName("S"), both) == errno.ENETUNREACH

    live(life)


def test_ah_numbers_are_raised() -> None:
    async def life(ears: Ears) -> None:
        secured: dict[str, Any] = {"auth_type": AuthType.AH, "auth_data": b"secret"}
        ears.follow(instance("S", V0, **secured), instance("A", V1, **secured))
        ears.listeners.raise_sequence(InstanceName("S"), 41)
        assert ears.listeners.send(InstanceName("S"), advert(**secured)) == 0
        await ears.until(lambda: ears.heard)
        _, heard = ears.heard[0]
        assert isinstance(heard, Advert) and heard.ah is not None
        assert heard.ah.sequence == 42

    live(life)


def test_what_cannot_be_opened_is_said_once_and_tried_again() -> None:
    async def life(ears: Ears) -> None:
        missing = facts()
        missing[V0] = replace(missing[V0], index=12345)
        configuration = Configuration(instances=(instance("S", V0),))
        for _ in range(3):
            ears.listeners.follow(configuration, missing)
        assert len(ears.lines) == 1
        assert ears.lines[0].startswith("VRRP cannot open a socket on v0 for 224.0.0.18")
        ears.listeners.follow(configuration, facts())
        assert ears.send(51) == [0]

    live(life)


@pytest.mark.parametrize("at_start", [True, False])
def test_a_group_that_cannot_be_joined(monkeypatch: pytest.MonkeyPatch, at_start: bool) -> None:
    """It is said, the socket goes, and the next change tries again; also when the thread finds out."""

    def refuse(_: Ipv4Socket) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    async def life(ears: Ears) -> None:
        if not at_start:
            ears.follow()
        with monkeypatch.context() as broken:
            broken.setattr(Ipv4Socket, "join", refuse)
            configuration = ears.follow(instance("S", V0))
            await ears.until(lambda: len(ears.lines) == 2)
        assert "No buffer space available" in ears.lines[1]
        assert ears.send(51) == [errno.ENODEV]
        ears.listeners.follow(configuration, facts("10.0.0.1"))
        assert ears.send(51) == [0]

    live(life)


def test_reports_of_local_groups_are_off_meanwhile() -> None:
    REPORTS.write_text("1")

    async def life(ears: Ears) -> None:
        ears.follow(instance("S", V0), disable_local_igmp=True)
        assert REPORTS.read_text().strip() == "0"

    live(life)
    assert REPORTS.read_text().strip() == "1"


def test_a_swarm_of_the_same_packets_is_judged_a_few_times() -> None:
    """A few are all judged; for a moment then only what was not said before, and not too many at once."""

    def judged(packets: list[bytes], time: float = 0.0) -> list[bytes]:
        return list(repeats.without(packets, time))

    repeats: Repeats[bytes] = Repeats()

    def left_out() -> bool:
        return repeats.left_out

    assert judged([b"a"] * 4) == [b"a"] * 4 and not left_out()
    assert judged([b"a", b"b", b"a", b"b"], 0.001) == [b"b"] and left_out()
    assert judged([b"a"] * 64, 1.0) == [b"a"] * 4, "a moment later it may say something new"
    rest = iter([bytes((number,)) for number in range(100)])
    assert len(list(repeats.without(rest, 2.0))) == PACKETS_AT_ONCE and not left_out()
    assert len(list(rest)) == 100 - PACKETS_AT_ONCE, "the rest stays in the socket"
