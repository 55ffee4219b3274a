"""`interface_up_down_delays`: what is seen of a link that flaps."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.link_delays import Delays, LinkDelays, delays_of
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.events import InterfaceFacts, LinkChanged
from keepalived_py.model.interfaces import Device, DeviceKind, InterfaceDelay

ETH0, DEVICE = InterfaceName("eth0"), InterfaceName("vrrp.51")
UP = InterfaceFacts(ETH0, 2, True)
DOWN = replace(UP, up=False)
SECOND = 1_000_000


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def time(self) -> float:
        return self.now


class Scene:
    """A `LinkDelays` of two seconds down and three up, and what it said."""

    def __init__(self, known: InterfaceFacts = UP, down: int = 2, up: int = 3) -> None:
        self.loop = Clock()
        self.heard: list[InterfaceFacts] = []
        self.lines: list[str] = []
        self.delays = LinkDelays(lambda event: self.heard.append(event.facts), self.lines.append)
        self.delays.follow(configuration(down, up), [known])

    def feed(self, facts: InterfaceFacts) -> "Scene":
        self._run(lambda: self.delays.feed(LinkChanged(facts)))
        return self

    def follow(self, made: Configuration) -> None:
        self._run(lambda: self.delays.follow(made, [UP]))

    def after(self, seconds: float) -> "Scene":
        self.loop.now += seconds
        self._run(lambda: None)
        return self

    def _run(self, work: Callable[[], None]) -> None:
        async def turn() -> None:
            work()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    @property
    def ups(self) -> list[bool]:
        return [facts.up for facts in self.heard]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def instance(name: str = "V", **settings: object) -> Instance:
    return Instance(InstanceName(name), ETH0, 51, **settings)  # type: ignore[arg-type]


def configuration(down: int, up: int, *instances: Instance) -> Configuration:
    delay = InterfaceDelay("eth0", Micros(down * SECOND), Micros(up * SECOND))
    return Configuration(interface_delays=(delay,), instances=instances)


def test_a_change_counts_when_it_has_lasted(scene: Scene) -> None:
    scene.feed(DOWN).after(1.9)
    assert scene.heard == []
    scene.after(0.2)
    assert scene.heard == [DOWN]
    scene.feed(UP).after(2.9)
    assert scene.heard == [DOWN]
    scene.after(0.2)
    assert scene.heard == [DOWN, UP]
    assert scene.lines == [
        "eth0: Adding flags change to down delay by 2000000",
        "eth0: Adding flags change to up delay by 3000000",
    ]


def test_a_flap_is_not_seen(scene: Scene) -> None:
    scene.feed(DOWN).after(1.0).feed(UP).after(10)
    assert scene.heard == []


def test_each_flap_starts_anew(scene: Scene) -> None:
    scene.feed(DOWN).after(1.5).feed(UP).feed(DOWN).after(1.5)
    assert scene.heard == []
    scene.after(1)
    assert scene.heard == [DOWN]


def test_what_else_changes_passes_at_once(scene: Scene) -> None:
    scene.feed(replace(DOWN, mtu=9000)).after(1).feed(replace(DOWN, mtu=1400))
    assert scene.heard == [replace(UP, mtu=9000), replace(UP, mtu=1400)]
    scene.after(1.1)
    assert scene.heard[2:] == [replace(DOWN, mtu=1400)]


def test_news_that_repeats_does_not_restart_the_delay(scene: Scene) -> None:
    scene.feed(DOWN).after(1.5).feed(DOWN).after(0.6)
    assert scene.heard == [DOWN]


def test_the_first_up_has_no_delay() -> None:
    scene = Scene(known=DOWN)
    assert scene.feed(UP).heard == [UP]
    assert scene.feed(DOWN).heard == [UP]


def test_one_that_goes_or_comes_does_so_at_once(scene: Scene) -> None:
    gone = replace(DOWN, index=0)
    scene.feed(DOWN).feed(gone)
    assert scene.heard == [gone]
    scene.feed(replace(UP, index=9)).after(10)
    assert scene.heard == [gone, replace(UP, index=9)]


def test_a_direction_without_delay_is_seen_at_once() -> None:
    scene = Scene(down=2, up=0)
    scene.feed(DOWN).after(2.1).feed(UP)
    assert scene.ups == [False, True]


def test_other_interfaces_pass(scene: Scene) -> None:
    other = replace(DOWN, name=InterfaceName("eth1"))
    assert scene.feed(other).heard == [other]


def test_a_reload_without_delay_lets_what_waits_count(scene: Scene) -> None:
    scene.feed(DOWN)
    scene.follow(configuration(1, 1))
    assert scene.heard == []
    scene.follow(Configuration())
    assert scene.heard == [DOWN]
    scene.after(10)
    assert scene.heard == [DOWN]


def test_nothing_comes_after_the_end(scene: Scene) -> None:
    scene.feed(DOWN)
    scene.delays.close()
    scene.after(10)
    assert scene.heard == []


def cut(down: int, up: int, *instances: Instance) -> tuple[dict[InterfaceName, Delays], list[str]]:
    lines: list[str] = []
    return delays_of(configuration(down, up, *instances), lines.append), lines


def test_delays_are_shorter_than_what_a_backup_waits() -> None:
    assert cut(1, 1, instance()) == ({ETH0: Delays(Micros(SECOND), Micros(SECOND))}, [])
    found, lines = cut(2, 1, instance())
    assert found == {ETH0: Delays(Micros(2 * SECOND - SECOND // 256), Micros(SECOND))}
    assert lines == ["V: interface eth0 debounce timer(s) not less that 2 * advert_int - resetting"]
    found, lines = cut(2, 1, instance(down_timer_adverts=4), instance("W", down_timer_adverts=1))
    assert found == {}
    assert lines == ["W: cannot use debounce timers with down_timer_adverts = 1 - resetting"]


def test_a_device_has_the_delays_of_its_interface() -> None:
    device = Device(DEVICE, ETH0, DeviceKind.MACVLAN, InstanceName("V"), 4, "private")
    delay = InterfaceDelay("eth0", Micros(SECOND))
    found = delays_of(Configuration(interface_delays=(delay,), devices=(device,)), print)
    assert found == dict.fromkeys((ETH0, DEVICE), Delays(Micros(SECOND), Micros(0)))
