"""The words a scenario is written in: what is done to a daemon, and what is waited for afterwards.

A play is configurations and steps.  The same play is given to the real keepalived
and to the daemon under test, each in an arena of its own (a network, process and
mount namespace inside a kernel that has IPVS), and what each step left behind is
kept: the table, the FIFO, the notify programs and the log.

A step waits for a condition and then for quiet, never for a time alone; so a slow
machine makes a play longer, not different.  `View` is what a condition may look at;
counts and lists in it begin anew with each step.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Table = dict[str, dict[str, int]]


@dataclass(slots=True)
class View:
    """What is so now, and what came since the step began.

    `table`: service ("TCP 10.5.0.1:80", "FWM 7") -> destination ("10.5.0.11:80") -> weight, in the kernel's order.
    `contacts`: how often each real server was asked.
    """

    table: Table
    contacts: Counter[str]
    log: list[str]
    fifo: list[str]
    notes: list[str]

    def weights(self, destination: str) -> list[int]:
        """The destination's weight in each service that has it."""
        return [servers[destination] for servers in self.table.values() if destination in servers]


Condition = Callable[[View], bool]


def has(*destinations: str) -> Condition:
    """Each of them is in some service."""
    return lambda view: all(view.weights(one) for one in destinations)


def lacks(*destinations: str) -> Condition:
    """None of them is in any service."""
    return lambda view: not any(view.weights(one) for one in destinations)


def weighs(destination: str, weight: int) -> Condition:
    """It is in the table with this weight wherever it is."""
    return lambda view: set(view.weights(destination)) == {weight}


def services(count: int) -> Condition:
    """So many services are in the table."""
    return lambda view: len(view.table) == count


def contacted(*servers: str, times: int = 1) -> Condition:
    """Each of these real servers (or files of scripts) was asked so often in this step."""
    return lambda view: all(view.contacts[one] >= times for one in servers)


def logged(text: str, times: int = 1) -> Condition:
    """So many lines of the log contain this text."""
    return lambda view: sum(text in line for line in view.log) >= times


def told(text: str) -> Condition:
    """The FIFO has said this line."""
    return lambda view: text in view.fifo


def both(*conditions: Condition) -> Condition:
    """All of them hold."""
    return lambda view: all(one(view) for one in conditions)


def at_once(view: View) -> bool:
    """Nothing has to come first."""
    return True


# -- what can be done ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Start the daemon with configuration `file` of the play."""

    file: int = 0
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reload:
    """Put configuration `file` in place of the one before and send SIGHUP."""

    file: int


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM, and wait for the end."""


@dataclass(frozen=True, slots=True)
class KillChecks:
    """SIGKILL to the process that checks."""


@dataclass(frozen=True, slots=True)
class Down:
    """These real servers listen no longer."""

    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Up:
    """These real servers listen again."""

    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """This real server answers in another way from now on (see `real_servers`)."""

    server: str
    words: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """Write a file: what a script exits with, what a tracked file says."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """A command beside the daemon, as an administrator would give it; its output is kept."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this address and port for a page so often, one time after the other; the answers are kept, sorted."""

    where: str
    times: int


Action = Start | Reload | Stop | KillChecks | Down | Up | Answer | Put | Run | Ask


def down(*servers: str) -> Down:
    """See `Down`."""
    return Down(servers)


def up(*servers: str) -> Up:
    """See `Up`."""
    return Up(servers)


def run(words: str) -> Run:
    """A command without blanks inside its words."""
    return Run(tuple(words.split()))


@dataclass(frozen=True, slots=True)
class Step:
    """Do it, wait for `until` (at most `within_s`), then for quiet of `quiet_s`, and look.

    Both times are counted in looks at what happens: they take longer where the processor is scarce.
    `shows`: a command and what its output must contain before the step is over, where the table does not tell.
    `looks`: more commands whose output belongs to the comparison, each one line of words.
    `any_order`: servers fail or recover by themselves at nearly the same moment, so only what was said
    counts here and not in which order.
    """

    name: str
    do: tuple[Action, ...] = ()
    until: Condition = at_once
    quiet_s: float = 0.4
    within_s: float = 30
    looks: tuple[str, ...] = ()
    any_order: bool = False
    shows: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Play:
    """One scenario.  `servers`: real server ("10.5.0.11:80/tcp") -> how it answers; `addresses`: others here.

    `scripts`: files a configuration names, path -> text.  `before`: commands before the daemon starts.
    `client`: an address and port that is asked for a page all the time, a new connection each time.
    """

    name: str
    files: tuple[str, ...]
    steps: tuple[Step, ...]
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    client: str = ""


@dataclass(slots=True)
class Snapshot:
    """What a step left behind.  `after_s`: from its beginning until its condition held.

    `client`: how often the client got which answer ("200 10.5.0.11:80", or what went wrong).
    `table`: `ipvsadm -Sn`; `order`: each service with its destinations in the kernel's own order.
    """

    step: str
    met: bool
    after_s: float
    table: list[str]
    order: list[str]
    looks: dict[str, list[str]]
    fifo: list[str]
    notes: list[str]
    log: list[str]
    did: list[str]
    client: dict[str, int]
    any_order: bool = False
    exit_code: int | None = None
