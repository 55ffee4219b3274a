"""Steps of deadlines, worked out shortly before they are due.

The core is a pure function and deadlines are known: unless an event comes in
between, the step of a deadline is the same a millisecond earlier.  What is left
to do at the deadline itself is to send.

Deadlines come in swarms.  A hundred instances that hear one master wait for a
hundred adverts which came within few milliseconds, and when it dies their
deadlines are as close together.  So the whole swarm is worked out, each step on
the node that the one before it leaves, and the more it is, the earlier.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.core import node as core
from keepalived_py.model import events as ev
from keepalived_py.model.effects import Effect

# Late enough for caches to stay warm until the deadline.
_LEAD = Micros(1_000)
# What one step takes, generously.
_EACH = Micros(150)
LONGEST_LEAD = Micros(18_000)
# Deadlines that are so close to the first one belong to its swarm.
_SWARM = Micros(5_000)
# So long before the first deadline nothing more is worked out.
_RESERVE = Micros(200)


Ready = TypeVar("Ready")


class _Foreseen(NamedTuple, Generic[Ready]):
    before: core.Node
    deadline: Micros
    after: core.Node
    ready: Ready


class Foresight(Generic[Ready]):
    """The steps ahead.  `now` is the clock; `prepare` makes of each step's effects what is kept of them."""

    def __init__(self, now: Callable[[], Micros], prepare: Callable[[Sequence[Effect]], Ready]) -> None:
        self._now = now
        self._prepare = prepare
        self._ahead: deque[_Foreseen[Ready]] = deque()

    def lead(self, node: core.Node, deadline: Micros) -> Micros:
        """How long before `deadline`, the next one of `node`, its swarm is to be worked out."""
        return Micros(min(LONGEST_LEAD, _LEAD + _EACH * node.instances.due_by(deadline + _SWARM)))

    def look(self, node: core.Node, deadline: Micros) -> None:
        """Work out the step of `deadline`, and of those that follow it closely."""
        ahead = self._ahead
        ahead.clear()
        due: Micros | None = deadline
        while due is not None and due <= deadline + _SWARM:
            step = core.step(node, ev.Tick(), due)
            ahead.append(_Foreseen(node, due, step.node, self._prepare(step.effects)))
            node, last, due = step.node, due, core.next_deadline(step.node)
            if due == last or self._now() > deadline - _RESERVE:
                break

    def knows(self, node: core.Node) -> bool:
        """Whether the next step of `node` is known."""
        return bool(self._ahead) and self._ahead[0].before is node

    def take(self, node: core.Node) -> tuple[core.Node, Ready] | None:
        """The node after the next step of `node`, and what that step's effects became, if it is due.

        None: it is not due, or an event came in between.
        """
        ahead = self._ahead
        if not ahead:
            return None
        if ahead[0].before is not node:
            ahead.clear()
            return None
        if ahead[0].deadline > self._now():
            return None
        taken = ahead.popleft()
        return taken.after, taken.ready

    @property
    def ends(self) -> Micros | None:
        """The last deadline that is foreseen."""
        return self._ahead[-1].deadline if self._ahead else None

    def forget(self) -> None:
        """Nothing that was foreseen holds any more."""
        self._ahead.clear()
