"""The shell of the VRRP back-end with a recorder for a machine: adverts first, then the rest in order."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.election import vrrp
from keepalived_py.election.ports import Machine
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import (
    Command,
    Configuration,
    InitialState,
    Instance,
    Notifies,
    VirtualAddress,
)
from keepalived_py.model.interfaces import Device
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.system.loop import new_loop, now

# The order of what is asked, and when, depends on a real clock.
pytestmark = pytest.mark.alone

ETH0 = InterfaceName("eth0")
FACTS = ev.InterfaceFacts(
    ETH0, 7, up=True, mac=b"\x02\0\0\0\0\1", addresses=(ev.InterfaceAddress(IPv4Address("10.0.0.1"), 24),)
)
VIP = VirtualAddress(IPv4Address("10.0.0.100"), 24, ETH0)
OWNER = Instance(
    InstanceName("VI_1"),
    ETH0,
    51,
    base_priority=255,
    initial_state=InitialState.MASTER,
    addresses=(VIP,),
    notifies=Notifies(any=Command(("/bin/notify",), 0, 0)),
)


class Recorder:
    """Everything that the shell asked of the machine, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.sent_at: list[Micros] = []

    async def apply(self, changes: Sequence[fx.KernelChange]) -> Sequence[fx.Outcome]:
        await asyncio.sleep(0.005)
        words = {fx.AddAddress: "add", fx.DeleteAddress: "delete"}
        for change in changes:
            assert isinstance(change, fx.AddAddress | fx.DeleteAddress)
            self.done.append(f"{words[type(change)]} {change.address.address}")
        return [fx.Done() for _ in changes]

    async def block(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> fx.Outcome:
        self.done.append(f"block {len(addresses)}")
        return fx.Done()

    async def unblock(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> fx.Outcome:
        self.done.append(f"unblock {len(addresses)}")
        return fx.Done()

    async def create(self, device: Device) -> fx.Outcome:
        self.done.append(f"create {device.name}")
        return fx.Done()

    def write(self, line: str) -> None:
        self.done.append(f"fifo {line}")

    def follow(self, configuration: Configuration) -> None:
        """The pipes are always open."""

    def close(self) -> None:
        self.done.append("pipes closed")

    def send(self, interface_index: int, frame: bytes) -> int:
        self.done.append(f"arp {interface_index}")
        return 0

    def send_many(self, frames: Sequence[tuple[int, bytes]]) -> list[int]:
        return [self.send(*frame) for frame in frames]

    def notify(self, command: Command) -> int:
        self.done.append(" ".join(command.argv))
        return 0

    def check(self, check: fx.RunCheck) -> int:
        return 0

    def connect(self, probe: fx.RunProbe) -> None:
        self.done.append(f"connect {probe.endpoint}")

    def ask(self, order: fx.AskServer) -> None:
        self.done.append(f"ask {order.name}")

    async def finish(self, limit_s: float) -> None:
        self.done.append("scripts finished")

    def info(self, text: str) -> None:
        self.done.append(f"log {text}")

    def detail(self, text: str) -> None:
        """Detail is not looked at."""


class Wire:
    """Stands in for the sockets: notes adverts."""

    recorder: Recorder
    error = 0

    def __init__(self, received: Callable[..., None], log: Callable[..., None]) -> None:
        self.prepared: list[AdvertToSend] = []

    def follow(self, configuration: Configuration, interfaces: object) -> None:
        """Every interface is open."""

    def age_us(self) -> Micros:
        return Micros(0)

    def prepare(self, instance: InstanceName, advert: AdvertToSend) -> None:
        self.prepared.append(advert)

    def send_all(self, adverts: Sequence[fx.SendAdvert]) -> list[tuple[fx.SendAdvert, Address, int]]:
        for one in adverts:
            self.recorder.done.append(f"advert {one.advert.priority}")
            self.recorder.sent_at.append(now())
        return [(one, to, self.error) for one in adverts for to in one.advert.destinations if self.error]

    def close(self) -> None:
        self.recorder.done.append("sockets closed")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(Wire, "recorder", made, raising=False)
    monkeypatch.setattr(Wire, "error", 0)
    monkeypatch.setattr(vrrp, "Listeners", Wire)
    return made


def live(recorder: Recorder, seconds: float, *instances: Instance) -> None:
    """Start a shell, let it live, stop it in order."""

    async def life() -> None:
        machine = Machine(
            kernel=recorder,
            scripts=recorder,
            neighbours=recorder,
            firewall=recorder,
            devices=recorder,
            fifos=recorder,
            probes=recorder,
            servers=recorder,
            log=recorder,
            now=now,
            wall_clock_s=lambda: 0,
        )
        shell = VrrpShell(Configuration(instances=instances), {ETH0: FACTS}, machine)
        shell.start()
        await asyncio.sleep(seconds)
        await shell.stop(release=True)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(life())


def test_a_master_advertises_before_it_does_anything_else(recorder: Recorder) -> None:
    live(recorder, 0.1, OWNER)
    done = [entry for entry in recorder.done if not entry.startswith("log")]
    first = done.index("advert 255")
    assert done[first + 1 : first + 9] == [
        "add 10.0.0.100",
        *["arp 7"] * 5,
        "/bin/notify INSTANCE VI_1 MASTER 255",
        'fifo INSTANCE "VI_1" MASTER 255',
    ]


def test_a_stop_resigns_releases_and_tells(recorder: Recorder) -> None:
    live(recorder, 0.1, OWNER)
    done = [entry for entry in recorder.done if not entry.startswith("log")]
    assert done[-7:] == [
        "advert 0",
        "delete 10.0.0.100",
        "/bin/notify INSTANCE VI_1 STOP 255",
        'fifo INSTANCE "VI_1" STOP 255',
        "pipes closed",
        "scripts finished",
        "sockets closed",
    ]


def test_log_lines_come_after_the_address(recorder: Recorder) -> None:
    live(recorder, 0.1, OWNER)
    assert recorder.done.index("add 10.0.0.100") < recorder.done.index("log (VI_1) Entering MASTER STATE")


@pytest.mark.slow
def test_adverts_keep_their_period(recorder: Recorder) -> None:
    """Sent from foreseen steps, the period has no drift: interval errors cancel out."""
    live(recorder, 2.1, OWNER)
    first, second, third = recorder.sent_at[:3]
    assert abs(second - first - 1_000_000) < 50_000
    assert abs(third - first - 2_000_000) < 50_000


def test_an_advert_that_cannot_be_sent_is_logged(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "error", errno.ENETUNREACH)
    live(recorder, 0.1, OWNER)
    assert "log (VI_1): send advert error 101 (Network is unreachable)" in recorder.done
