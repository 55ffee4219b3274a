"""Polling of links: which way of asking is kept, and what listeners hear."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, Globals, Instance, TrackedInterface
from keepalived_py.model.events import InterfaceFacts, LinkChanged
from keepalived_py.model.interfaces import Device, DeviceKind, LinkbeatInterface, LinkPolling
from keepalived_py.system import linkbeat
from keepalived_py.system.linkbeat import KernelAsk, Linkbeat, choose

ETH0, ETH1 = InterfaceName("eth0"), InterfaceName("eth1")
MII, ETHTOOL, IOCTL = LinkPolling.MII, LinkPolling.ETHTOOL, LinkPolling.IOCTL
STARTED = "Using MII-BMSR/ETHTOOL NIC polling thread(s)..."


@dataclass
class Answers:
    """A driver that answers as it is told; None: it does not know the question."""

    phy: bool | None = None
    tool: bool | None = None
    up: bool = True
    asked: list[str] = field(default_factory=list)

    def mii(self, name: InterfaceName) -> bool | None:
        self.asked.append("mii")
        return self.phy

    def ethtool(self, name: InterfaceName) -> bool | None:
        self.asked.append("ethtool")
        return self.tool

    def flags(self, name: InterfaceName) -> bool:
        self.asked.append("flags")
        return self.up


@pytest.mark.parametrize(
    ("wanted", "phy", "tool", "expected"),
    [
        (None, True, None, (MII, True)),
        (None, False, True, (MII, False)),
        (None, None, True, (ETHTOOL, True)),
        (None, None, None, (IOCTL, True)),
        (MII, None, False, (ETHTOOL, False)),
        (ETHTOOL, True, False, (ETHTOOL, False)),
        (ETHTOOL, True, None, (MII, True)),
        (IOCTL, False, False, (IOCTL, True)),
    ],
)
def test_the_first_way_that_works(
    wanted: LinkPolling | None, phy: bool | None, tool: bool | None, expected: object
) -> None:
    assert choose(Answers(phy, tool), ETH0, wanted) == expected


def test_the_flags_must_agree() -> None:
    assert choose(Answers(True, True, up=False), ETH0, None) == (MII, False)
    assert choose(Answers(up=False), ETH0, None) == (IOCTL, False)


class Scene:
    """A `Linkbeat` with everything that it says, polling a hundred times a second."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.lines: list[str] = []
        self.heard: list[InterfaceFacts] = []
        self.linkbeat = Linkbeat(lambda event: self.heard.append(event.facts), self, answers)

    def info(self, text: str) -> None:
        self.lines.append(text)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)


def configuration(*polled: LinkbeatInterface, **more: Any) -> Configuration:
    one = Instance(InstanceName("V"), ETH0, 51, **more.pop("instance", {}))
    return Configuration(instances=(one,), linkbeat_interfaces=polled, **more)


def facts(name: InterfaceName = ETH0, *, up: bool = True, index: int = 2) -> InterfaceFacts:
    return InterfaceFacts(name, index, up)


def play(answers: Answers, monkeypatch: pytest.MonkeyPatch, work: Callable[[Scene], Any]) -> Scene:
    monkeypatch.setattr(linkbeat, "POLLING_S", 0.01)
    scene = Scene(answers)

    async def run() -> None:
        try:
            await work(scene)
        finally:
            scene.linkbeat.close()

    asyncio.run(run())
    return scene


def test_polling_replaces_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        polled = configuration(LinkbeatInterface("eth0"))
        seen = await scene.linkbeat.follow(polled, {ETH0: facts(), ETH1: facts(ETH1)})
        assert not seen[ETH0].up and seen[ETH0].polled
        assert seen[ETH1] == facts(ETH1)
        scene.linkbeat.feed(LinkChanged(replace(facts(), mtu=9000)))
        assert [(one.up, one.mtu) for one in scene.heard] == [(False, 9000)]
        scene.answers.phy = True
        await scene.until(lambda: len(scene.heard) == 2)
        scene.linkbeat.feed(LinkChanged(facts(up=False)))
        scene.answers.phy = False
        await scene.until(lambda: len(scene.heard) == 4)

    scene = play(Answers(phy=False), monkeypatch, work)
    assert [one.up for one in scene.heard] == [False, True, True, False]
    assert all(one.polled for one in scene.heard)
    assert scene.lines == [STARTED]


def test_other_interfaces_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        await scene.linkbeat.follow(configuration(LinkbeatInterface("eth0")), {ETH0: facts()})
        scene.linkbeat.feed(LinkChanged(facts(ETH1, up=False)))

    assert play(Answers(phy=True), monkeypatch, work).heard == [facts(ETH1, up=False)]


def test_without_polling_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        assert await scene.linkbeat.follow(configuration(), {ETH0: facts()}) == {ETH0: facts()}
        scene.linkbeat.feed(LinkChanged(facts(up=False)))

    scene = play(Answers(phy=True), monkeypatch, work)
    assert scene.answers.asked == [] and scene.lines == [] and scene.heard == [facts(up=False)]


def test_an_interface_that_goes_and_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        await scene.linkbeat.follow(configuration(LinkbeatInterface("eth0")), {ETH0: facts()})
        scene.linkbeat.feed(LinkChanged(facts(index=0, up=False)))
        scene.linkbeat.feed(LinkChanged(facts(index=7)))
        await scene.until(lambda: len(scene.heard) == 3)

    scene = play(Answers(phy=True), monkeypatch, work)
    assert [(one.index, one.up) for one in scene.heard] == [(0, False), (7, False), (7, True)]


def test_a_way_that_does_not_work_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        polled = configuration(LinkbeatInterface("eth0", MII))
        await scene.linkbeat.follow(polled, {ETH0: facts()})
        asked = len(scene.answers.asked)
        await scene.until(lambda: len(scene.answers.asked) > asked + 3)

    scene = play(Answers(tool=True), monkeypatch, work)
    said = "(eth0): Configured linkbeat type MII not supported, using ETHTOOL"
    assert scene.lines == [STARTED, said]
    # Later it is asked in the way that works.
    assert scene.answers.asked[:3] == ["mii", "ethtool", "flags"]
    assert "mii" not in scene.answers.asked[3:]


def test_a_reload_ends_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        await scene.linkbeat.follow(configuration(LinkbeatInterface("eth0")), {ETH0: facts()})
        seen = await scene.linkbeat.follow(configuration(), {ETH0: facts()})
        assert seen == {ETH0: facts()}
        asked = len(scene.answers.asked)
        await asyncio.sleep(0.05)
        assert len(scene.answers.asked) == asked

    play(Answers(phy=False), monkeypatch, work)


@pytest.mark.parametrize(
    ("polled", "expected"),
    [
        (configuration(instance={"linkbeat_use_polling": True}), {ETH0}),
        (configuration(globals=Globals(linkbeat_use_polling=True)), {ETH0}),
        (configuration(LinkbeatInterface("eth1")), set()),
        (
            configuration(
                LinkbeatInterface("eth1"), instance={"track_interfaces": (TrackedInterface(ETH1),)}
            ),
            {ETH1},
        ),
    ],
)
def test_what_is_polled(
    polled: Configuration, expected: set[InterfaceName], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(scene: Scene) -> None:
        seen = await scene.linkbeat.follow(polled, {ETH0: facts(), ETH1: facts(ETH1)})
        assert {name for name, one in seen.items() if one.polled} == expected

    scene = play(Answers(phy=True), monkeypatch, work)
    unused = ["Turning off linkbeat for eth1 since not used for tracking"]
    assert scene.lines == ([STARTED] if expected else unused)


def test_our_own_devices_are_not_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(ETH0, ETH1, DeviceKind.MACVLAN, InstanceName("V"), 4, "private")

    async def work(scene: Scene) -> None:
        polled = configuration(LinkbeatInterface("eth0"), devices=(device,))
        assert not (await scene.linkbeat.follow(polled, {ETH0: facts()}))[ETH0].polled

    scene = play(Answers(phy=True), monkeypatch, work)
    assert scene.lines == ["Turning off linkbeat for eth0 since netlink works for vmacs/ipvlans"]


def test_the_kernel_is_asked(ip: Callable[[str], None]) -> None:
    """A veth has no PHY; its driver answers ETHTOOL_GLINK, and knows that its peer is down."""
    v0, ask = InterfaceName("v0"), KernelAsk()
    try:
        assert choose(ask, v0, None) == (ETHTOOL, True)
        ip("link set v1 down")
        assert ask.ethtool(v0) is False and ask.flags(v0) is False
        ip("link del v0")
        assert ask.mii(v0) is None and ask.ethtool(v0) is None and ask.flags(v0) is False
    finally:
        ask.close()
