"""Effects of the decisions about virtual servers, performed in their order.

All changes of the kernel's table that one step leads to are one request, and are made
before anything of that step is said or told: whoever hears of a change finds it made.
A request takes the kernel some microseconds, so ten thousand of one each, as at the
end of ten thousand servers, would take longer than the end may.  For the same reason
servers are not taken out one by one of a service that goes in the same step: they go
with it.  The kernel looks for each of them from the first on, so that takes it a
square of their number.

Nothing here waits but for the kernel: programs and mails are only ordered.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from keepalived_py.health.ports import Machine
from keepalived_py.model.check_events import CheckEffect, SendAlert, StartCheck
from keepalived_py.model.effects import Done, Failed, Outcome, RunNotify, WriteFifo, WriteLog
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    FlushTable,
    Service,
    TableChange,
)
from keepalived_py.system.ipvs_words import complaint_of

_CHANGES = (
    AddService,
    EditService,
    DeleteService,
    AddDestination,
    EditDestination,
    DeleteDestination,
    FlushTable,
)


class Performer:
    """Hands effects to `machine`; checks are begun by `begin`, and `changed` hears of each change made."""

    def __init__(
        self, machine: Machine, begin: Callable[[StartCheck], None], changed: Callable[[TableChange], None]
    ) -> None:
        self._machine = machine
        self._begin = begin
        self._changed = changed

    def perform(self, effects: Iterable[CheckEffect]) -> None:
        """Perform all of them, in order."""
        order = tuple(effects)
        outcomes = iter(self._made([effect for effect in order if isinstance(effect, _CHANGES)]))
        for effect in order:
            match effect:
                case (
                    AddService()
                    | EditService()
                    | DeleteService()
                    | AddDestination()
                    | EditDestination()
                    | DeleteDestination()
                    | FlushTable()
                ):
                    self._hear(effect, next(outcomes))
                case _:
                    self._other(effect)

    def _other(self, effect: StartCheck | SendAlert | RunNotify | WriteFifo | WriteLog) -> None:
        machine = self._machine
        match effect:
            case WriteLog():
                (machine.log.detail if effect.detail else machine.log.info)(effect.text)
            case StartCheck():
                self._begin(effect)
            case RunNotify():
                machine.programs.notify(effect.command)
            case WriteFifo():
                machine.fifos.write(effect.line)
            case SendAlert():
                machine.mail.send(effect)
            case _:
                assert_never(effect)

    def _hear(self, change: TableChange, outcome: Outcome) -> None:
        line = complaint_of(change, outcome)
        if line is not None:
            self._machine.log.info(line)
        if not isinstance(outcome, Failed):
            self._changed(change)

    def _made(self, changes: Sequence[TableChange]) -> list[Outcome]:
        """Have them made; the outcome of each."""
        if not changes:
            return []
        needless = _needless(changes)
        if not needless:
            return list(self._machine.ipvs.apply(changes))
        needed = [change for at, change in enumerate(changes) if at not in needless]
        outcomes = iter(self._machine.ipvs.apply(needed))
        return [Done() if at in needless else next(outcomes) for at in range(len(changes))]


def _needless(changes: Sequence[TableChange]) -> set[int]:
    """The places of those that take a server out of a service which goes after that."""
    going: set[Service] = set()
    found: set[int] = set()
    for at in range(len(changes) - 1, -1, -1):
        change = changes[at]
        if isinstance(change, DeleteService):
            going.add(change.service)
        elif isinstance(change, DeleteDestination) and change.service in going:
            found.add(at)
    return found
