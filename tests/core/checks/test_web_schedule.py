"""HTTP_GET and SSL_GET: the pages of a check in turn, and what brings a server down and back."""

from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.model.check_events import CheckResult, Ending
from keepalived_py.model.checks import HttpGet, SslGet, Url
from tests.core.checks.check_bench import RS, SECOND, VS, Bench, bad

LOOP = Micros(6 * SECOND)
ERROR = bad(f"HTTP status code error to server {RS}.", ending=Ending.WRONG, code=503)
LATE = bad(f"Timeout HTTP read server {RS}.", ending=Ending.TIMED_OUT)
UP = [
    f"log Remote Web server {RS} succeed on service.",
    "verdict down->up",
    "mail => CHECK succeed on service <=",
]
DOWN_MAIL = "mail => CHECK failed on service : HTTP/SSL request failed <="


def check(pages: int = 1, **more: Any) -> HttpGet:
    """A check of so many pages."""
    usual = {"delay_loop_us": LOOP, "delay_before_retry_us": Micros(2 * SECOND), "warmup_us": Micros(0)}
    return HttpGet(**{**usual, "urls": tuple(Url(f"/{page}") for page in range(pages)), **more})


def good(page: int = 0, *before: str) -> CheckResult:
    """The page was as it should be."""
    line = f"HTTP status code success to {RS} url(/{page})"
    return CheckResult(True, code=200, lines=(*before, line))


def up(**more: Any) -> Bench:
    """A check that has fetched all its pages once."""
    bench = Bench(check(**more))
    for page in range(more.get("pages", 1)):
        bench.run(good(page))
    return bench


def test_the_pages_are_fetched_in_turn_a_delay_loop_apart() -> None:
    bench = Bench(check(3))
    parts = []
    for page in (0, 1, 2, 0, 1):
        followed = bench.run(good(page))
        parts.append((bench.part, bench.pause, followed))
    news = [UP[0], "verdict up->up first"]
    assert parts == [(0, 6, []), (1, 6, []), (2, 6, news), (0, 6, []), (1, 6, [])]


def test_one_failure_is_enough_the_first_time_and_the_line_tells_of_retries_all_the_same() -> None:
    bench = Bench(check(retry=1))
    assert bench.run(ERROR) == [
        f"log HTTP_CHECK on service {RS} failed after 1 retries.",
        "verdict up->down",
        DOWN_MAIL,
    ]
    assert bench.pause == 6
    ssl = SslGet(urls=(Url("/0"),), retry=0, delay_loop_us=LOOP)
    assert Bench(ssl).run(ERROR)[0] == f"log SSL_CHECK on service {RS} failed."


def test_the_first_pass_may_fail_at_any_page() -> None:
    bench = Bench(check(2, retry=3))
    bench.run(good(0))
    assert bench.run(ERROR)[1] == "verdict up->down"
    assert bench.checking.failed_part == 1


def test_a_page_gets_its_retries() -> None:
    bench = up(retry=2)
    assert bench.run(ERROR) == []
    assert bench.pause == 2
    assert bench.run(LATE) == []
    assert bench.run(ERROR) == [
        f"log HTTP_CHECK on service {RS} failed after 2 retries.",
        "verdict up->down",
        DOWN_MAIL,
    ]


def test_a_good_page_forgets_the_failures_of_the_one_before() -> None:
    bench = up(pages=2, retry=1)
    bench.run(ERROR)
    assert bench.run(good(0)) == []
    assert bench.part == 0
    assert bench.run(ERROR) == []
    assert (bench.part, bench.pause) == (1, 2)


def test_with_one_page_two_successes_bring_the_server_back() -> None:
    bench = up(retry=0)
    bench.run(ERROR)
    assert bench.run(ERROR) == []
    assert bench.pause == 6
    line = f"log HTTP status code success to {RS} url(/0)"
    assert bench.run(good()) == [line]
    assert bench.pause == 6
    assert bench.run(good()) == [line, *UP]


def test_the_page_that_failed_must_be_good_and_then_all_of_them() -> None:
    bench = up(pages=3, retry=0)
    bench.run(good(0))
    bench.run(ERROR)
    asked, followed = [], []
    for _ in range(2):
        bench.run(ERROR)
        asked.append(bench.part)
    while not bench.checking.is_up:
        bench.start()
        asked.append(bench.part)
        followed = bench.end(good(bench.part))
    assert asked == [1, 1, 1, 0, 1, 2]
    assert followed[1:] == UP


def test_while_it_is_down_the_longer_of_both_delays_counts() -> None:
    bench = Bench(check(delay_before_retry_us=Micros(20 * SECOND)))
    bench.run(ERROR)
    assert bench.pause == 20
    assert bench.run(ERROR) == []
    assert bench.pause == 20


def test_a_failure_on_the_way_back_is_retried_and_does_not_begin_anew() -> None:
    bench = up(pages=2, retry=1)
    bench.run(ERROR)
    bench.run(ERROR)
    bench.run(good(0))
    bench.run(good(0))
    assert bench.run(ERROR) == []
    assert (bench.part, bench.pause) == (1, 2)
    assert bench.run(good(1))[1:] == UP


def test_fast_recovery_waits_between_good_pages_only_while_the_server_is_up() -> None:
    bench = Bench(check(2, fast_recovery=True, retry=0))
    bench.run(good(0))
    assert bench.pause == 0
    bench.run(good(1))
    assert bench.pause == 6
    bench.run(ERROR)
    assert bench.pause == 6
    pauses = []
    for page in (0, 0, 1):
        bench.run(good(page))
        pauses.append(bench.pause)
    assert pauses == [0, 0, 6]
    assert bench.checking.is_up


def test_fast_recovery_never_asks_a_failing_server_without_a_pause() -> None:
    bench = Bench(check(fast_recovery=True, retry=0))
    bench.run(ERROR)
    bench.run(good())
    assert bench.pause == 0
    bench.run(ERROR)
    assert bench.pause == 2


def test_an_alpha_server_needs_all_pages_and_says_nothing_of_its_first_failure() -> None:
    bench = Bench(check(2, alpha=True, retry=1))
    assert bench.run(ERROR) == []
    assert bench.checking.failed_part == 0
    line = "log HTTP status code success to"
    assert bench.run(good(0)) == [f"{line} {RS} url(/0)"]
    bench.run(good(0))
    assert bench.run(good(1)) == [f"{line} {RS} url(/1)", *UP]


@pytest.mark.parametrize("wanted", [False, True])
def test_each_failure_is_logged_only_if_that_is_wanted_and_the_server_is_up(wanted: bool) -> None:
    bench = up(retry=1, log_all_failures=wanted)
    said = [f"log {ERROR.lines[0]}"] if wanted else []
    assert bench.run(ERROR) == said
    assert bench.run(ERROR)[: len(said)] == said
    assert bench.run(ERROR) == []


def test_a_wrong_content_length_is_logged_once_for_each_difference() -> None:
    bench = up()

    def ran(announced: int, received: int) -> list[str]:
        words = f"content_length ({announced}) does not match received bytes ({received})"
        said = bench.run(good(0, words) if announced != received else good())
        where = f"log http_check for RS {RS} VS {VS} url /0: "
        assert all(line == where + words for line in said)
        return said

    assert len(ran(10, 8)) == 1
    assert ran(10, 8) == []
    assert ran(20, 18) == []
    assert len(ran(10, 7)) == 1
    assert ran(10, 10) == []
    assert len(ran(10, 7)) == 1
