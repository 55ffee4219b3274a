"""FILE_CHECK and BFD_CHECK: a number in a file, and a session, as a server's health."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.core.checks import files, sessions
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.checks import BfdCheck, FileCheck, FileWeight, TcpCheck
from keepalived_py.model.effects import WriteLog
from tests.core.checks.check_bench import RS, begun, words

MOST = 2**31 - 1
NOW_FAULT = f"log ({RS}): tracked file tf now FAULT state"
LEAVING = f"log ({RS}): tracked file tf leaving FAULT state"


def following(value: int = 1, first: int = 0, *, reverse: bool = False) -> Checking:
    """A check of a file that has this weight, with `first` in the file."""
    check = FileCheck(track_file="tf", weight=FileWeight(value, reverse))
    return files.first_number(begun(check, weight=10), first)


def read(checking: Checking, *values: int) -> tuple[Checking, list[str]]:
    """The numbers are read one after the other: what follows from the last of them."""
    out: list[Consequence] = []
    for value in values:
        out.clear()
        checking = files.number_read(checking, value, out)
    return checking, [words(each) for each in out]


# -- files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "reverse", "value", "points"),
    [
        (2, False, 1000, 2000),
        (1, False, -10, -10),
        (2, True, 5, -10),
        (0, False, 0, 0),
        (0, False, 7, files.FAULT),
        (0, True, 0, files.FAULT),
        (0, True, 7, 0),
        (2, False, MOST, MOST),
        (1, False, -MOST, -MOST),
        (1, False, -MOST - 1, files.FAULT),
        (3, False, -MOST, files.FAULT),
        (-3, False, MOST, files.FAULT),
    ],
)
def test_what_a_number_adds(weight: int, reverse: bool, value: int, points: int) -> None:
    assert files.points(FileWeight(weight, reverse), value) == points


def test_the_difference_to_the_last_number_is_added() -> None:
    checking, said = read(following(2), 4)
    assert said == ["weight +8"]
    checking, said = read(checking, 1)
    assert (said, checking.share) == (["weight -6"], 2)
    assert read(checking, 1)[1] == []


def test_a_fault_takes_the_server_down_before_its_weight_is_taken_back() -> None:
    checking, said = read(following(1), 5, -MOST - 1)
    assert said == [NOW_FAULT, "verdict up->down", "weight -5 quiet"]
    checking, said = read(checking, 7)
    assert said == [LEAVING, "weight +7 quiet", "verdict down->up"]
    assert (checking.share, checking.is_up) == (7, True)


def test_without_a_weight_every_number_but_zero_is_a_fault() -> None:
    checking, said = read(following(0), 3)
    assert said == [NOW_FAULT, "verdict up->down"]
    assert read(checking, 4)[1] == []
    assert read(checking, 0)[1] == [LEAVING, "verdict down->up"]


def test_lines_about_faults_are_details() -> None:
    out: list[Consequence] = []
    files.number_read(following(0), 3, out)
    assert isinstance(out[0], WriteLog) and out[0].detail


def test_what_is_in_the_file_at_the_start_counts_at_once() -> None:
    assert following(2, 4).share == 8
    assert following(2, 4).is_up
    assert following(0).is_up
    for fault in (following(0, 1), following(0, 0, reverse=True), following(1, -MOST - 1)):
        assert (fault.is_up, fault.share, fault.has_run) == (False, 0, True)
    assert read(following(0, 1), 0)[1] == [LEAVING, "verdict down->up"]


def test_other_checks_do_not_care_for_numbers() -> None:
    other = begun(TcpCheck())
    assert files.first_number(other, 4) is other
    assert read(other, 4) == (other, [])


@given(
    weight=st.integers(-MOST, MOST), values=st.lists(st.integers(-MOST - 1, MOST + 1)), reverse=st.booleans()
)
def test_weight_and_word_depend_on_the_last_number_only(
    weight: int, values: list[int], reverse: bool
) -> None:
    checking = following(weight, reverse=reverse)
    for value in values:
        checking, _ = read(checking, value)
        points = files.points(FileWeight(weight, reverse), value)
        assert checking.is_up is (points != files.FAULT)
        assert checking.share == (points if checking.is_up else 0)


# -- sessions --------------------------------------------------------------------


def said(checking: Checking, up: bool) -> tuple[Checking, list[str]]:
    """The session says that it is up, or not."""
    out: list[Consequence] = []
    checking = sessions.session_said(checking, up, out)
    return checking, [words(each) for each in out]


def test_a_server_follows_its_session() -> None:
    checking = begun(BfdCheck(name="b1"))
    checking, news = said(checking, True)
    assert news == [f"log BFD check of [b1] RS({RS}) is UP", "verdict up->up first"]
    assert said(checking, True)[1] == []
    checking, news = said(checking, False)
    assert news == [
        f"log BFD check of [b1] RS({RS}) is DOWN",
        "verdict up->down",
        "mail => BFD CHECK b1 failed on service <=",
    ]
    assert said(checking, False)[1] == []
    assert said(checking, True)[1][1:] == [
        "verdict down->up",
        "mail => BFD CHECK b1 succeeded on service <=",
    ]


def test_an_alpha_server_waits_for_its_session() -> None:
    checking = begun(BfdCheck(name="b1", alpha=True))
    assert not checking.is_up
    checking, news = said(checking, False)
    assert news == [f"log BFD check of [b1] RS({RS}) is DOWN", "verdict down->down first"]
    assert said(checking, True)[1][1] == "verdict down->up"


def test_other_checks_do_not_follow_sessions() -> None:
    assert said(begun(TcpCheck()), False)[1] == []


def test_news_of_a_session_is_a_detail_of_the_log() -> None:
    line = sessions.news_line("b1", "Up", 120)
    assert line == WriteLog(
        "Received BFD event: instance b1 is in state Up (delivered in 120 usec)", detail=True
    )
