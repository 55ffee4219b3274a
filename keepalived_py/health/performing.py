"""Effects of the decisions about virtual servers, performed in their order.

Changes of the kernel's table that follow each other are one request.  Nothing here
waits but for the kernel: programs and mails are only ordered.
"""

from collections.abc import Callable, Iterable
from typing import assert_never

from keepalived_py.health.ports import Machine
from keepalived_py.model.check_events import CheckEffect, SendAlert, StartCheck
from keepalived_py.model.effects import Failed, RunNotify, WriteFifo, WriteLog
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    FlushTable,
    TableChange,
)
from keepalived_py.system.ipvs_words import complaint_of


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
        changes: list[TableChange] = []
        for effect in effects:
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
                    changes.append(effect)
                case _:
                    self._flush(changes)
                    self._other(effect)
        self._flush(changes)

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

    def _flush(self, changes: list[TableChange]) -> None:
        if not changes:
            return
        for change, outcome in zip(changes, self._machine.ipvs.apply(changes), strict=True):
            line = complaint_of(change, outcome)
            if line is not None:
                self._machine.log.info(line)
            if not isinstance(outcome, Failed):
                self._changed(change)
        changes.clear()
