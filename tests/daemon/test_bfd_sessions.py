"""The shell of BFD sessions over real sockets: both ends in one process, on a loopback of its own."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.core.bfd.state import Session
from keepalived_py.daemon.bfd_sessions import Sessions
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import ControlPacket, State
from keepalived_py.status.bfd_data import bfd_data
from keepalived_py.system.loop import run
from keepalived_py.wire.bfd import build
from tests.system.conftest import ip as ip

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
ONE, TWO = ip_address("127.0.0.1"), ip_address("127.0.0.2")


class Lines(Log):
    """A log that is looked at."""

    def __init__(self) -> None:
        super().__init__(LogSettings(syslog=False, detail=1))
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


class Shell:
    """`Sessions` with ears: one and two are the ends of the same session."""

    def __init__(self) -> None:
        self.log = Lines()
        self.told: list[tuple[str, bool]] = []
        self.sessions = Sessions(self.log, self._told)

    def _told(self, session: Session) -> None:
        self.told.append((session.name, session.up))

    def follow(self, *wanted: BfdInstance) -> None:
        self.sessions.follow(wanted)

    def named(self, name: str) -> Session:
        return next(one for one in self.sessions.sessions if one.name == name)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def both_up(self) -> None:
        await self.until(lambda: all(one.up and not one.poll for one in self.sessions.sessions))


def ends(**more: Any) -> tuple[BfdInstance, BfdInstance]:
    usual: dict[str, Any] = {"ttl": 255, **more}
    return BfdInstance("one", TWO, ONE, **usual), BfdInstance("two", ONE, TWO, **usual)


def living(life: Callable[[Shell], Coroutine[Any, Any, None]]) -> Shell:
    """`life` with a shell, which is closed afterwards."""

    async def main() -> Shell:
        shell = Shell()
        try:
            await life(shell)
        finally:
            shell.sessions.close()
        return shell

    return run(main())


def test_up_and_orderly_end(ip: Ip) -> None:
    async def life(shell: Shell) -> None:
        shell.follow(*ends())
        assert shell.told == [("one", False), ("two", False)]
        await shell.both_up()
        assert sorted(shell.told[2:]) == [("one", True), ("two", True)]
        shell.sessions.report()
        assert shell.told[4:] == [("one", True), ("two", True)]
        await shell.sessions.stop()

    lines = living(life).log.lines
    assert lines[-2:] == ["(one) Entering AdminDown state", "(two) Entering AdminDown state"]


def test_removed_session_says_goodbye(ip: Ip) -> None:
    """The other end is told, and loses it without an expiry; what is kept is not touched."""

    async def life(shell: Shell) -> None:
        one, two = ends()
        shell.follow(one, two)
        await shell.both_up()
        before = shell.named("one").discriminator
        shell.follow(one)
        await shell.until(lambda: shell.named("one").state is State.DOWN)
        assert not any("Expired" in line for line in shell.log.lines)
        shell.follow(one, two)
        await shell.both_up()
        assert shell.named("one").discriminator != before

    living(life)


def test_kept_session_is_the_same_after_a_reload(ip: Ip) -> None:
    async def life(shell: Shell) -> None:
        one, two = ends()
        shell.follow(one, two)
        await shell.both_up()
        numbers = [each.discriminator for each in shell.sessions.sessions]
        shell.told.clear()
        shell.follow(two, one)
        assert [each.name for each in shell.sessions.sessions] == ["two", "one"]
        assert shell.told == [("two", True), ("one", True)]
        await asyncio.sleep(0.2)
        assert sorted(each.discriminator for each in shell.sessions.sessions) == sorted(numbers)
        assert [each.lost for each in shell.sessions.sessions] == [0, 0]

    living(life)


def test_discriminators_differ(ip: Ip) -> None:
    async def life(shell: Shell) -> None:
        others = [
            BfdInstance(f"b{number}", ip_address(f"127.0.1.{number}"), ttl=255) for number in range(1, 200)
        ]
        shell.follow(*others)
        numbers = {each.discriminator for each in shell.sessions.sessions}
        assert len(numbers) == 199 and 0 not in numbers

    living(life)


def test_a_pause_of_the_process_is_no_silence(ip: Ip) -> None:
    """Four detection times without the loop, while the other end's packets pile up: nothing is lost."""

    async def life(shell: Shell) -> None:
        far, _ = ends()
        shell.follow(far)
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        other.bind((str(TWO), 50000))

        def say(state: State) -> None:
            mine = shell.named("one").discriminator if state is not State.DOWN else 0
            other.sendto(build(ControlPacket(state, 7, mine, 10_000, 10_000, 5)), (str(ONE), 3784))

        say(State.DOWN)
        await shell.until(lambda: shell.named("one").state is State.INIT)
        say(State.UP)
        await shell.until(lambda: shell.named("one").up)
        time.sleep(0.2)
        for _ in range(150):
            other.sendto(b"what is not read at one go", (str(ONE), 3784))
        say(State.UP)
        await asyncio.sleep(0.02)
        assert shell.named("one").up
        await shell.until(lambda: not shell.named("one").up)
        other.close()

    living(life)


def test_no_packet_whatever_does_harm(ip: Ip) -> None:
    """Noise, and good packets with any bytes changed, from where the neighbour is."""
    chance = random.Random(3784)

    async def life(shell: Shell) -> None:
        shell.follow(*ends())
        await shell.both_up()
        noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        noise.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        noise.bind((str(TWO), 50000))
        count = 0
        for _ in range(150):
            for _ in range(20):
                raw = bytearray(build(ControlPacket(State.UP, 3, 1, 10_000, 10_000, 5)))
                for _ in range(chance.randrange(1, 4)):
                    raw[chance.randrange(len(raw))] = chance.randrange(256)
                noise.sendto(
                    chance.choice([bytes(raw), chance.randbytes(chance.randrange(60))]), (str(ONE), 3784)
                )
                count += 1
            await asyncio.sleep(0)
        await shell.until(lambda: sum(shell.sessions.refused.values()) >= count * 9 // 10)
        await shell.both_up()
        noise.close()

    shell = living(life)
    assert len(shell.sessions.refused) >= 5
    assert len([line for line in shell.log.lines if "Discarding" in line]) <= 60


def test_dump(ip: Ip) -> None:
    texts: list[str] = []

    async def life(shell: Shell) -> None:
        shell.follow(*ends())
        await shell.both_up()
        shell.sessions.refused["ttl"] += 2
        texts.append(bfd_data(shell.sessions.sessions, shell.sessions.refused))

    living(life)
    lines = texts[0].splitlines()
    assert lines[:2] == ["------< BFD Data >------", "------< BFD Topology >------"]
    start = lines.index(" BFD Instance = two")
    assert lines[start + 1 : start + 12] == [
        "   Neighbor IP = 127.0.0.1",
        "   Source IP = 127.0.0.2",
        "   Required min RX interval = 10000 us",
        "   Desired min TX interval = 10000 us",
        "   Desired idle TX interval = 1000000 us",
        "   Detection multiplier = 5",
        "   TTL = 255",
        "   max_hops = 0",
        "   passive = false",
        "   send event to VRRP process = Yes",
        "   send event to checker process = Yes",
    ]
    assert "   local state = Up" in lines and "   local detection time = 50000 us" in lines
    assert "   last_seen = [never]" not in lines
    assert lines[-1] == " ttl = 2"


def test_dump_before_anything_came(ip: Ip) -> None:
    async def life(shell: Shell) -> None:
        shell.follow(BfdInstance("b", ip_address("127.0.1.9"), ttl=64, max_hops=-1, passive=True))
        text = bfd_data(shell.sessions.sessions, {})
        assert "   max_hops = 255\n   passive = true" in text
        assert "   last_seen = [never]\n" in text

    living(life)
