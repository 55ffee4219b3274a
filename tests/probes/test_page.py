"""Reading an answer: what keepalived finds in the bytes, and nothing that grows with them."""

import hashlib

import pytest

from keepalived_py.probes.page import LARGEST_HEAD, Page, length_in, status_in


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 503 \r\n\r\n", 503),
        (b"ICY 200 OK\r\n\r\n", 200),
        (b"what ever\r\n\r\n", 0),
        (b" 204 x\r\n\r\n", 204),
        (b"HTTP/1.1 200\r\n\r\n", 0),
        (b"HTTP/1.1  200 OK\r\n\r\n", 0),
        (b"HTTP/1.1 2000 OK\r\n\r\n", 0),
        (b"HTTP/1.1\r\n 200 OK\r\n\r\n", 0),
        (b"HTTP/1.1\n 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 -99 OK\r\n\r\n", 0),
        (b"\r\n\r\n", 0),
    ],
)
def test_the_status(head: bytes, status: int) -> None:
    assert status_in(head) == status


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"Content-Length: 12\r\n\r\n", 12),
        (b"X\r\nContent-Length:7\n", 7),
        (b"content-length: 12\r\n\r\n", None),
        (b"Content-Length: 12 \r\n\r\n", None),
        (b"Content-Length:\r\n\r\n", 0),
        (b"Content-Length: -1\r\n\r\n", None),
        (b"Content-Length: 99999999999999999999999\r\n\r\n", None),
        (b"X: \0Content-Length: 12\r\n\r\n", None),
        (b"X-Content-Length: 5\r\n\r\n", 5),
        (b"\r\n\r\n", None),
    ],
)
def test_the_length(head: bytes, length: int | None) -> None:
    assert length_in(head) == length


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4095])
def test_the_size_of_the_pieces_does_not_matter(size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyand more"
    page = Page(digested=True)
    used = b"".join(page.take(answer[at : at + size]) for at in range(0, len(answer), size))
    assert used == b"body"
    assert page.digest == hashlib.md5(b"body").digest()
    assert (page.status, page.length, page.received) == (200, 4, 12)
    assert page.title() == "200 OK"


def test_a_head_may_fill_the_buffer_but_not_more() -> None:
    page = Page(digested=False)
    filler = b"a" * (LARGEST_HEAD - 3)
    page.take(filler)
    assert page.room == 3
    page.take(b"bbb")
    assert page.room == 0
    assert not page.head_complete
    exact = Page(digested=False)
    exact.take(filler[1:] + b"\r\n\r\n")
    assert exact.head_complete


def test_people_are_told_what_is_wrong_with_a_head() -> None:
    page = Page(digested=False)
    page.take(b"garbage\r\n\r\n")
    assert "illegal status line" in page.title()
    page = Page(digested=False)
    page.take(b"HTTP/1.1 200\r\n\r\n")
    assert page.title() == "no status with a reason in the first line"
    page = Page(digested=False)
    page.take(b"HTTP/1.1 500 \x1b[31m\xff\r\n\r\n")
    assert page.title().isprintable()
