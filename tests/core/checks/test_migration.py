"""A reload: what the checks of a server keep, and how many of them count as failed."""

from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.record import replace
from keepalived_py.core.checks import files, schedule
from keepalived_py.core.checks.checking import Checking
from keepalived_py.model.checks import (
    BfdCheck,
    Check,
    DnsCheck,
    FileCheck,
    FileWeight,
    HttpGet,
    MiscCheck,
    PingCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
    Url,
)
from keepalived_py.model.scripts import Command
from tests.core.checks.check_bench import GOOD, SECOND, Bench, bad, begun

WEB = HttpGet(urls=(Url("/a"), Url("/b")))
MISC = MiscCheck(command=Command(("/bin/a",), 0, 0), dynamic=True)
QUESTIONS: tuple[Check, ...] = (
    TcpCheck(),
    UdpCheck(),
    PingCheck(),
    SmtpCheck(),
    DnsCheck(),
    WEB,
    MISC,
    BfdCheck(name="b"),
)


def renewed(check: Check, **more: Any) -> Checking:
    """A check as a reload makes it."""
    return begun(check, number=2, now=100 * SECOND, reload=True, **more)


def one(new: Checking, old: Checking, *, alive: bool = True) -> Checking:
    """The only check of a server after a reload."""
    (made,) = schedule.migrated([new], [old], alive)
    return made


def down(check: Check) -> Checking:
    """A check that has failed."""
    return begun(check)._replace(is_up=False, has_run=True)


@pytest.mark.parametrize("check", QUESTIONS, ids=lambda check: type(check).__name__)
def test_a_check_that_asks_the_same_keeps_its_word(check: Check) -> None:
    made = one(renewed(check), down(check), alive=False)
    assert (made.is_up, made.has_run, made.number) == (False, True, 2)
    assert schedule.failed_count([made]) == 1
    made = one(renewed(check), begun(check)._replace(has_run=True))
    assert (made.is_up, made.has_run) == (True, True)


@pytest.mark.parametrize("check", QUESTIONS[:-1], ids=lambda check: type(check).__name__)
def test_its_timer_begins_anew(check: Check) -> None:
    old = begun(check)._replace(next_at=None, running=True, has_run=True)
    made = one(renewed(check), old)
    assert (made.next_at, made.running) == (101 * SECOND, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TcpCheck(), UdpCheck()),
        (TcpCheck(), TcpCheck(connect_port=81)),
        (TcpCheck(), TcpCheck(mark=1)),
        (TcpCheck(), TcpCheck(source_port=1)),
        (TcpCheck(), TcpCheck(connect_timeout_us=Micros(1))),
        (DnsCheck(), DnsCheck(name="a.")),
        (SmtpCheck(), SmtpCheck(helo_name="h")),
        (WEB, replace(WEB, urls=(Url("/a"), Url("/c")))),
        (WEB, replace(WEB, urls=(Url("/a"),))),
        (WEB, replace(WEB, virtualhost="v")),
        (MISC, replace(MISC, dynamic=False)),
        (MISC, replace(MISC, command=Command(("/bin/b",), 0, 0))),
        (BfdCheck(name="b"), BfdCheck(name="c")),
    ],
)
def test_a_check_that_asks_something_else_begins_as_good(old: Check, new: Check) -> None:
    made = one(renewed(new), down(old))
    assert (made.is_up, made.has_run, schedule.failed_count([made])) == (True, False, 0)


def test_how_often_it_asks_does_not_matter() -> None:
    new = TcpCheck(delay_loop_us=Micros(1), retry=7, delay_before_retry_us=Micros(3), alpha=True)
    assert not one(renewed(new), down(TcpCheck()), alive=False).is_up
    assert one(renewed(new), begun(TcpCheck())._replace(has_run=True)).is_up


def test_failures_that_were_counted_go_on_counting() -> None:
    def failures_needed(retry: int, attempt: int) -> int:
        old = begun(TcpCheck(retry=9))._replace(has_run=True, attempt=attempt)
        bench = Bench(one(renewed(TcpCheck(retry=retry)), old))
        for count in range(1, 20):
            bench.run(bad())
            if not bench.checking.is_up:
                return count
        raise AssertionError("it never fails")

    assert failures_needed(3, 0) == 4
    assert failures_needed(3, 2) == 2
    assert failures_needed(3, 8) == 1
    assert failures_needed(0, 2) == 1


@pytest.mark.parametrize("check", [TcpCheck(retry=2), DnsCheck(retry=2), MISC])
def test_what_was_down_needs_one_success(check: Check) -> None:
    bench = Bench(one(renewed(check), down(check), alive=False))
    assert bench.run(bad()) == []
    assert bench.run(GOOD)
    assert bench.checking.is_up


def test_a_down_program_is_run_every_delay_loop_after_a_reload_too() -> None:
    check = replace(MISC, retry=2, delay_loop_us=Micros(6 * SECOND), delay_before_retry_us=Micros(SECOND))
    bench = Bench(one(renewed(check), down(check), alive=False))
    bench.run(bad())
    assert bench.pause == 6


def test_a_mail_server_is_asked_with_all_retries() -> None:
    old = begun(SmtpCheck(retry=2))._replace(has_run=True, attempt=1)
    assert one(renewed(SmtpCheck(retry=2)), old).attempt == 0


def test_the_page_that_failed_is_remembered() -> None:
    old = down(WEB)._replace(failed_part=1, part=1)
    made = one(renewed(WEB), old, alive=False)
    assert (made.part, made.failed_part) == (0, 1)
    up = one(renewed(WEB), begun(WEB)._replace(has_run=True, failed_part=None, part=1))
    assert (up.part, up.failed_part) == (0, None)


def test_the_weight_that_a_program_set_stays_when_another_is_configured() -> None:
    bench = Bench(begun(MISC, weight=10))
    bench.run(schedule.misc_result(MISC, 12, 0, False, Micros(0)))
    assert bench.checking.share == 0
    assert one(renewed(MISC, weight=4), bench.checking).share == 6
    bench.run(schedule.misc_result(MISC, 0, 0, False, Micros(0)))
    assert one(renewed(MISC, weight=4), bench.checking).share == 0


def test_the_number_in_a_file_counts_not_what_it_was() -> None:
    check = FileCheck(track_file="f", weight=FileWeight(0))
    made = one(files.first_number(renewed(check), 0), files.first_number(begun(check), 1))
    assert made.is_up
    made = one(files.first_number(renewed(check), 1), files.first_number(begun(check), 0))
    assert schedule.failed_count([made]) == 1


def test_a_new_check_of_a_server_that_is_up_begins_as_good_even_with_alpha() -> None:
    olds = [begun(TcpCheck())._replace(has_run=True)]
    news = [renewed(TcpCheck()), renewed(PingCheck(alpha=True, retry=2))]
    made = schedule.migrated(news, olds, True)
    assert schedule.failed_count(made) == 0
    assert made[1].attempt == 0


def test_a_new_check_of_a_server_that_is_down_must_prove_itself_with_alpha() -> None:
    olds = [down(TcpCheck())]
    news = [renewed(TcpCheck()), renewed(PingCheck(alpha=True, retry=2)), renewed(DnsCheck(retry=3))]
    made = schedule.migrated(news, olds, False)
    assert [checking.is_up for checking in made] == [False, False, True]
    assert schedule.failed_count(made) == 2
    assert [checking.attempt for checking in made[1:]] == [2, 3]


def test_alpha_servers_that_have_not_been_checked_yet_stay_down() -> None:
    check = TcpCheck(alpha=True)
    made = one(renewed(check), begun(check), alive=False)
    assert (made.is_up, made.has_run) == (False, False)
    assert Bench(made).run(GOOD)[1] == "verdict down->up first"


def test_shares_of_a_server_add_up() -> None:
    checkings = [begun(TcpCheck()), begun(MISC)._replace(share=5), begun(MISC)._replace(share=-7)]
    assert schedule.extra_weight(checkings) == -2


def test_a_server_that_is_up_stays_so_when_its_only_check_is_another_with_alpha() -> None:
    made = one(renewed(TcpCheck(alpha=True, connect_port=81)), begun(TcpCheck())._replace(has_run=True))
    assert (made.is_up, made.has_run, made.attempt) == (True, False, 0)
