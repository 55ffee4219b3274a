"""What can happen to a cluster, phase by phase, and what the client must see in each phase.

    STAY   the holder answers all the time, and nobody else ever
    MOVE   at the end another member answers, alone
    ONE    at the end one member answers, whichever
    NONE   at the end nobody answers

Two members that answer the same question, and an announcement by a member that
does not hold the address, are faults in every phase.  A scenario is played in
a laboratory at rest (`ClusterLab.restore`), and leaves it as it pleases.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from answers import View
from cluster_lab import ClusterLab

# How long a phase is watched after it came to rest: several promises of the slowest timing that is tested.
QUIET_S = 0.8
# Longer than this without an answer is a gap where there must be none: three rounds of the client.
NO_GAP_ROUNDS = 3.5
LIMIT_S = 8.0
PAUSE_S = 5.0


class Must(Enum):
    """What the client must see."""

    STAY = "stay"
    MOVE = "move"
    ONE = "one"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Seen:
    """A phase as it was; `taken_ms`: from its begin until another member answered first (None: none did).

    `kernels_ms`: how long two members had the address in their kernels.  That is no fault: one whose
    processes are all stopped cannot take it away, and its kernel has to keep silent about it.
    """

    name: str
    must: Must
    view: View
    taken_ms: float | None
    kernels_ms: float
    faults: tuple[str, ...]

    def line(self) -> str:
        """One line for people."""
        moved = f"{_names(self.view.first)}->{_names(self.view.last)}"
        new = "" if self.taken_ms is None else f", new holder after {self.taken_ms:.0f} ms"
        verdict = "ok" if not self.faults else "FAULT " + "; ".join(self.faults)
        return (
            f"{self.name} ({self.must.value}): {moved}, two for {self.view.double_ms:.0f} ms "
            f"(in two kernels for {self.kernels_ms:.0f} ms), nobody for {self.view.silent_ms:.0f} ms{new}: {verdict}"
        )


def _names(nodes: frozenset[int]) -> str:
    return "+".join(f"n{node}" for node in sorted(nodes)) or "nobody"


@dataclass(slots=True)
class Stage:
    """A laboratory at rest, and what was seen in the phases played so far.

    A phase is watched for `quiet_s` after it came to rest, for which it has `limit_s`; pauses last `pause_s`.
    """

    lab: ClusterLab
    holder: int
    quiet_s: float = QUIET_S
    limit_s: float = LIMIT_S
    pause_s: float = PAUSE_S
    seen: list[Seen] = field(default_factory=list)

    @property
    def others(self) -> list[int]:
        """The members that did not hold the address at the beginning."""
        return [node for node in self.lab.cluster.members if node != self.holder]

    @contextmanager
    def phase(self, name: str, must: Must | Sequence[Must], quiet_s: float | None = None) -> Iterator[None]:
        """Do something, let it come to rest, and judge all that was seen since; `must` for each address, or all."""
        answers = self.lab.answers
        wanted = [must] * len(answers.vips) if isinstance(must, Must) else list(must)
        before = [answers.sole(index, 100) for index in range(len(wanted))]
        since = time.time_ns()
        yield
        self._rest(wanted, before)
        time.sleep(self.quiet_s if quiet_s is None else quiet_s)
        until = time.time_ns()
        time.sleep(0.05)
        for index, vip in enumerate(answers.vips):
            shown = name if len(answers.vips) == 1 else f"{name} {vip}"
            self._judge(shown, index, wanted[index], before[index], since, until)

    def _rest(self, must: Sequence[Must], before: Sequence[int | None]) -> None:
        """Until it looks as it must, or the time for that is over: the verdict is the judge's."""
        end = time.monotonic() + self.limit_s
        while time.monotonic() < end:
            if all(self._at_rest(index, each, before[index]) for index, each in enumerate(must)):
                return
            time.sleep(0.01)

    def _at_rest(self, vip: int, must: Must, before: int | None) -> bool:
        answers = self.lab.answers
        if must is Must.STAY:
            return True
        if must is Must.NONE:
            return not answers.holders(vip)
        sole = answers.sole(vip)
        return sole is not None and (must is Must.ONE or sole != before)

    def _judge(self, name: str, vip: int, must: Must, before: int | None, since: int, until: int) -> None:
        answers = self.lab.answers
        first = answers.first_answer_ns(since, before or 0, vip)
        taken = None if first is None or first >= until else (first - since) / 1e6
        view = answers.view(since, until, vip)
        kernels = self.lab.kernel_double_ms(since, until, vip)
        faults = tuple(judge(view, must, before, answers.interval_ms))
        self.seen.append(Seen(name, must, view, taken, kernels, faults))

    def wait_for_another(self) -> None:
        """Inside a phase: until another member than the first holder answers, or the time for that is over."""
        end = time.monotonic() + self.limit_s
        while not self.lab.answers.holders() - {self.holder} and time.monotonic() < end:
            time.sleep(0.01)


def judge(view: View, must: Must, before: int | None, interval_ms: float) -> Iterator[str]:
    """The faults of a phase."""
    if view.double_ms:
        yield f"two holders for {view.double_ms:.0f} ms"
    if view.strays:
        yield f"announced by who does not hold it: {sorted(set(view.strays))}"
    if must is Must.STAY:
        if view.answered - {before}:
            yield f"moved to {_names(view.answered - {before})}"
        if view.silent_ms > NO_GAP_ROUNDS * interval_ms:
            yield f"nobody answered for {view.silent_ms:.0f} ms"
    elif must is Must.NONE:
        if view.last:
            yield f"still held by {_names(view.last)}"
    elif len(view.last) != 1:
        yield f"holders at the end: {_names(view.last)}"
    elif must is Must.MOVE and view.last == {before}:
        yield "did not move"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and to a cluster of how many members."""

    name: str
    text: str
    play: Callable[[Stage], None]
    members: int = 3


def _cut_one_link(stage: Stage) -> None:
    with stage.phase("cut", Must.STAY):
        stage.lab.part([stage.holder], [stage.others[0]])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _cut_all_links_of_holder(stage: Stage) -> None:
    with stage.phase("cut", Must.MOVE):
        stage.lab.part([stage.holder], stage.others)
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _all_apart(stage: Stage) -> None:
    with stage.phase("cut", Must.NONE):
        stage.lab.part(*[[node] for node in stage.lab.nodes])
    with stage.phase("heal", Must.ONE):
        stage.lab.heal()


def _followers_apart(stage: Stage) -> None:
    with stage.phase("cut", Must.STAY):
        stage.lab.part(*[[node] for node in stage.others])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _follower_isolated(stage: Stage) -> None:
    with stage.phase("cut", Must.STAY):
        stage.lab.isolate(stage.others[-1])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _holder_deaf_to_one(stage: Stage) -> None:
    with stage.phase("deaf", Must.STAY):
        stage.lab.cut([(stage.holder, stage.others[0])])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _holder_deaf(stage: Stage) -> None:
    with stage.phase("deaf", Must.MOVE):
        stage.lab.cut([(stage.holder, other) for other in stage.others])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _holder_unheard(stage: Stage) -> None:
    with stage.phase("unheard", Must.MOVE):
        stage.lab.cut([(other, stage.holder) for other in stage.others])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _follower_deaf(stage: Stage) -> None:
    with stage.phase("deaf", Must.STAY):
        stage.lab.cut([(stage.others[0], stage.holder)])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _flapping(stage: Stage) -> None:
    with stage.phase("flapping", Must.ONE):
        for _ in range(6):
            stage.lab.isolate(stage.holder)
            time.sleep(0.25)
            stage.lab.heal()
            time.sleep(0.4)


def _loss(stage: Stage) -> None:
    with stage.phase("20 % lost", Must.STAY, 4):
        stage.lab.lose(20)
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _kill(stage: Stage) -> None:
    with stage.phase("kill -9", Must.MOVE):
        stage.lab.kill(stage.holder)
    with stage.phase("restart", Must.STAY):
        stage.lab.start(stage.holder)
        stage.lab.settle()


def _kill_and_restart_at_once(stage: Stage) -> None:
    with stage.phase("kill -9, restart", Must.ONE):
        stage.lab.kill(stage.holder)
        stage.lab.start(stage.holder)
        stage.lab.settle()


def _power(stage: Stage) -> None:
    with stage.phase("power off", Must.MOVE):
        stage.lab.power_off(stage.holder)
    with stage.phase("power on", Must.STAY):
        stage.lab.power_on(stage.holder)
        stage.lab.settle()


def _frozen(everything: bool) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        with stage.phase("SIGSTOP", Must.MOVE):
            begun = stage.lab.freeze(stage.holder, everything)
            stage.wait_for_another()
            time.sleep(max(0.0, stage.pause_s - (time.time_ns() - begun) / 1e9))
        with stage.phase("SIGCONT", Must.STAY, 2.5):
            stage.lab.thaw(stage.holder)

    return play


def _follower_frozen(stage: Stage) -> None:
    with stage.phase("SIGSTOP", Must.STAY, 2):
        stage.lab.freeze(stage.others[0])
    with stage.phase("SIGCONT", Must.STAY, 2):
        stage.lab.thaw(stage.others[0])


def _graceful(stage: Stage) -> None:
    with stage.phase("SIGTERM", Must.MOVE):
        stage.lab.stop(stage.holder)
    with stage.phase("restart", Must.STAY):
        stage.lab.start(stage.holder)
        stage.lab.settle()


def _rolling_restart(stage: Stage) -> None:
    for node in stage.lab.nodes:
        holds = stage.lab.wait_holder()
        with stage.phase(f"n{node} stops", Must.MOVE if node == holds else Must.STAY, 0.5):
            stage.lab.stop(node)
        with stage.phase(f"n{node} starts", Must.STAY):
            stage.lab.start(node)
            stage.lab.settle()


def _voter_forgets(stage: Stage) -> None:
    """A follower that had promised restarts while the holder is cut off: it must not promise again too early."""
    with stage.phase("cut and restart", Must.MOVE, 2):
        stage.lab.part([stage.holder], [stage.others[1]])
        stage.lab.kill(stage.others[0])
        stage.lab.part([stage.holder], stage.others)
        stage.lab.start(stage.others[0])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def stop_everybody(lab: ClusterLab) -> None:
    """Nobody runs any more, and nobody answers."""
    for node in list(lab.daemons):
        lab.stop(node)
    lab.wait_nobody()


def _cold_two(stage: Stage) -> None:
    stop_everybody(stage.lab)
    *early, late = stage.lab.nodes
    with stage.phase("all but one start", Must.ONE):
        stage.lab.start(*early)
    with stage.phase("the last one joins", Must.STAY):
        stage.lab.start(late)
        stage.lab.settle()


def _cold_one(stage: Stage) -> None:
    stop_everybody(stage.lab)
    minority = stage.lab.nodes[: (len(stage.lab.nodes) - 1) // 2]
    with stage.phase("a minority starts", Must.NONE, 4):
        stage.lab.start(*minority)
    with stage.phase("a majority runs", Must.ONE):
        stage.lab.start(stage.lab.nodes[len(minority)])


def _majority_without_holder(stage: Stage) -> None:
    with stage.phase("cut", Must.MOVE):
        stage.lab.part([stage.holder, stage.others[0]], stage.others[1:])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _majority_with_holder(stage: Stage) -> None:
    with stage.phase("cut", Must.STAY):
        stage.lab.part([stage.holder, *stage.others[:2]], stage.others[2:])
    with stage.phase("heal", Must.STAY):
        stage.lab.heal()


def _two_of_five_die(stage: Stage) -> None:
    with stage.phase("two lose power", Must.MOVE):
        stage.lab.power_off(stage.holder)
        stage.lab.power_off(stage.others[0])
    with stage.phase("both boot", Must.STAY):
        stage.lab.power_on(stage.holder)
        stage.lab.settle()
        stage.lab.power_on(stage.others[0])


def _three_of_five_die(stage: Stage) -> None:
    with stage.phase("three lose power", Must.NONE):
        for node in stage.others[:3]:
            stage.lab.power_off(node)
    with stage.phase("they boot", Must.ONE):
        for node in stage.others[:3]:
            stage.lab.power_on(node)


SCENARIOS = (
    Scenario("keepvip-1", "holder and one follower apart", _cut_one_link),
    Scenario("keepvip-2", "holder apart from both followers", _cut_all_links_of_holder),
    Scenario("keepvip-3", "all three apart", _all_apart),
    Scenario("keepvip-4", "the followers apart from each other", _followers_apart),
    Scenario("keepvip-5", "one follower apart from everybody", _follower_isolated),
    Scenario("holder-deaf-to-one", "the holder does not hear one follower", _holder_deaf_to_one),
    Scenario("holder-deaf", "the holder hears nobody, all hear it", _holder_deaf),
    Scenario("holder-unheard", "the holder hears all, nobody hears it", _holder_unheard),
    Scenario("follower-deaf", "one follower does not hear the holder", _follower_deaf),
    Scenario("flapping", "the holder is cut off for 0.25 s, six times", _flapping),
    Scenario("loss", "20 % of all frames between members are lost", _loss),
    Scenario("kill", "kill -9 of all processes of the holder, restart later", _kill),
    Scenario("kill-restart", "kill -9 of the holder, restart at once", _kill_and_restart_at_once),
    Scenario("power", "the holder loses power, and boots later", _power),
    Scenario("stop-elector", "SIGSTOP 5 s of the process that elects, SIGCONT", _frozen(False)),
    Scenario("stop-all", "SIGSTOP 5 s of all processes of the holder, SIGCONT", _frozen(True)),
    Scenario("stop-follower", "SIGSTOP 2 s of a follower, SIGCONT", _follower_frozen),
    Scenario("graceful", "SIGTERM of the holder, restart later", _graceful),
    Scenario("rolling", "one after the other is stopped and started", _rolling_restart),
    Scenario("voter-forgets", "a follower restarts while the holder is cut off", _voter_forgets),
    Scenario("cold-2", "start with all but one", _cold_two),
    Scenario("cold-1", "start of a minority, then one more", _cold_one),
    Scenario("5-away", "holder and one | three", _majority_without_holder, 5),
    Scenario("5-kept", "holder and two | two", _majority_with_holder, 5),
    Scenario("5-two-die", "the holder and one more lose power", _two_of_five_die, 5),
    Scenario("5-three-die", "three lose power, the holder does not", _three_of_five_die, 5),
)


def play(scenario: Scenario, lab: ClusterLab) -> list[Seen]:
    """Bring the laboratory to rest, play, and return what was seen."""
    stage = Stage(lab, lab.restore())
    scenario.play(stage)
    return stage.seen


def named(*names: str) -> tuple[Scenario, ...]:
    """Scenarios by name; KeyError for an unknown one."""
    table = {scenario.name: scenario for scenario in SCENARIOS}
    return tuple(table[name] for name in names)
