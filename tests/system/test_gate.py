"""The gate, as packets meet it: frames go in at one end of a veth pair, the address is at the other."""

import errno
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.system import gate, gate_rules, nftables
from keepalived_py.system.clocks import boottime
from keepalived_py.system.gate import LEFTOVERS, Extend, Guard, Release, Shut, Tables

from .conftest import Ip
from .gate_wire import ASKER, ASKER_MAC, FOUR, LINK, LONG_US, OTHER_FOUR, SIX, Wire, soon, vip


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
    assert gate.clear_leftovers() == (0, 0)
    if not owned:
        monkeypatch.setattr(gate, "_OWNED", 0)
    before = Tables()
    assert before.make() == 0
    with tables() as living:
        before.carry_out([guard("A", Micros(0), FOUR)])
        before.close(release=False)
        living.carry_out([guard("A", Micros(0), SIX)])
        assert gate.clear_leftovers() == (0, 0)
        assert wire.answers(FOUR) and not wire.answers(SIX)


def test_what_is_still_on_the_machine_stays_shut(wire: Wire) -> None:
    """Nobody has taken it out: another machine may hold it by now."""
    before = Tables()
    before.carry_out([guard("A", Micros(0), FOUR)])
    before.close(release=False)
    present = frozenset({ip_address(FOUR).packed})
    assert gate.clear_leftovers(present) == (0, 1)
    assert not wire.answers(FOUR)
    counts: list[int] = []
    made = Tables()
    assert made.make() == 0 and made.carry_out([gate.Tidy(present, counts.append)]) == 0
    made.close(release=True)
    assert counts == [1] and not wire.answers(FOUR)
    assert gate.clear_leftovers() == (0, 0)
    assert wire.answers(FOUR)


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
