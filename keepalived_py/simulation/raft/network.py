"""The wire between members: which copies of a message arrive, and when.

Cuts have a direction.  Copies may overtake each other, whatever the sender's order.
"""

from random import Random

from keepalived_py.base.names import MemberId

Pair = tuple[MemberId, MemberId]
_PERCENT = 100


class Network:
    """`fast_us` is the range of ordinary delays; `slow_us` that of `slow_percent` of all messages."""

    def __init__(self, random: Random, fast_us: tuple[int, int]) -> None:
        self._random = random
        self.fast_us = fast_us
        self.slow_us = fast_us
        self.slow_percent = self.loss_percent = self.double_percent = 0
        self.cut: set[Pair] = set()

    def heal(self) -> None:
        """Everything arrives, once, in a short time."""
        self.slow_percent = self.loss_percent = self.double_percent = 0
        self.cut.clear()

    def part(self, ones: set[MemberId], others: set[MemberId], *, one_way: bool = False) -> None:
        """Nothing gets from `ones` to `others`, and without `one_way` nothing back."""
        for one in ones:
            for other in others:
                self.cut.add((one, other))
                if not one_way:
                    self.cut.add((other, one))

    def delays(self, pair: Pair) -> list[int]:
        """After how long each copy arrives; none: the message is lost."""
        if pair in self.cut or self._happens(self.loss_percent):
            return []
        copies = 2 if self._happens(self.double_percent) else 1
        return [self._delay() for _ in range(copies)]

    def _delay(self) -> int:
        low, high = self.slow_us if self._happens(self.slow_percent) else self.fast_us
        return low + int(self._random.random() * (high - low))

    def _happens(self, percent: int) -> bool:
        return percent > 0 and self._random.random() * _PERCENT < percent
