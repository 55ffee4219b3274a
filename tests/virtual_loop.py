"""A loop for tests in which time is only what is waited for."""

import asyncio
import selectors


class _Jumping(selectors.DefaultSelector):
    """Never waits: it jumps to the end of the wait."""

    clock = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.clock += timeout or 0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only while it waits."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.clock
