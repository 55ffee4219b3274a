"""The gate, as packets meet it: frames go in at one end of a veth pair, the address is at the other."""

import asyncio
import errno
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Done, Failed
from keepalived_py.system import gate, gate_rules, nftables
from keepalived_py.system.clocks import boottime
from keepalived_py.system.gate import LEFTOVERS, Extend, Guard, NftGate, Release, Shut, Tables
from keepalived_py.system.lifetime_gate import LifetimeGate

from .conftest import Ip

V0 = InterfaceName("v0")
FOUR, OTHER_FOUR, SIX, LINK = "10.0.0.100", "10.0.0.101", "fd00::100", "fe80::100"
ASKER_MAC = bytes.fromhex("02000000aa01")
ASKER, ASKER_6, LINK_ASKER = IPv4Address("10.0.0.2"), IPv6Address("fd00::2"), IPv6Address("fe80::2")
LONG_US = 10_000_000
# How long an answer may take that is to come, and how long one is waited for that is not to come.
PATIENCE_S, SILENCE_S = 2.0, 0.05


def vip(text: str, interface: str = "v0") -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName(interface))


def soon(us: int = LONG_US) -> Micros:
    return Micros(boottime() + us)


# -- the wire ------------------------------------------------------------------------


def _mac(interface: str) -> str:
    shown = subprocess.run(
        ["ip", "-br", "link", "show", interface], capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[2].replace(":", "")


def checksum(data: bytes) -> int:
    words = struct.unpack(f">{len(data) // 2}H", data + bytes(len(data) % 2) if len(data) % 2 else data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~int(total) & 0xFFFF


def arp_request(target: IPv4Address) -> bytes:
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1)
    body = head + ASKER_MAC + ASKER.packed + bytes(6) + target.packed
    return b"\xff" * 6 + ASKER_MAC + b"\x08\x06" + body


def echo(mac: bytes, target: IPv4Address) -> bytes:
    icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 7)
    icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + ASKER.packed + target.packed
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return mac + ASKER_MAC + b"\x08\x00" + head + icmp


def _icmpv6(mac: bytes, source: IPv6Address, to: IPv6Address, body: bytes) -> bytes:
    pseudo = source.packed + to.packed + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    return (
        mac
        + ASKER_MAC
        + b"\x86\xdd"
        + struct.pack(">IHBB", 6 << 28, len(body), 58, 255)
        + source.packed
        + to.packed
        + body
    )


def solicitation(target: IPv6Address) -> bytes:
    low = target.packed[13:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + low)
    body = bytes((135, 0, 0, 0)) + bytes(4) + target.packed + b"\x01\x01" + ASKER_MAC
    source = LINK_ASKER if target.is_link_local else ASKER_6
    return _icmpv6(b"\x33\x33\xff" + low, source, group, body)


def echo6(mac: bytes, target: IPv6Address) -> bytes:
    source = LINK_ASKER if target.is_link_local else ASKER_6
    return _icmpv6(mac, source, target, struct.pack(">BBHHH", 128, 0, 0, 7, 7))


def tells(frame: bytes) -> tuple[str, bytes] | None:
    """What an answer is, and for which address: ARP, echo or advertisement."""
    kind = frame[12:14]
    if kind == b"\x08\x06" and frame[20:22] == b"\0\x02":
        return "arp", frame[28:32]
    if kind == b"\x08\x00" and frame[23] == 1 and frame[34] == 0:
        return "echo", frame[26:30]
    if kind == b"\x86\xdd" and frame[20] == 58:
        if frame[54] == 129:
            return "echo", frame[22:38]
        if frame[54] == 136:
            return "advertisement", frame[62:78]
    return None


class Wire:
    """The other end of the pair."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind(("v1", 0))
        self._mac = bytes.fromhex(_mac("v0"))

    def hears(self, kind: str, target: str, within_s: float = SILENCE_S) -> bool:
        """Ask once, and listen."""
        address = ip_address(target)
        if isinstance(address, IPv4Address):
            frame = arp_request(address) if kind == "arp" else echo(self._mac, address)
        else:
            frame = solicitation(address) if kind == "advertisement" else echo6(self._mac, address)
        self._socket.send(frame)
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data, where = self._socket.recvfrom(2048)
            except TimeoutError:
                return False
            if where[2] != socket.PACKET_OUTGOING and tells(data) == (kind, address.packed):
                return True
        return False

    def answers(self, target: str) -> bool:
        """Both on the link and to IP, or none; AssertionError if it is one of them."""
        link = "arp" if ip_address(target).version == 4 else "advertisement"
        heard = {kind: self.hears(kind, target) for kind in (link, "echo")}
        assert len(set(heard.values())) == 1, heard
        return heard[link]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(ip: Ip) -> Iterator[Wire]:
    """Four virtual addresses on v0, and who asks for them at v1; none is guarded."""
    for target in (FOUR, OTHER_FOUR, SIX, LINK):
        ip(
            f"addr add {vip(target).address}/{vip(target).prefix_length} dev v0"
            + (" nodad" if ":" in target else "")
        )
    ip("addr add fd00::1/64 dev v0 nodad")
    for neighbour in (ASKER, ASKER_6, LINK_ASKER):
        ip(f"neigh replace {neighbour} lladdr {ASKER_MAC.hex(':')} dev v0 nud permanent")
    made = Wire()
    end = time.monotonic() + PATIENCE_S
    while not all(made.answers(target) for target in (FOUR, OTHER_FOUR, SIX, LINK)):
        assert time.monotonic() < end
    yield made
    made.close()


# -- the tables ------------------------------------------------------------------------


@contextmanager
def tables(clock: Callable[[], Micros] = boottime) -> Iterator[Tables]:
    made = Tables(clock)
    assert made.make() == 0
    try:
        yield made
    finally:
        made.close(release=True)


def guard(owner: str, until: Micros, *targets: str) -> Guard:
    return Guard(
        owner, tuple(gate_rules.key_of(vip(target)) for target in targets), until, lambda error: None
    )


def ruleset() -> str:
    return subprocess.run(
        ["nft", "list", "ruleset"], capture_output=True, text=True, timeout=10, check=True
    ).stdout


@pytest.mark.parametrize("target", [FOUR, SIX, LINK])
def test_passes_while_its_time_runs_and_then_no_more(wire: Wire, target: str) -> None:
    with tables() as made:
        assert made.carry_out([guard("A", soon(400_000), target)]) == 0
        until = soon(300_000)
        made.carry_out([Extend("A", until)])
        answered = boottime()
        assert wire.answers(target) and answered < until
        while wire.hears("echo", target, 0.02):
            assert boottime() < until
        assert not wire.answers(target)
        made.carry_out([Extend("A", soon())])
        assert wire.answers(target)
        made.carry_out([Release("A")])
        assert wire.answers(target)
    assert ruleset() == ""


def test_others_are_left_alone(wire: Wire) -> None:
    with tables() as made:
        assert made.carry_out([guard("A", Micros(0), FOUR, SIX)]) == 0
        assert [wire.answers(target) for target in (FOUR, OTHER_FOUR, SIX, LINK)] == [
            False,
            True,
            False,
            True,
        ]


def test_a_link_local_address_counts_with_its_interface(wire: Wire) -> None:
    with tables() as made:
        made.carry_out([Guard("A", (gate_rules.key_of(vip(LINK, "v7")),), Micros(0), lambda error: None)])
        assert wire.answers(LINK)
        made.carry_out([guard("B", Micros(0), LINK)])
        assert not wire.answers(LINK)


def test_who_does_not_hold_it_may_talk_to_it(wire: Wire, ip: Ip) -> None:
    """Not even what is guarded here matters to who only sends there."""
    ip(f"addr del {FOUR}/32 dev v0")
    ip(f"neigh replace {FOUR} lladdr {ASKER_MAC.hex(':')} dev v0 nud permanent")
    with tables() as made, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        made.carry_out([guard("A", Micros(0), FOUR)])
        sender.connect((FOUR, 9))
        assert sender.send(b"x") == 1


def test_nothing_comes_from_it_after_its_time(wire: Wire) -> None:
    with tables() as made, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((FOUR, 0))
        sender.connect((str(ASKER), 9))
        made.carry_out([guard("A", soon(), FOUR)])
        assert sender.send(b"x") == 1
        made.carry_out([Shut("A")])
        with pytest.raises(PermissionError):
            sender.send(b"x")


def test_shut_stays_shut_until_it_is_guarded_anew(wire: Wire) -> None:
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR), Shut("A"), Extend("A", soon())])
        assert not wire.answers(FOUR)
        made.carry_out([Extend("A", soon())])
        assert not wire.answers(FOUR)
        made.carry_out([guard("A", soon(), FOUR)])
        assert wire.answers(FOUR)


def test_an_address_of_two_owners_passes_while_one_lets_it(wire: Wire) -> None:
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR), guard("B", soon(), FOUR, SIX)])
        made.carry_out([Shut("B")])
        assert wire.answers(FOUR) and not wire.answers(SIX)
        made.carry_out([Shut("A"), Release("B")])
        assert not wire.answers(FOUR) and wire.answers(SIX)
        made.carry_out([Release("A")])
        assert wire.answers(FOUR)


def test_other_addresses_after_a_reload(wire: Wire) -> None:
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR), Shut("A")])
        made.carry_out([guard("A", Micros(0), OTHER_FOUR)])
        assert wire.answers(FOUR) and not wire.answers(OTHER_FOUR)


def test_an_unknown_owner_changes_nothing(wire: Wire) -> None:
    with tables() as made:
        assert made.carry_out([Extend("A", soon()), Shut("B"), Release("C")]) == 0
        assert "elements" not in ruleset()


def test_a_request_that_comes_late_is_refused_and_made_anew(wire: Wire) -> None:
    """Stopped between looking at the clock and asking: the kernel must not count from when it is asked."""
    looks = 0
    until = Micros(0)

    def clock() -> Micros:
        nonlocal looks
        looks += 1
        found = boottime()
        if until and looks == 2:
            # The process is stopped just after it has read the clock.
            while boottime() < until + 50_000:
                time.sleep(0.01)
        return found

    with tables(clock) as made:
        made.carry_out([guard("A", soon(), FOUR)])
        looks, until = 0, soon(300_000)
        assert made.carry_out([Extend("A", until)]) == 0
        assert looks > 2
        assert not wire.answers(FOUR)


def test_somebody_flushes_the_rule_set(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on kernels that know no owners; with one it survives.
    monkeypatch.setattr(gate, "_OWNED", 0)
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR), guard("B", Micros(0), SIX)])
        subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=10)
        assert wire.answers(SIX)
        assert made.carry_out([Extend("A", soon(LONG_US // 2))]) == 0
        assert wire.answers(FOUR) and not wire.answers(SIX)


def test_a_flush_does_not_touch_what_is_owned(wire: Wire) -> None:
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR), guard("B", Micros(0), SIX)])
        subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=10)
        if not made._flags:
            # The kernel is older than that: the next extension puts it right.
            made.carry_out([Extend("A", soon(LONG_US // 2))])
        assert wire.answers(FOUR) and not wire.answers(SIX)


@pytest.mark.parametrize("owned", [True, False])
def test_a_later_life_goes_on_guarding(wire: Wire, monkeypatch: pytest.MonkeyPatch, owned: bool) -> None:
    if not owned:
        monkeypatch.setattr(gate, "_OWNED", 0)
    before = Tables()
    assert before.make() == 0
    assert before.carry_out([guard("A", Micros(0), FOUR, SIX, LINK)]) == 0
    before.close(release=False)
    assert not wire.answers(FOUR)
    with tables() as made:
        assert made.name == before.name
        assert not any(wire.answers(target) for target in (FOUR, SIX, LINK))
        made.carry_out([guard("A", soon(), SIX)])
        assert [wire.answers(target) for target in (FOUR, SIX, LINK)] == [False, True, False]
        made.carry_out([Release("A")])
        assert [wire.answers(target) for target in (FOUR, SIX, LINK)] == [False, True, False]
        made.carry_out([Release(LEFTOVERS)])
        assert all(wire.answers(target) for target in (FOUR, SIX, LINK))


@pytest.mark.parametrize("owned", [True, False])
def test_several_in_one_network_namespace(wire: Wire, monkeypatch: pytest.MonkeyPatch, owned: bool) -> None:
    if not owned:
        monkeypatch.setattr(gate, "_OWNED", 0)
    with tables() as one:
        one.carry_out([guard("A", Micros(0), FOUR)])
        with tables() as other:
            assert other.name != one.name
            other.carry_out([guard("A", Micros(0), SIX)])
            assert not wire.answers(FOUR) and not wire.answers(SIX)
            one.carry_out([Extend("A", soon())])
            assert wire.answers(FOUR) and not wire.answers(SIX)
        assert wire.answers(SIX)


@pytest.mark.parametrize("owned", [True, False])
def test_who_needs_no_gate_removes_what_the_dead_left(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, owned: bool
) -> None:
    assert gate.clear_leftovers() == 0
    if not owned:
        monkeypatch.setattr(gate, "_OWNED", 0)
    before = Tables()
    assert before.make() == 0
    with tables() as living:
        before.carry_out([guard("A", Micros(0), FOUR)])
        before.close(release=False)
        living.carry_out([guard("A", Micros(0), SIX)])
        assert gate.clear_leftovers() == 0
        assert wire.answers(FOUR) and not wire.answers(SIX)


def test_guarded_and_released_in_one_go(ip: Ip) -> None:
    with tables() as made:
        assert made.carry_out([guard("A", soon(), FOUR), Extend("A", soon()), Release("A")]) == 0
        assert made.waits_us is None


def test_what_is_released_with_a_table_that_somebody_deleted(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_OWNED", 0)
    with tables() as made:
        made.carry_out([guard("A", Micros(0), FOUR), guard("B", Micros(0), SIX)])
        subprocess.run(["nft", "delete", "table", "arp", made.name], check=True, timeout=10)
        assert made.carry_out([Release("A")]) == 0
        assert wire.answers(FOUR) and not wire.answers(SIX)


def test_the_kernel_hears_of_more_time_when_a_third_is_over(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    commit = nftables.Channel.commit

    def counted(self: nftables.Channel, messages: Sequence[nftables.Message]) -> int:
        commits.append(len(messages))
        return commit(self, messages)

    monkeypatch.setattr(nftables.Channel, "commit", counted)
    start = time_us = 1_000_000_000

    def told(made: Tables, *orders: gate.Order) -> bool:
        commits.clear()
        assert made.carry_out(orders) == 0
        return bool(commits)

    def waits(made: Tables) -> Micros | None:
        return made.waits_us

    with tables(lambda: Micros(time_us)) as made:
        assert told(made, guard("A", Micros(start + 300_000), FOUR))
        assert waits(made) is None
        assert not told(made, Extend("A", Micros(start + 360_000)))
        assert waits(made) == 100_000
        time_us = start + 100_000
        assert waits(made) == 0
        assert told(made)
        assert not told(made, Extend("A", Micros(start + 400_000)))
        # With another change it goes at once, and less time is such a change.
        assert told(made, guard("B", Micros(start + 400_000), SIX))
        assert waits(made) is None
        assert told(made, Extend("A", Micros(start + 350_000)))
        time_us = start + 500_000
        assert told(made, Extend("A", Micros(start + 900_000)))


def test_nft_can_load_what_it_lists(wire: Wire, tmp_path: Path) -> None:
    with tables() as made:
        made.carry_out([guard("A", soon(), FOUR, SIX, LINK)])
        lines = [
            line for line in ruleset().replace(made.name, "other").splitlines() if "flags owner" not in line
        ]
        saved = tmp_path / "saved.nft"
        saved.write_text("\n".join(lines) + "\n")
        subprocess.run(["nft", "-c", "-f", str(saved)], check=True, timeout=10)


def test_older_kernels_need_an_element_to_be_removed_before_it_gets_another_time() -> None:
    for sets, keys in ((2, (FOUR,)), (1, (SIX,)), (4, (FOUR, SIX, LINK))):
        found = gate_rules.opened("t", tuple(gate_rules.key_of(vip(key)) for key in keys), 100)
        kinds = [message.kind for message in found]
        new, gone = nftables.Kind.NEW_ELEMENTS, nftables.Kind.DELETE_ELEMENTS
        assert kinds == [new, gone, new] * sets


def test_a_ticket_is_whole_ticks() -> None:
    assert [gate._ticket_ms(tick) for tick in (0.001, 0.004, 0.00333, 0.01)] == [8, 8, 6, 10]


def test_no_room_for_another_table(monkeypatch: pytest.MonkeyPatch, ip: Ip) -> None:
    monkeypatch.setattr(gate, "_SLOTS", 1)
    with tables(), pytest.raises(OSError) as refused:
        Tables()
    assert refused.value.errno == errno.EADDRINUSE


# -- the port ----------------------------------------------------------------------------


def with_gate(scenario: Callable[[NftGate], Awaitable[None]], release: bool = True) -> list[str]:
    lines: list[str] = []

    async def main() -> None:
        opened = NftGate(lines.append)
        assert await opened.open() == 0
        try:
            await scenario(opened)
        finally:
            await opened.close(release)

    asyncio.run(asyncio.wait_for(main(), 20))
    return lines


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_calls_take_effect_in_their_order(wire: Wire) -> None:
    async def scenario(opened: NftGate) -> None:
        assert opened.works
        assert await opened.guard("A", [vip(FOUR), vip(SIX)], soon()) == Done()
        assert wire.answers(FOUR) and wire.answers(SIX)
        opened.extend("A", soon(300_000))
        opened.shut("A")
        await until(lambda: not wire.hears("echo", FOUR, 0.02))
        assert not wire.answers(SIX)
        opened.release("A")
        await until(lambda: wire.hears("echo", FOUR, 0.02))

    assert with_gate(scenario) == []
    assert ruleset() == ""


def test_what_is_not_released_stays_shut(wire: Wire) -> None:
    async def scenario(opened: NftGate) -> None:
        assert await opened.guard("A", [vip(FOUR)], soon(1000)) == Done()

    with_gate(scenario, release=False)
    assert not wire.answers(FOUR)


def test_extensions_of_one_turn_are_one_batch(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    carry_out = Tables.carry_out

    def counted(self: Tables, orders: Sequence[gate.Order]) -> int:
        if orders:
            batches.append(len(orders))
        return carry_out(self, orders)

    monkeypatch.setattr(Tables, "carry_out", counted)

    async def scenario(opened: NftGate) -> None:
        await opened.guard("A", [vip(FOUR)], soon())
        for _ in range(50):
            opened.extend("A", soon())
        assert await opened.guard("B", [vip(SIX)], soon()) == Done()

    with_gate(scenario)
    assert batches == [1, 51]


def test_a_refusing_kernel_is_told_of_once_a_minute(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(opened: NftGate) -> None:
        await opened.guard("A", [vip(FOUR)], soon())
        with monkeypatch.context() as broken:
            broken.setattr(nftables.Channel, "commit", lambda self, messages: errno.EPERM)
            assert await opened.guard("B", [vip(SIX)], soon()) == Failed(errno.EPERM)
            opened.extend("A", soon())
            assert await opened.guard("C", [vip(SIX)], soon()) == Failed(errno.EPERM)
            seen = opened.works
        assert not seen
        assert await opened.guard("C", [vip(SIX)], soon()) == Done()
        assert opened.works and wire.answers(SIX) and wire.answers(FOUR)

    lines = with_gate(scenario)
    assert len(lines) == 1 and "refused (Operation not permitted)" in lines[0]


def test_after_the_end_nothing_is_guarded(wire: Wire) -> None:
    kept: list[NftGate] = []

    async def scenario(opened: NftGate) -> None:
        kept.append(opened)

    with_gate(scenario)
    assert asyncio.run(kept[0].guard("A", [vip(FOUR)], soon())) == Failed(errno.ESHUTDOWN)
    assert not kept[0].works


def test_without_a_packet_filter_addresses_get_a_lifetime(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        def __init__(self) -> None:
            raise OSError(errno.EPROTONOSUPPORT, "no netfilter")

    monkeypatch.setattr(nftables, "Channel", Without)
    lines: list[str] = []

    async def main() -> None:
        opened = await gate.open_gate(lines.append)
        assert isinstance(opened, LifetimeGate) and not opened.works
        await opened.close(release=True)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert len(lines) == 1 and "no packet filter" in lines[0] and "2 seconds" in lines[0]
