"""The checks of the servers, as far as the rules of virtual servers need them: what each one says."""

from dataclasses import dataclass, field
from typing import Self

from keepalived_py.simulation.checks.scenario import CheckPlan


@dataclass
class Check:
    """A check.  `up`: what it says, or is taken to say until it has run."""

    up: bool
    has_run: bool
    alpha: bool


@dataclass
class Checks:
    """All checks of one server, and what they add to its weight."""

    by_number: dict[int, Check] = field(default_factory=dict)
    extra: int = 0

    @classmethod
    def begun(cls, plans: tuple[CheckPlan, ...]) -> Self:
        """With alpha a check counts as failed until it has succeeded."""
        return cls({plan.number: Check(not plan.alpha, False, plan.alpha) for plan in plans})

    @classmethod
    def migrated(cls, plans: tuple[CheckPlan, ...], old: Self, alive: bool) -> Self:
        """After a reload: those that were there go on; new ones are believed, but where something failed."""
        made = cls({plan.number: Check(True, False, plan.alpha) for plan in plans}, old.extra)
        for number, check in made.by_number.items():
            before = old.by_number.get(number)
            if before is not None and before.has_run:
                check.up, check.has_run = before.up, True
        ran = [check for check in made.by_number.values() if check.has_run]
        if not all(check.up for check in ran) or (not alive and not ran):
            for check in made.by_number.values():
                if not check.has_run and check.alpha:
                    check.up = False
        return made

    @property
    def failed(self) -> int:
        """How many say that the server is down."""
        return sum(not check.up for check in self.by_number.values())

    @property
    def all_up(self) -> bool:
        """Whether the server is alive."""
        return not self.failed
