"""Effects in order, lanes beside each other, and nothing for ever."""

import asyncio
from collections.abc import Awaitable, Sequence
from ipaddress import IPv4Address

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.lanes import Lanes
from keepalived_py.model.effects import (
    AddAddress,
    DeleteAddress,
    Done,
    Effect,
    Failed,
    KernelChange,
    Outcome,
    TimedOut,
    WriteLog,
)
from keepalived_py.model.network import VirtualAddress


class Hands:
    """Performs a `WriteLog` effect by what its text says, and writes down what it did.

    A batch is written down as the addresses in it; `kernel` is its outcome, or None for never.
    """

    def __init__(self, kernel: Outcome | OSError | None = Done()) -> None:  # noqa: B008  # an immutable value
        self.kernel = kernel
        self.done: list[str] = []
        self.outcomes: list[tuple[str, Outcome]] = []

    def perform(self, effect: Effect) -> Awaitable[Outcome] | Outcome:
        assert isinstance(effect, WriteLog)
        if effect.text.startswith("fails"):
            raise OSError(22, "no")
        if effect.text.startswith("bug"):
            raise ValueError(effect.text)
        if effect.text.startswith("slow"):
            return self._slow(effect.text)
        self.done.append(effect.text)
        return Done()

    async def _slow(self, text: str) -> Outcome:
        await asyncio.sleep(30 if "never" in text else 0.01)
        if "fails" in text:
            raise OSError(22, "no")
        self.done.append(text)
        return Done()

    async def batch(self, changes: Sequence[KernelChange]) -> Sequence[Outcome]:
        await asyncio.sleep(30 if self.kernel is None else 0.01)
        self.done.append(" ".join(named(change) for change in changes))
        if isinstance(self.kernel, OSError):
            raise self.kernel
        return [self.kernel or Done()] * len(changes)

    def report(self, effect: Effect, outcome: Outcome) -> None:
        self.outcomes.append((named(effect), outcome))


def named(effect: Effect) -> str:
    """The text of a log line, or the last number of an address that is added (+) or deleted (-)."""
    if isinstance(effect, AddAddress):
        return f"+{str(effect.address.address).rpartition('.')[2]}"
    if isinstance(effect, DeleteAddress):
        return f"-{str(effect.address.address).rpartition('.')[2]}"
    assert isinstance(effect, WriteLog)
    return effect.text


def address(host: int) -> VirtualAddress:
    return VirtualAddress(IPv4Address(0x0A000000 + host), 32, InterfaceName("eth0"))


def add(host: int) -> AddAddress:
    return AddAddress(InstanceName("a"), address(host))


def drop(host: int) -> DeleteAddress:
    return DeleteAddress(InstanceName("a"), address(host))


def lanes(hands: Hands, limit_s: float = 5.0) -> Lanes:
    return Lanes(hands.perform, hands.batch, hands.report, limit_s)


def put(to: Lanes, lane: str, *texts: str) -> None:
    for text in texts:
        to.put(lane, WriteLog(text))


def test_a_lane_keeps_its_order() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "slow address", "arp", "slow second", "notify")
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["slow address", "arp", "slow second", "notify"]


def test_lanes_do_not_wait_for_each_other() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "slow a")
        put(under_test, "b", "b")
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["b", "slow a"]


def test_a_group_is_told_after_all_its_members() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "slow a", "a told")
        put(under_test, "b", "slow b", "slow b again", "b told")
        under_test.put_all("group", [WriteLog("group told")], after=("a", "b", "group", "no such"))
        put(under_test, "group", "group again")
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run())[-3:] == ["b told", "group told", "group again"]


def test_a_group_does_not_wait_for_a_hanging_member_for_ever() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands, limit_s=0.05)
        put(under_test, "a", "slow never", "slow never again", "slow never more")
        under_test.put_all("group", [WriteLog("group told")], after=("a",))
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["group told"]


def test_what_needs_no_waiting_is_done_on_the_spot() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "arp", "arp again")
        assert not under_test.busy
        return hands.done

    assert asyncio.run(run()) == ["arp", "arp again"]


def test_a_hanging_effect_times_out_and_the_lane_goes_on() -> None:
    async def run() -> list[tuple[str, Outcome]]:
        hands = Hands()
        under_test = lanes(hands, limit_s=0.05)
        put(under_test, "a", "slow never", "next")
        assert await under_test.drained(2)
        return hands.outcomes

    assert asyncio.run(run()) == [("next", Done()), ("slow never", TimedOut())]


def test_an_error_is_an_outcome() -> None:
    async def run() -> list[tuple[str, Outcome]]:
        hands = Hands()
        put(lanes(hands), "a", "fails")
        return hands.outcomes

    assert asyncio.run(run()) == [("fails", Failed(22))]


def test_drained_says_when_it_gave_up() -> None:
    async def run() -> bool:
        under_test = lanes(Hands())
        put(under_test, "a", "slow never")
        return await under_test.drained(0.02)

    assert asyncio.run(run()) is False


def test_what_waits_can_be_forgotten() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "slow address", "arp", "notify")
        under_test.discard("a", lambda effect: isinstance(effect, WriteLog) and effect.text == "arp")
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["slow address", "notify"]


def test_changes_that_stand_together_are_one_batch() -> None:
    async def run() -> Hands:
        hands = Hands()
        under_test = lanes(hands)
        arp, late = WriteLog("arp"), WriteLog("notify")
        under_test.put_all("a", [drop(1), add(2), add(3), arp, add(4), late])
        under_test.put("a", add(5))
        under_test.put("a", add(6))
        assert await under_test.drained(2)
        return hands

    hands = asyncio.run(run())
    assert hands.done == ["-1 +2 +3", "arp", "+4", "notify", "+5 +6"]
    # What waits is begun first, then the outcome of what was before it is reported.
    assert [name for name, _ in hands.outcomes] == ["arp", "-1", "+2", "+3", "notify", "+4", "+5", "+6"]


@pytest.mark.parametrize(
    ("kernel", "expected"), [(Failed(1), Failed(1)), (OSError(1, "no"), Failed(1)), (None, TimedOut())]
)
def test_each_change_of_a_batch_has_its_outcome(kernel: Outcome | OSError | None, expected: Outcome) -> None:
    async def run() -> list[tuple[str, Outcome]]:
        hands = Hands(kernel)
        under_test = lanes(hands, limit_s=0.05)
        under_test.put_all("a", [add(1), add(2), WriteLog("arp")])
        assert await under_test.drained(2)
        return hands.outcomes

    assert asyncio.run(run()) == [("arp", Done()), ("+1", expected), ("+2", expected)]


def test_what_follows_a_batch_does_not_wait_for_another_turn() -> None:
    async def run() -> list[str]:
        hands = Hands()
        loop = asyncio.get_running_loop()

        def report(effect: Effect, outcome: Outcome) -> None:
            if named(effect) == "+1":
                loop.call_soon(hands.done.append, "another turn of the loop")

        under_test = Lanes(hands.perform, hands.batch, report, 5)
        under_test.put_all("a", [add(1), WriteLog("arp")])
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["+1", "arp", "another turn of the loop"]


def test_effects_put_by_a_report_come_after_those_that_wait() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = Lanes(hands.perform, hands.batch, lambda effect, outcome: again(effect), 5)

        def again(effect: Effect) -> None:
            if named(effect) == "+1":
                under_test.put("a", WriteLog("again"))

        under_test.put_all("a", [add(1), WriteLog("arp")])
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["+1", "arp", "again"]


def test_a_slow_failure_is_an_outcome() -> None:
    async def run() -> list[tuple[str, Outcome]]:
        hands = Hands()
        under_test = lanes(hands)
        put(under_test, "a", "slow fails", "next")
        assert await under_test.drained(2)
        return hands.outcomes

    assert asyncio.run(run()) == [("next", Done()), ("slow fails", Failed(22))]


def test_a_bug_does_not_close_a_lane_for_ever() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        with pytest.raises(ValueError, match="bug"):
            put(under_test, "a", "bug")
        put(under_test, "a", "next")
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["next"]


def test_lanes_that_are_put_together_share_a_request() -> None:
    async def run() -> Hands:
        hands = Hands()
        under_test = lanes(hands)
        arp = WriteLog("arp a"), WriteLog("arp b")
        under_test.put_many({"a": [add(1), arp[0]], "b": [add(2), drop(3), arp[1]]})
        assert await under_test.drained(2)
        return hands

    hands = asyncio.run(run())
    assert hands.done == ["+1 +2 -3", "arp a", "arp b"]
    assert [name for name, _ in hands.outcomes] == ["arp a", "arp b", "+1", "+2", "-3"]


def test_a_repetition_waits_until_every_lane_has_had_its_turn() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        a, b = WriteLog("a"), WriteLog("b")
        under_test.put_many({"a": [a, a, WriteLog("a told")], "b": [b, b]})
        assert await under_test.drained(2)
        return hands.done

    assert asyncio.run(run()) == ["a", "b", "a", "a told", "b"]


def test_a_mistake_in_one_lane_does_not_stop_the_others() -> None:
    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        with pytest.raises(ValueError, match="bug"):
            under_test.put_many({"a": [WriteLog("bug"), WriteLog("never")], "b": [WriteLog("b")]})
        assert not under_test.busy
        return hands.done

    assert asyncio.run(run()) == ["b"]


def test_repetitions_wait_for_what_the_kernel_does_for_others() -> None:
    """Each is announced once before any is announced again, even if the kernel was asked one after the other."""

    async def run() -> list[str]:
        hands = Hands()
        under_test = lanes(hands)
        under_test.put_all("b", [add(2), *[WriteLog("arp b")] * 2])
        again = WriteLog("arp a")
        under_test.put_all("a", [again, again, again])
        asked = under_test.asking
        assert await under_test.drained(2)
        assert (asked, under_test.asking) == (True, False)
        return hands.done

    assert asyncio.run(run()) == ["arp a", "+2", "arp b", "arp a", "arp b", "arp a"]


def test_nobody_waits_for_ever_for_a_kernel_that_does_not_answer() -> None:
    async def run() -> list[str]:
        hands = Hands(kernel=None)
        under_test = lanes(hands)
        under_test.put("b", add(2))
        again = WriteLog("arp a")
        under_test.put_all("a", [again, again, again])
        while len(hands.done) < 3:
            await asyncio.sleep(0.001)
        return hands.done

    assert asyncio.run(asyncio.wait_for(run(), 2)) == ["arp a"] * 3
