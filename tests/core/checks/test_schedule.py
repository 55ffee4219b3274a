"""When a check runs and what its results mean: TCP, UDP, PING, SMTP and DNS."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks import schedule
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import (
    BfdCheck,
    DnsCheck,
    FileCheck,
    HttpGet,
    MiscCheck,
    PingCheck,
    ScheduledCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
    Url,
)
from tests.core.checks.check_bench import GOOD, RS, SECOND, VS, Bench, bad, begun, server

LOOP = Micros(6 * SECOND)
RETRY = Micros(2 * SECOND)
TIMES: dict[str, Any] = {"delay_loop_us": LOOP, "delay_before_retry_us": RETRY, "warmup_us": Micros(0)}

TCP_REFUSED = bad(f"TCP connection to {RS} failed.")
TCP_LATE = bad(f"TCP connection to {RS} timeout.", ending=Ending.TIMED_OUT)


# -- the first run ---------------------------------------------------------------


def test_the_first_check_comes_after_a_second_and_a_part_of_the_warm_up() -> None:
    check = TcpCheck(warmup_us=Micros(8 * SECOND))
    assert begun(check, now=5, chance=0.0).next_at == 5 + SECOND
    assert begun(check, now=5, chance=0.75).next_at == 5 + 7 * SECOND
    assert begun(TcpCheck(warmup_us=Micros(0)), chance=0.9).next_at == SECOND


def test_the_target_is_the_server_or_what_the_check_has_instead() -> None:
    other = server().address + 1
    assert schedule.target_of(TcpCheck(), server()) == (server().address, 80)
    assert schedule.target_of(TcpCheck(connect_port=81), server()) == (server().address, 81)
    assert schedule.target_of(TcpCheck(connect_ip=other), server()) == (other, 80)
    assert schedule.target_of(MiscCheck(), server()) == (server().address, 80)


def test_a_first_success_is_logged_and_no_mail_goes_out() -> None:
    bench = Bench(TcpCheck(**TIMES))
    assert bench.run(GOOD) == [f"log TCP connection to {RS} success.", "verdict up->up first"]
    assert bench.pause == 6
    assert bench.run(GOOD) == []
    assert bench.pause == 6


def test_one_failure_is_enough_the_first_time() -> None:
    bench = Bench(TcpCheck(**TIMES, retry=3))
    assert bench.run(TCP_REFUSED) == [
        f"log TCP_CHECK on service {RS} failed.",
        "verdict up->down first",
        "mail => TCP CHECK failed on service <=",
    ]
    assert bench.pause == 6


def test_an_alpha_check_that_fails_first_sends_no_mail() -> None:
    bench = Bench(TcpCheck(**TIMES, alpha=True))
    assert not bench.checking.is_up
    assert bench.run(TCP_REFUSED) == [
        f"log TCP_CHECK on service {RS} failed.",
        "verdict down->down first",
    ]
    assert bench.run(TCP_REFUSED) == []
    assert bench.run(GOOD) == [
        f"log TCP connection to {RS} success.",
        "verdict down->up",
        "mail => TCP CHECK succeed on service <=",
    ]


# -- retries ---------------------------------------------------------------------


def test_retries_are_counted_and_one_success_forgets_them() -> None:
    bench = Bench(TcpCheck(**TIMES, retry=2))
    bench.run(GOOD)
    assert bench.run(TCP_REFUSED) == []
    assert bench.pause == 2
    assert bench.run(TCP_REFUSED) == []
    assert bench.run(GOOD) == []
    assert bench.pause == 6
    for _ in range(2):
        assert bench.run(TCP_REFUSED) == []
        assert bench.pause == 2
    assert bench.run(TCP_REFUSED) == [
        f"log TCP_CHECK on service {RS} failed after 2 retries.",
        "verdict up->down",
        "mail => TCP CHECK failed on service <=",
    ]
    assert bench.pause == 6


def test_the_pause_counts_from_the_end_of_a_run() -> None:
    bench = Bench(TcpCheck(**TIMES))
    bench.start()
    bench.end(GOOD, took=4 * SECOND)
    assert bench.checking.next_at == 5 * SECOND + LOOP


def test_a_server_that_is_down_is_asked_every_delay_loop_and_one_success_is_enough() -> None:
    bench = Bench(TcpCheck(**TIMES, retry=2))
    bench.run(TCP_REFUSED)
    for _ in range(5):
        assert bench.run(TCP_LATE) == []
        assert bench.pause == 6
    assert bench.run(GOOD)[1] == "verdict down->up"


def test_no_retries_are_told_of_if_there_are_none() -> None:
    bench = Bench(TcpCheck(**TIMES, retry=0))
    bench.run(GOOD)
    assert bench.run(TCP_REFUSED)[0] == f"log TCP_CHECK on service {RS} failed."


def test_every_failure_is_logged_if_that_is_wanted_while_the_server_is_up() -> None:
    bench = Bench(TcpCheck(**TIMES, log_all_failures=True))
    bench.run(GOOD)
    assert bench.run(TCP_LATE) == [f"log TCP connection to {RS} timeout."]
    assert bench.run(TCP_REFUSED)[:2] == [
        f"log TCP connection to {RS} failed.",
        f"log TCP_CHECK on service {RS} failed after 1 retries.",
    ]
    assert bench.run(TCP_REFUSED) == []


def test_a_check_without_a_socket_is_put_off_and_says_nothing_about_the_server() -> None:
    bench = Bench(TcpCheck(**TIMES, retry=1))
    bench.run(GOOD)
    bench.run(TCP_REFUSED)
    line = "TCP socket bind failed. Rescheduling."
    for _ in range(3):
        assert bench.run(bad(line, ending=Ending.BROKEN)) == [f"log {line}"]
        assert bench.pause == 6
    assert bench.run(TCP_REFUSED)[1] == "verdict up->down"


# -- UDP and PING ----------------------------------------------------------------


def test_udp_has_its_own_words() -> None:
    bench = Bench(UdpCheck(**TIMES, retry=1))
    assert bench.run(GOOD)[0] == f"log UDP connection to {RS} success."
    silent = bad(f"UDP connection to {RS} failed.")
    assert bench.run(silent) == []
    assert bench.run(silent) == [
        f"log UDP_CHECK on service {RS} failed after 1 retries.",
        "verdict up->down",
        "mail => UDP CHECK failed on service <=",
    ]
    assert bench.run(GOOD)[2] == "mail => UDP CHECK succeed on service <="


def test_what_is_wrong_with_a_socket_or_a_reply_is_always_said() -> None:
    bench = Bench(UdpCheck(**TIMES, retry=3))
    bench.run(GOOD)
    line = "bind failed. errno: 99, error: Cannot assign requested address"
    assert bench.run(bad(line, ending=Ending.UNREACHABLE)) == [f"log {line}"]
    ping = Bench(PingCheck(**TIMES, retry=3))
    ping.run(GOOD)
    odd = "Got ICMP packet with type 0x3"
    late = f"ICMP connection to {RS} of {VS} failed."
    assert ping.run(bad(odd, late)) == [f"log {odd}"]


def test_ping_names_the_virtual_server_after_retries() -> None:
    bench = Bench(PingCheck(**TIMES, retry=1))
    assert bench.run(GOOD)[0] == f"log ICMP connection to {RS} success."
    bench.run(bad())
    assert bench.run(bad()) == [
        f"log ICMP CHECK on service {RS} of {VS} failed after 1 retries.",
        "verdict up->down",
        "mail => ICMP CHECK failed on service <=",
    ]
    assert Bench(PingCheck(**TIMES)).run(bad())[0] == f"log ICMP CHECK on service {RS} failed."


# -- SMTP ------------------------------------------------------------------------

BANNER = bad("SMTP_CHECK Bad greeting banner from server [10.0.0.11]:25", ending=Ending.WRONG)


def test_a_mail_server_is_asked_again_also_the_first_time() -> None:
    bench = Bench(SmtpCheck(**TIMES, retry=1))
    assert bench.run(BANNER) == []
    assert bench.pause == 2
    assert bench.run(BANNER) == [
        "log SMTP_CHECK Bad greeting banner from server [10.0.0.11]:25",
        "verdict up->down first",
        "mail => CHECK failed on service : Bad greeting banner from server [10.0.0.11]:25 <=",
    ]
    assert bench.pause == 6


def test_a_mail_server_is_asked_again_also_while_it_is_down() -> None:
    bench = Bench(SmtpCheck(**TIMES, retry=2))
    for _ in range(3):
        bench.run(BANNER)
    assert not bench.checking.is_up
    pauses = []
    for _ in range(6):
        assert bench.run(BANNER) == []
        pauses.append(bench.pause)
    assert pauses == [2, 2, 6, 2, 2, 6]
    assert bench.run(GOOD) == [
        f"log Remote SMTP server {RS} succeed on service.",
        "verdict down->up",
        "mail => CHECK succeed on service <=",
    ]


@pytest.mark.parametrize("suspended", [True, False])
def test_a_mail_server_gets_all_its_retries_after_a_run_that_was_none(suspended: bool) -> None:
    bench = Bench(SmtpCheck(**TIMES, retry=1))
    bench.run(GOOD)
    bench.run(BANNER)
    if suspended:
        off = schedule.enabled(bench.checking, False)
        assert off.next_at is not None
        bench.checking = schedule.enabled(schedule.due(off, off.next_at, []), True)
    else:
        bench.run(bad("SMTP_CHECK socket bind failed. Rescheduling.", ending=Ending.BROKEN))
    assert bench.run(BANNER) == []
    assert bench.run(BANNER)[1] == "verdict up->down"


def test_every_dialogue_that_fails_is_logged_if_that_is_wanted() -> None:
    bench = Bench(SmtpCheck(**TIMES, retry=1, log_all_failures=True))
    bench.run(GOOD)
    assert bench.run(BANNER) == [f"log {BANNER.lines[0]}"]


# -- DNS -------------------------------------------------------------------------

RCODE = bad("DNS_CHECK ([10.0.0.11]:udp:53) read error occurred. (rcode = 3)", ending=Ending.WRONG)


def test_a_name_server_gets_its_retries_and_the_line_counts_them() -> None:
    bench = Bench(DnsCheck(**TIMES, retry=2))
    assert bench.run(GOOD) == ["verdict up->up first"]
    assert bench.run(RCODE) == []
    assert bench.run(RCODE) == []
    assert bench.pause == 2
    assert bench.run(RCODE) == [
        f"log {RCODE.lines[0]} after 2 retries",
        "verdict up->down",
        "mail => DNS_CHECK: failed on service <=",
    ]
    assert bench.run(RCODE) == []
    assert bench.pause == 6
    assert bench.run(GOOD) == ["verdict down->up", "mail => DNS_CHECK: succeed on service <="]


def test_the_first_failure_of_a_name_server_counts_no_retries() -> None:
    bench = Bench(DnsCheck(**TIMES, retry=3))
    assert bench.run(RCODE)[0] == f"log {RCODE.lines[0]}"


def test_each_failure_of_a_name_server_is_logged_if_that_is_wanted() -> None:
    bench = Bench(DnsCheck(**TIMES, retry=1, log_all_failures=True))
    bench.run(GOOD)
    assert bench.run(RCODE) == [f"log {RCODE.lines[0]}"]
    assert bench.run(RCODE)[0] == f"log {RCODE.lines[0]} after 1 retries"


# -- suspended -------------------------------------------------------------------


@pytest.mark.parametrize("check", [TcpCheck(**TIMES), SmtpCheck(**TIMES), MiscCheck(**TIMES)])
def test_a_suspended_check_keeps_its_timer_and_starts_nothing(check: ScheduledCheck) -> None:
    checking = schedule.enabled(begun(check), False)
    out: list[Consequence] = []
    for turn in range(3):
        now = Micros(SECOND + turn * LOOP)
        checking = schedule.due(checking, now, out)
        assert (out, checking.running, checking.next_at) == ([], False, now + LOOP)
    checking = schedule.due(schedule.enabled(checking, True), Micros(SECOND + 3 * LOOP), out)
    assert isinstance(out[0], StartCheck)
    assert checking.running


def test_a_suspended_check_that_runs_may_end() -> None:
    bench = Bench(TcpCheck(**TIMES))
    bench.start()
    bench.checking = schedule.enabled(bench.checking, False)
    assert bench.end(TCP_REFUSED)[1] == "verdict up->down first"


def test_the_log_tells_which_checks_are_active() -> None:
    def text(checking: schedule.Checking, *, starting: bool) -> str | None:
        line = schedule.activity_line(checking, starting=starting)
        return (
            None if line is None else line.text.removesuffix(f" healthchecker for service {RS} for VS {VS}")
        )

    checking = begun(TcpCheck())
    off = schedule.enabled(checking, False)
    assert text(checking, starting=True) == "Activating"
    assert text(off, starting=True) == "Deactivating"
    assert text(checking._replace(has_run=True), starting=True) is None
    assert text(off._replace(has_run=True), starting=True) == "Deactivating"
    assert text(begun(BfdCheck(name="b")), starting=True) is None
    assert text(checking, starting=False) == "Activating"
    assert text(off, starting=False) == "Suspending"


# -- whatever the results --------------------------------------------------------


def test_too_early_late_and_unasked_calls_change_nothing() -> None:
    checking = begun(TcpCheck())
    out: list[Consequence] = []
    assert schedule.due(checking, Micros(SECOND - 1), out) is checking
    assert schedule.finished(checking, GOOD, Micros(5), out) is checking
    running = schedule.due(checking, Micros(SECOND), out)
    assert schedule.due(running, Micros(90 * SECOND), out) is running
    for waiting in (begun(FileCheck(track_file="f")), begun(BfdCheck(name="b"))):
        assert schedule.due(waiting, Micros(90 * SECOND), out) is waiting
    assert len(out) == 1


KINDS = (TcpCheck, UdpCheck, PingCheck, SmtpCheck, DnsCheck, MiscCheck, HttpGet)
RESULTS = st.sampled_from(
    (
        GOOD,
        GOOD,
        TCP_REFUSED,
        TCP_LATE,
        bad(ending=Ending.EXITED, code=1),
        bad(ending=Ending.SIGNALLED, code=9),
        bad("TCP connect fail to create socket. Rescheduling.", ending=Ending.BROKEN),
    )
)


@given(
    kind=st.sampled_from(KINDS),
    retry=st.integers(0, 4),
    alpha=st.booleans(),
    reload=st.booleans(),
    hurry=st.booleans(),
    story=st.lists(st.tuples(RESULTS, st.integers(0, 9 * SECOND), st.integers(0, 5)), max_size=60),
)
@settings(max_examples=400, deadline=None)
def test_a_check_never_stops_never_runs_twice_and_changes_its_word_in_turn(
    kind: type[ScheduledCheck],
    retry: int,
    alpha: bool,
    reload: bool,
    hurry: bool,
    story: list[tuple[CheckResult, int, int]],
) -> None:
    more: dict[str, Any] = {}
    if kind is HttpGet:
        more = {"urls": (Url("/a"), Url("/b"), Url("/c")), "fast_recovery": hurry}
    bench = Bench(kind(**TIMES, retry=retry, alpha=alpha, **more), reload=reload)
    word, failures = not alpha, 0
    for result, took, suspend in story:
        bench.checking = schedule.enabled(bench.checking, suspend > 0)
        out: list[Consequence] = []
        assert bench.checking.next_at is not None
        bench.now = bench.checking.next_at
        bench.checking = schedule.due(bench.checking, Micros(bench.now), out)
        if suspend == 0:
            assert not out
            failures = 0 if kind is SmtpCheck else failures
            continue
        assert bench.checking.running and bench.checking.next_at is None
        bench.now += took
        first = not bench.checking.has_run
        bench.checking = schedule.finished(bench.checking, result, Micros(bench.now), out)
        assert not bench.checking.running
        assert bench.checking.next_at is not None and bench.checking.next_at >= bench.now
        verdicts = [each for each in out if isinstance(each, CheckerVerdict)]
        assert len(verdicts) <= 1
        for verdict in verdicts:
            assert verdict.was_up == word
            assert verdict.up == result.good
            assert verdict.up != word or first
            if not verdict.up and not first:
                assert failures >= retry
            word = verdict.up
        assert bench.checking.is_up == word
        if result.ending is not Ending.BROKEN:
            failures = 0 if result.good or verdicts else failures + 1
        elif kind is SmtpCheck:
            failures = 0
        assert not (word and bench.checking.has_run) or failures <= retry
