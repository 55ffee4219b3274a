"""MISC_CHECK: exits, signals and time limits, the weight that a program sets, and when it runs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks import schedule
from keepalived_py.core.checks.verdicts import Consequence, WeightBy
from keepalived_py.model.check_events import CheckResult, Ending
from keepalived_py.model.checks import MiscCheck
from keepalived_py.model.scripts import Command
from tests.core.checks.check_bench import RS, SECOND, VS, Bench, bad

COMMAND = Command(("/run/m.sh", "x"), 0, 0)
START = f"log Misc check for [{RS} VS {VS}] by [/run/m.sh]"
UP = [f"{START} succeeded."]
OK_MAIL = "mail => MISC CHECK succeeded on service <="
FAILED_MAIL = "mail => MISC CHECK failed on service <="


def check(**more: Any) -> MiscCheck:
    """A check every 6 seconds, 2 seconds apart if it fails."""
    usual = {
        "command": COMMAND,
        "retry": 0,
        "delay_loop_us": Micros(6 * SECOND),
        "delay_before_retry_us": Micros(2 * SECOND),
        "warmup_us": Micros(0),
    }
    return MiscCheck(**{**usual, **more})


def ended(made: MiscCheck, status: int = 0, signal: int = 0, *, late: bool = False) -> CheckResult:
    """The program's end."""
    return schedule.misc_result(made, status, signal, late, Micros(7))


class Program(Bench):
    """A check whose program ends as told."""

    def __init__(self, made: MiscCheck, **more: Any) -> None:
        super().__init__(made, **more)
        self.made = made

    def exits(self, status: int) -> list[str]:
        """It exits."""
        return self.run(ended(self.made, status))

    def dies(self, signal: int, *, late: bool = False) -> list[str]:
        """It is killed."""
        return self.run(ended(self.made, signal=signal, late=late))


# -- results ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "dynamic", "good", "weight"),
    [
        (0, False, True, None),
        (1, False, False, None),
        (2, False, False, None),
        (0, True, True, None),
        (1, True, False, None),
        (2, True, True, 0),
        (255, True, True, 253),
    ],
)
def test_an_exit_status_is_judged_and_may_set_the_weight(
    status: int, dynamic: bool, good: bool, weight: int | None
) -> None:
    result = ended(check(dynamic=dynamic), status)
    assert (result.good, result.ending, result.code) == (good, Ending.EXITED, status)
    assert (result.weight, result.took_us) == (weight, 7)


def test_a_signal_is_the_time_limit_only_if_it_was_ours() -> None:
    assert ended(check(), signal=9).ending is Ending.SIGNALLED
    assert ended(check(), signal=15, late=True).ending is Ending.TIMED_OUT
    assert ended(check(), signal=9, late=True).ending is Ending.TIMED_OUT
    assert ended(check(), signal=11, late=True) == CheckResult(
        False, Ending.SIGNALLED, 11, "killed by signal 11", took_us=Micros(7)
    )
    assert ended(check(), 1, late=True).ending is Ending.EXITED


def test_the_time_limit_is_what_is_written_or_the_delay_loop() -> None:
    assert schedule.misc_timeout_us(check(timeout_us=Micros(3 * SECOND))) == 3 * SECOND
    assert schedule.misc_timeout_us(check()) == 6 * SECOND
    assert schedule.misc_timeout_us(check(), Micros(9)) == 9


# -- verdicts and words ----------------------------------------------------------


def test_the_first_success_is_logged_and_mailed() -> None:
    program = Program(check())
    assert program.exits(0) == [*UP, "verdict up->up first", OK_MAIL]
    assert program.exits(0) == []


def test_a_failure_without_retries() -> None:
    program = Program(check())
    program.exits(0)
    assert program.exits(1) == [
        f"{START} failed with retry disabled (exited with status 1).",
        "verdict up->down",
        FAILED_MAIL,
    ]
    assert program.exits(5) == []
    assert program.exits(0) == [*UP, "verdict down->up", OK_MAIL]


def test_the_first_failure_tells_of_retries_all_the_same() -> None:
    program = Program(check(retry=1))
    assert program.exits(5) == [
        f"{START} failed after 1 retry (exited with status 5).",
        "verdict up->down first",
        FAILED_MAIL,
    ]


def test_retries_are_silent_until_the_last() -> None:
    program = Program(check(retry=2))
    program.exits(0)
    assert program.exits(1) == []
    assert program.pause == 2
    assert program.dies(9) == []
    assert program.dies(9) == [
        f"{START} failed after 2 retries (due to signal 9).",
        "verdict up->down",
        FAILED_MAIL,
    ]
    assert program.pause == 6


def test_every_failure_is_counted_in_the_log_if_that_is_wanted() -> None:
    program = Program(check(retry=3, log_all_failures=True))
    program.exits(0)
    said = [program.exits(1)[0] for _ in range(4)]
    reason = "(exited with status 1)."
    assert said == [
        f"{START} failed, will do 3 retries {reason}",
        f"{START} failed on retry 1/3 {reason}",
        f"{START} failed on retry 2/3 {reason}",
        f"{START} failed after 3 retries {reason}",
    ]


def test_a_time_limit_has_its_own_words_in_log_and_mail() -> None:
    program = Program(check(retry=1, log_all_failures=True))
    program.exits(0)
    assert program.dies(15, late=True) == [f"{START} timed out, will do 1 retry."]
    assert program.dies(15, late=True) == [
        f"{START} timed out after 1 retry.",
        "verdict up->down",
        "mail => MISC CHECK timed out on service <=",
    ]


def test_a_program_that_could_not_be_run_says_nothing_about_the_server() -> None:
    program = Program(check(retry=1))
    program.exits(0)
    assert program.run(bad("Misc script lost", ending=Ending.BROKEN)) == ["log Misc script lost"]
    assert program.pause == 6
    assert program.exits(1) == []


# -- times -----------------------------------------------------------------------


def test_the_pause_counts_from_the_start_of_the_program() -> None:
    program = Program(check(retry=1))
    program.start()
    program.end(ended(program.made), took=4 * SECOND)
    assert program.pause == 2
    program.start()
    program.end(ended(program.made, 1), took=1 * SECOND)
    assert program.pause == 1


def test_a_program_that_took_longer_than_the_pause_is_run_again_at_once() -> None:
    program = Program(check())
    program.start()
    program.end(ended(program.made), took=7 * SECOND)
    assert program.checking.next_at == program.now + 1


# -- weights ---------------------------------------------------------------------


def test_a_program_sets_the_weight_before_the_server_is_up() -> None:
    program = Program(check(dynamic=True), weight=10)
    assert program.exits(17) == ["weight +5", *UP, "verdict up->up first", OK_MAIL]
    assert program.exits(17) == []
    assert program.exits(22) == ["weight +5"]
    assert program.exits(2) == ["weight -20"]
    assert program.exits(0) == ["weight +10"]
    assert program.checking.share == 0


def test_a_failure_takes_the_share_back_without_a_word() -> None:
    program = Program(check(dynamic=True), weight=10)
    program.exits(17)
    assert program.exits(1) == [
        "weight -5 quiet",
        f"{START} failed with retry disabled (exited with status 1).",
        "verdict up->down",
        FAILED_MAIL,
    ]
    assert program.exits(17)[0] == "weight +5"


def test_a_retry_leaves_the_share_as_it_is() -> None:
    program = Program(check(dynamic=True, retry=1), weight=10)
    program.exits(17)
    assert program.exits(1) == []
    assert program.checking.share == 5


def test_a_killed_program_leaves_the_share_and_the_next_one_is_relative_to_it() -> None:
    program = Program(check(dynamic=True), weight=10)
    program.exits(17)
    assert "weight" not in " ".join(program.dies(9))
    assert program.exits(22)[0] == "weight +5"


ENDS = st.one_of(
    st.tuples(st.integers(0, 255), st.just(0)),
    st.tuples(st.just(0), st.sampled_from((9, 11, 15))),
)


@given(weight=st.integers(0, 300), retry=st.integers(0, 2), ends=st.lists(ENDS, max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_it_exits_with_the_weight_of_a_good_server_is_what_was_set_last(
    weight: int, retry: int, ends: list[tuple[int, int]]
) -> None:
    made = check(dynamic=True, retry=retry)
    program = Program(made, weight=weight)
    now = weight
    for status, signal in ends:
        program.start()
        out: list[Consequence] = []
        program.checking = schedule.finished(
            program.checking, ended(made, status, signal), Micros(program.now), out
        )
        now += sum(each.difference for each in out if isinstance(each, WeightBy))
        assert program.checking.share == now - weight
        if not signal and status != 1:
            assert now == (status - 2 if status else weight)
