"""Scripted conversations: routers, time and mishaps above dashes, what was seen below.

A file is a script, a line `----`, and the expected trace.  The script:

    router NAME [priority=N] [preempt_delay=S] [advert=S] [script=WEIGHT] [nopreempt] [master] [group]
    advance SECONDS           virtual time passes
    drop A->B / pass A->B     adverts from A to B are lost / delivered
    down NAME / up NAME       the link of the router's eth0
    script NAME STATUS        what its check `chk` returns from now on
    delete NAME               somebody takes its address off
    resign NAME / start NAME  it is stopped / begins (routers begin at once)
    hear NAME PRIORITY FROM   a made-up advert reaches it

Adverts need one millisecond, checks ten.  A step that only sends the advert
that was due is not in the trace.  `KEEPALIVED_REWRITE_CONVERSATIONS=1` writes
what was seen into the files instead of comparing: review the difference.
"""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import pytest

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.core import node as core
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import (
    CheckScript,
    Command,
    Configuration,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    TrackedScript,
    VirtualAddress,
)
from keepalived_py.model.packet import Advert, AdvertToSend

HERE = Path(__file__).parent
DASHES = "----\n"
REWRITE = "KEEPALIVED_REWRITE_CONVERSATIONS"
ADVERT_TAKES, CHECK_TAKES = 1_000, 10_000
CHK = ScriptName("chk")
NOTIFY = Notifies(any=Command(("/usr/local/bin/notify",), 0, 0))


@dataclass
class Router:
    """One node with its obedient kernel."""

    name: str
    configuration: Configuration
    interfaces: dict[InterfaceName, ev.InterfaceFacts]
    node: core.Node | None = None
    held: set[tuple[InterfaceName, IPv4Address]] = field(default_factory=set)
    check_status: int = 0


class Stage:
    """All routers, the wires between them, and the trace."""

    def __init__(self) -> None:
        self.now = 0
        self.routers: dict[str, Router] = {}
        self.lost: set[str] = set()
        self.trace: list[str] = []
        self._mail: list[tuple[int, int, str, ev.Event]] = []
        self._order = count()

    def play(self, script: str) -> str:
        """The trace of `script`."""
        for line in script.splitlines():
            words = line.partition("#")[0].split()
            if words:
                getattr(self, f"do_{words[0]}")(*words[1:])
        return "".join(line + "\n" for line in self.trace)

    # -- the script's words -----------------------------------------------------

    def do_router(self, name: str, *words: str) -> None:
        options = dict(word.partition("=")[::2] for word in words)
        number = len(self.routers) + 1
        interfaces = {
            InterfaceName(f"eth{index}"): ev.InterfaceFacts(
                InterfaceName(f"eth{index}"),
                index + 2,
                True,
                mac=bytes((2, 0, 0, 0, index, number)),
                addresses=(ev.InterfaceAddress(IPv4Address(f"10.0.{index}.{number}"), 24),),
            )
            for index in (0, 1)
        }
        self.routers[name] = Router(name, _configuration(options), interfaces)
        self.do_start(name)

    def do_start(self, name: str) -> None:
        router = self.routers[name]
        self._take(router, core.start(router.configuration, router.interfaces, Micros(self.now)), "start")

    def do_resign(self, name: str) -> None:
        self._feed(name, ev.StopRequested())

    def do_advance(self, seconds: str) -> None:
        end = self.now + round(float(seconds) * SECOND)
        while (upcoming := self._next()) is not None and upcoming[0] <= end:
            self.now = max(self.now, upcoming[0])
            if upcoming[1] is None:
                _, _, name, event = heapq.heappop(self._mail)
                self._feed(name, event)
            else:
                self._feed(upcoming[1], ev.Tick())
        self.now = end

    def do_drop(self, way: str) -> None:
        self.lost.add(way)

    def do_pass(self, way: str) -> None:
        self.lost.discard(way)

    def do_down(self, name: str) -> None:
        self._link(name, False)

    def do_up(self, name: str) -> None:
        self._link(name, True)

    def do_script(self, name: str, status: str) -> None:
        self.routers[name].check_status = int(status)

    def do_delete(self, name: str) -> None:
        router = self.routers[name]
        interface, address = next(iter(sorted(router.held)))
        router.held.discard((interface, address))
        self._feed(name, ev.AddressRemoved(interface, ev.InterfaceAddress(address, 24)))

    def do_hear(self, name: str, priority: str, source: str) -> None:
        settings = self.routers[name].configuration.instances[0]
        addresses = tuple(virtual.address for virtual in settings.addresses)
        sent = AdvertToSend(
            settings.interface,
            IPv4Address(source),
            settings.destination,
            255,
            2,
            settings.vrid,
            int(priority),
            settings.auth_type,
            b"",
            settings.advert_interval_us // SECOND,
            addresses,
        )
        self._feed(name, _heard(sent))

    # -- the machine ------------------------------------------------------------

    def _link(self, name: str, up: bool) -> None:
        interface = InterfaceName("eth0")
        self._feed(name, ev.LinkChanged(ev.InterfaceFacts(interface, 2, up)))

    def _next(self) -> tuple[int, str | None] | None:
        found: list[tuple[int, str | None]] = [(self._mail[0][0], None)] if self._mail else []
        for name, router in self.routers.items():
            due = core.next_deadline(router.node) if router.node is not None else None
            if due is not None:
                found.append((due, name))
        return min(found, key=lambda each: (each[0], each[1] or "")) if found else None

    def _post(self, delay: int, name: str, event: ev.Event) -> None:
        heapq.heappush(self._mail, (self.now + delay, next(self._order), name, event))

    def _feed(self, name: str, event: ev.Event) -> None:
        router = self.routers[name]
        if router.node is not None:
            self._take(router, core.step(router.node, event, Micros(self.now)), type(event).__name__)

    def _take(self, router: Router, step: core.Step, what: str) -> None:
        router.node = step.node
        self._note(router, list(_lines(step.effects)), what)
        for effect in step.effects:
            self._obey(router, effect)

    def _note(self, router: Router, lines: list[str], what: str) -> None:
        if what != "Tick" or any(not line.startswith("advert") for line in lines):
            self.trace += [f"{self.now / SECOND:9.6f} {router.name} {line}" for line in lines]

    def _obey(self, router: Router, effect: fx.Effect) -> None:
        match effect:
            case fx.SendAdvert(_, advert):
                self._deliver(router, advert)
            case fx.RunCheck(name, _, _):
                self._post(CHECK_TAKES, router.name, ev.ScriptFinished(name, router.check_status))
            case fx.AddAddress(_, virtual):
                assert isinstance(virtual.address, IPv4Address)
                router.held.add((virtual.interface, virtual.address))
            case fx.DeleteAddress(_, virtual):
                assert isinstance(virtual.address, IPv4Address)
                known = (virtual.interface, virtual.address)
                if known in router.held:
                    router.held.discard(known)
                    gone = ev.InterfaceAddress(virtual.address, virtual.prefix_length)
                    self._feed(router.name, ev.AddressRemoved(virtual.interface, gone))
                else:
                    self._feed(router.name, ev.EffectDone(effect, fx.AlreadySo()))
            case _:
                pass

    def _deliver(self, sender: Router, advert: AdvertToSend) -> None:
        assert sender.node is not None
        if not sender.node.interfaces[advert.interface].up:
            return
        for name in self.routers:
            if name != sender.name and f"{sender.name}->{name}" not in self.lost:
                self._post(ADVERT_TAKES, name, _heard(advert))


def _configuration(options: dict[str, str]) -> Configuration:
    instances = [_instance(0, options)] + ([_instance(1, options)] if "group" in options else [])
    groups = (
        (SyncGroup(GroupName("G"), tuple(each.name for each in instances), NOTIFY),)
        if "group" in options
        else ()
    )
    second = Micros(SECOND)
    checks = (CheckScript(CHK, Command(("/bin/chk",), 0, 0), second, second),) if "script" in options else ()
    return Configuration(instances=tuple(instances), groups=groups, scripts=checks)


def _instance(index: int, options: dict[str, str]) -> Instance:
    interface = InterfaceName(f"eth{index}")
    return Instance(
        name=InstanceName(f"VI_{index + 1}"),
        interface=interface,
        vrid=51 + index,
        base_priority=int(options.get("priority", 100)),
        preempt="nopreempt" not in options,
        preempt_delay_us=Micros(round(float(options.get("preempt_delay", 0)) * SECOND)),
        advert_interval_us=Micros(round(float(options.get("advert", 1)) * SECOND)),
        initial_state=InitialState.MASTER if "master" in options else InitialState.BACKUP,
        addresses=(VirtualAddress(IPv4Address(f"10.0.{index}.100"), 24, interface),),
        track_scripts=(TrackedScript(CHK, int(options["script"])),) if "script" in options else (),
        notifies=NOTIFY,
    )


def _heard(sent: AdvertToSend) -> ev.AdvertReceived:
    size = 20 + 8 + 4 * len(sent.addresses) + 8
    advert = Advert(
        sent.source,
        sent.destination,
        sent.ttl,
        size,
        size,
        size,
        False,
        sent.version,
        1,
        sent.vrid,
        sent.priority,
        len(sent.addresses),
        sent.auth_type.value,
        sent.advert_interval,
        True,
        sent.addresses,
        bytes(8),
    )
    return ev.AdvertReceived(sent.interface, advert)


def _lines(effects: tuple[fx.Effect, ...]) -> Iterator[str]:
    announced = sum(isinstance(effect, fx.SendNeighbour) for effect in effects)
    for effect in effects:
        match effect:
            case fx.SendAdvert(instance, advert):
                yield f"advert {instance} {advert.priority}"
            case fx.WriteLog(text, False):
                yield f"log {text}"
            case fx.AddAddress(_, virtual):
                yield f"add {virtual}"
            case fx.DeleteAddress(_, virtual):
                yield f"delete {virtual}"
            case fx.SendNeighbour() if announced:
                yield f"announce, {announced} times in all"
                announced = 0
            case fx.RunNotify(_, command):
                yield f"notify {' '.join(command.argv[1:])}"
            case fx.RoleChanged(instance, old, new, reason, _):
                yield f"{instance} {old.name} -> {new.name}: {reason}"
            case _:
                pass


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_conversation(path: Path) -> None:
    script, _, expected = path.read_text().partition(DASHES)
    seen = Stage().play(script)
    if os.environ.get(REWRITE):
        path.write_text(f"{script}{DASHES}{seen}")
    else:
        assert seen == expected


def test_there_are_conversations() -> None:
    assert len(list(HERE.glob("*.txt"))) >= 11
