"""Scripted conversations: routers, time and mishaps above dashes, what was seen below.

A file is a script, a line `----`, and the expected trace.  The script:

    router NAME [priority=N] [preempt_delay=S] [advert=S] [script=WEIGHT] [nopreempt] [master] [group]
                [version=3] [six] [peers=NAME,NAME] [old] [ah=PASSWORD] [hmac=KEY] [owner_ignores]
                [raft]
    advance SECONDS           virtual time passes
    drop A->B / pass A->B     adverts from A to B are lost / delivered
    down NAME / up NAME       the link of the router's eth0
    script NAME STATUS        what its check `chk` returns from now on
    delete NAME               somebody takes its address off
    resign NAME / start NAME  it is stopped / begins (routers begin at once)
    hear NAME PRIORITY FROM   a made-up advert reaches it
    replay A->B               the last advert that B got from A arrives once more
    pause NAME SECONDS        it does not run (but its links and sockets do)
    grant NAME LEASE          a quorum gives it the lease (`raft`)
    lose NAME LEASE           the lease is over

Routers are numbered in the order of their lines, and so are their addresses:
10.0.0.1, or fe80::1 with `six`.  `old`: the unicast checksum of long ago.
Adverts need one millisecond, checks ten.  A step that only sends the advert
that was due is not in the trace.  `KEEPALIVED_REWRITE_CONVERSATIONS=1` writes
what was seen into the files instead of comparing: review the difference.
"""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.integrity import advert_signature, ah_icv
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, LeaseName, ScriptName
from keepalived_py.core import node as core
from keepalived_py.core.standing import leases_of
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Command,
    Configuration,
    Election,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    TrackedScript,
    VirtualAddress,
)
from keepalived_py.model.packet import Advert, AdvertToSend, AuthenticationHeader, ChecksumForm
from keepalived_py.model.vrrp import AuthHmac, HmacKey, UnicastChecksum, UnicastPeer

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
    held: set[tuple[InterfaceName, Address]] = field(default_factory=set)
    check_status: int = 0
    sequence: int = 0
    sleeps_until: int = 0


class Stage:
    """All routers, the wires between them, and the trace."""

    def __init__(self) -> None:
        self.now = 0
        self.routers: dict[str, Router] = {}
        self.lost: set[str] = set()
        self.trace: list[str] = []
        self._mail: list[tuple[int, int, str, ev.Event]] = []
        self._order = count()
        self._last: dict[str, ev.AdvertReceived] = {}

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
                addresses=tuple(
                    ev.InterfaceAddress(_address(six, index, number), 64 if six else 24)
                    for six in (False, True)
                ),
            )
            for index in (0, 1)
        }
        self.routers[name] = Router(name, _configuration(options), interfaces, sequence=number * 100)
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
            if upcoming[1] is None and self._asleep(self._mail[0][2]):
                _, order, name, event = heapq.heappop(self._mail)
                heapq.heappush(self._mail, (self.routers[name].sleeps_until, order, name, event))
            elif upcoming[1] is None:
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

    def do_replay(self, way: str) -> None:
        self._feed(way.partition("->")[2], self._last[way])

    def do_pause(self, name: str, seconds: str) -> None:
        self.routers[name].sleeps_until = self.now + round(float(seconds) * SECOND)

    def do_grant(self, name: str, lease: str) -> None:
        instances = self._instances_of(name, lease)
        self._feed(name, ev.LeaseGranted(LeaseName(lease), instances, 1, "promised by others"))

    def do_lose(self, name: str, lease: str) -> None:
        instances = self._instances_of(name, lease)
        self._feed(name, ev.LeaseLost(LeaseName(lease), instances, "no quorum", "the promises ended"))

    def _instances_of(self, name: str, lease: str) -> tuple[InstanceName, ...]:
        leases = leases_of(self.routers[name].configuration)
        return next(each.instances for each in leases if each.name == lease)

    def do_delete(self, name: str) -> None:
        router = self.routers[name]
        interface, address = next(iter(sorted(router.held)))
        router.held.discard((interface, address))
        self._feed(name, ev.AddressRemoved(interface, ev.InterfaceAddress(address, 24)))

    def do_hear(self, name: str, priority: str, source: str) -> None:
        settings = self.routers[name].configuration.instances[0]
        sent = AdvertToSend(
            interface=settings.interface,
            source=ip_address(source),
            destinations=(settings.destination,),
            ttl=255,
            version=settings.version,
            vrid=settings.vrid,
            priority=int(priority),
            auth_type=settings.auth_type,
            auth_data=settings.auth_data,
            advert_interval=settings.advert_interval_us // (SECOND if settings.version == 2 else 10_000),
            addresses=tuple(virtual.address for virtual in settings.addresses),
        )
        self._feed(name, ev.AdvertReceived(sent.interface, _heard(sent, settings.destination)))

    # -- the machine ------------------------------------------------------------

    def _link(self, name: str, up: bool) -> None:
        interface = InterfaceName("eth0")
        self._feed(name, ev.LinkChanged(ev.InterfaceFacts(interface, 2, up)))

    def _asleep(self, name: str) -> bool:
        return self.routers[name].sleeps_until > self.now

    def _next(self) -> tuple[int, str | None] | None:
        found: list[tuple[int, str | None]] = [(self._mail[0][0], None)] if self._mail else []
        for name, router in self.routers.items():
            due = core.next_deadline(router.node) if router.node is not None else None
            if due is not None:
                found.append((max(due, router.sleeps_until), name))
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
            case fx.RaiseSequence(_, heard):
                router.sequence = max(router.sequence, heard)
            case fx.RunCheck(name, _, _):
                self._post(CHECK_TAKES, router.name, ev.ScriptFinished(name, router.check_status))
            case fx.AddAddress(_, virtual):
                router.held.add((virtual.interface, virtual.address))
            case fx.DeleteAddress(_, virtual):
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
        sender.sequence += 1
        for name, router in self.routers.items():
            way = f"{sender.name}->{name}"
            own = {known.address for known in router.interfaces[advert.interface].addresses}
            for destination in advert.destinations:
                if name != sender.name and (advert.multicast or destination in own):
                    packet = _heard(advert, destination, sender.sequence, self.now // SECOND)
                    event = ev.AdvertReceived(advert.interface, packet, (self.now + ADVERT_TAKES) // SECOND)
                    if way not in self.lost:
                        self._last[way] = event
                        self._post(ADVERT_TAKES, name, event)


def _address(six: bool, index: int, number: int) -> Address:
    return ip_address(f"fe80::{index or ''}{':' * bool(index)}{number}" if six else f"10.0.{index}.{number}")


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
    interface, six = InterfaceName(f"eth{index}"), "six" in options
    version = int(options.get("version", 3 if six else 2))
    peers = tuple(
        UnicastPeer(_address(six, index, int(name[1:])))
        for name in options.get("peers", "").split(",")
        if name
    )
    keys = (HmacKey(id=1, value=options.get("hmac", "").encode().ljust(32, b"\0")),)
    return Instance(
        name=InstanceName(f"VI_{index + 1}"),
        interface=interface,
        vrid=51 + index,
        base_priority=int(options.get("priority", 100)),
        version=version,
        family=6 if six else 4,
        destination=ip_address("ff02::12" if six else "224.0.0.18"),
        preempt="nopreempt" not in options,
        preempt_delay_us=Micros(round(float(options.get("preempt_delay", 0)) * SECOND)),
        advert_interval_us=Micros(round(float(options.get("advert", 1)) * SECOND)),
        initial_state=InitialState.MASTER if "master" in options else InitialState.BACKUP,
        addresses=(VirtualAddress(_address(six, index, 100), 64 if six else 24, interface),),
        track_scripts=(TrackedScript(CHK, int(options["script"])),) if "script" in options else (),
        notifies=NOTIFY,
        unicast_peers=peers,
        unicast_checksum=UnicastChecksum.OLD if "old" in options else UnicastChecksum.AUTO,
        auth_type=AuthType.AH if "ah" in options else AuthType.NONE,
        auth_data=options.get("ah", "").encode(),
        auth_hmac=AuthHmac(keys=keys, active_key=1, time_window_s=5) if "hmac" in options else None,
        election=Election.RAFT if "raft" in options else Election.VRRP,
        owner_ignore_adverts=True if "owner_ignores" in options else None,
    )


def _heard(sent: AdvertToSend, destination: Address, sequence: int = 0, clock_s: int = 0) -> Advert:
    """What the receiver's dissection of `sent` says, without the bytes of its headers."""
    six, ah = sent.family == 6, sent.auth_type is AuthType.AH
    interval = sent.advert_interval
    head = bytes((sent.version << 4 | 1, sent.vrid, sent.priority, len(sent.addresses)))
    message = head + interval.to_bytes(2, "big") + bytes(2)
    message += b"".join(address.packed for address in sent.addresses)
    expected = len(message) + (0 if six else 20 + 8 * (sent.version == 2)) + 24 * ah
    trailer = _trailer(sent, message, sequence, clock_s)
    old = sent.version == 3 and sent.checksum_form is ChecksumForm.OLD_UNICAST
    return Advert(
        source=sent.source,
        destination=destination,
        ttl=255 if sent.ttl is None else sent.ttl,
        total_length=expected + len(trailer),
        received_length=expected + len(trailer),
        expected_length=expected,
        has_ah=ah,
        version=sent.version,
        kind=1,
        vrid=sent.vrid,
        priority=sent.priority,
        address_count=len(sent.addresses),
        auth_type=sent.auth_type.value,
        advert_interval=interval,
        checksum_valid=not old,
        addresses=sent.addresses,
        auth_data=bytes(8),
        old_checksum_valid=old,
        ah=_authentication_header(sent, message, sequence) if ah else None,
        message=message,
        trailer=trailer,
    )


def _authentication_header(sent: AdvertToSend, message: bytes, sequence: int) -> AuthenticationHeader:
    covered = (
        bytes(8) + (b"\xff" if sent.multicast else b"\0") + bytes(11) + sequence.to_bytes(4, "big") + message
    )
    return AuthenticationHeader(112, sent.source.packed, sequence, ah_icv(sent.auth_data, covered), covered)


def _trailer(sent: AdvertToSend, message: bytes, sequence: int, clock_s: int) -> bytes:
    if sent.signing is None:
        return b""
    head = bytes((1, sent.signing.key_id, 0, 0)) + clock_s.to_bytes(4, "big") + sequence.to_bytes(4, "big")
    return head + advert_signature(sent.signing.key, sent.source, message, head)


def _lines(effects: tuple[fx.Effect, ...]) -> Iterator[str]:
    announced = sum(isinstance(effect, fx.SendNeighbour) for effect in effects)
    for effect in effects:
        match effect:
            case fx.SendAdvert(instance, advert):
                yield f"advert {instance} {advert.priority}"
            case fx.RaiseSequence(instance, heard):
                yield f"sequence of {instance} above {heard}"
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
    assert len(list(HERE.glob("*.txt"))) >= 24
