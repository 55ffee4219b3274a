"""Effects in order, lanes beside each other, and nothing for ever."""

import asyncio
from collections.abc import Awaitable

from keepalived_py.election.lanes import Lanes
from keepalived_py.model.effects import Done, Effect, Failed, Outcome, TimedOut, WriteLog


class Hands:
    """Performs a `WriteLog` effect by what its text says, and writes down what it did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.outcomes: list[tuple[str, Outcome]] = []

    def perform(self, effect: Effect) -> Awaitable[Outcome] | Outcome:
        assert isinstance(effect, WriteLog)
        if effect.text.startswith("fails"):
            raise OSError(22, "no")
        if effect.text.startswith("slow"):
            return self._slow(effect.text)
        self.done.append(effect.text)
        return Done()

    async def _slow(self, text: str) -> Outcome:
        await asyncio.sleep(30 if "never" in text else 0.01)
        self.done.append(text)
        return Done()

    def report(self, effect: Effect, outcome: Outcome) -> None:
        assert isinstance(effect, WriteLog)
        self.outcomes.append((effect.text, outcome))


def lanes(hands: Hands, limit_s: float = 5.0) -> Lanes:
    return Lanes(hands.perform, hands.report, limit_s)


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

    assert asyncio.run(run()) == [("slow never", TimedOut()), ("next", Done())]


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
