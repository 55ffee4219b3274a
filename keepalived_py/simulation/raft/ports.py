"""What a host needs of the world around it."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.model import raft_events as ev
from keepalived_py.model.raft import RaftMessage
from keepalived_py.simulation.raft.judge import Judged


class Shooter(Protocol):
    """Who wants to know how a fencing ended."""

    def later(self, after_us: int, work: Callable[[], None]) -> None:
        """The process will do a piece of work."""
        ...

    def feed(self, event: ev.RaftEvent) -> None:
        """One step of the core."""
        ...


class Surroundings(Protocol):
    """True time, the wire, and those who watch."""

    random: Random

    def now(self) -> int:
        """True time."""
        ...

    def at(self, true_us: int, work: Callable[[], None]) -> None:
        """Do something at a true instant that is not over."""
        ...

    def send(self, sender: MemberId, to: MemberId, message: RaftMessage) -> None:
        """A message leaves."""
        ...

    def fence(self, host: Shooter, order: ev.Fence) -> None:
        """Somebody shall be shot."""
        ...

    def note(self, host: MemberId, event: ev.RaftEvent, effects: tuple[ev.RaftEffect, ...]) -> None:
        """A step was taken."""
        ...

    def granted(self, host: Judged, grant: ev.Grant) -> None:
        """A lease begins."""
        ...

    def extended(self, host: Judged, lease: LeaseName) -> None:
        """A lease goes on."""
        ...

    def lost(self, host: Judged, loss: ev.Lose) -> None:
        """A lease is over or given up."""
        ...

    def reachable(self, host: Judged, lease: LeaseName) -> None:
        """The addresses of a lease are in the kernel."""
        ...
