"""Requests and their answers over a socket that answers as the test says."""

import asyncio
import errno
import struct
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.network import VirtualAddress
from keepalived_py.system import addresses, links, loop, rtnetlink
from keepalived_py.system.requests import Answer, Conversation, Refused, Requests, Unanswered
from keepalived_py.system.rtnetlink import Request


def header(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 77) + payload


def answer(sequence: int, error: int) -> bytes:
    """What the kernel says of a request: the errno, negative, and the head of the request."""
    return header(rtnetlink.ERROR, sequence, struct.pack("=i", -error) + bytes(16))


class FakeKernel:
    """Answers what was sent, each request by the errno that `refuse` gives for its index."""

    def __init__(self, refuse: Callable[[int], int] = lambda index: 0) -> None:
        self.refuse = refuse
        self.sent: list[list[rtnetlink.Message]] = []
        self.answers: list[bytes | OSError] = []
        self.silent = False
        self.closed = False

    def send(self, data: bytes, /) -> int:
        series = list(rtnetlink.messages(data))
        self.sent.append(series)
        for message in series:
            index = struct.unpack_from("=I", message.payload, 4)[0]
            error = self.refuse(index)
            if not self.silent and (error or message.flags & rtnetlink.ACKNOWLEDGE):
                self.answers.append(answer(message.sequence, error))
        return len(data)

    def recv(self, length: int, /) -> bytes:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, "no answer")
        said = self.answers.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    def close(self) -> None:
        self.closed = True


def performed(requests: Requests, *numbers: int) -> "asyncio.Future[Sequence[Answer]]":
    """The answers to come, of requests for these interfaces."""
    answers: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
    requests.perform([request(number) for number in numbers], answers.set_result)
    return answers


def request(number: int) -> Request:
    """An address on the interface e<number>, which has the index <number>."""
    name = InterfaceName(f"e{number}")
    return addresses.addition(VirtualAddress(ip_address("10.0.0.1"), 32, name))


def index_of(name: InterfaceName) -> int:
    return int(name[1:])


def perform(kernel: FakeKernel, *numbers: int) -> list[Answer]:
    return Conversation(kernel, index_of).perform([request(number) for number in numbers])


def test_all_go_out_together_and_one_is_acknowledged() -> None:
    kernel = FakeKernel()
    assert perform(kernel, 1, 2, 3) == [None, None, None]
    (series,) = kernel.sent
    assert [struct.unpack_from("=I", message.payload, 4)[0] for message in series] == [1, 2, 3]
    assert [bool(message.flags & rtnetlink.ACKNOWLEDGE) for message in series] == [False, False, True]
    assert len({message.sequence for message in series}) == 3


@pytest.mark.parametrize("error", [errno.EPERM, errno.EEXIST, errno.ENODEV, errno.EINVAL])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_refusals_are_matched_by_sequence_number(error: int, which: int) -> None:
    answers = perform(FakeKernel(lambda index: error if index == which else 0), 1, 2, 3)
    assert answers == [Refused(error) if number == which else None for number in (1, 2, 3)]


def test_everything_may_be_refused() -> None:
    assert perform(FakeKernel(lambda index: errno.EPERM), 1, 2) == [Refused(errno.EPERM)] * 2


def test_an_interface_that_is_not_there_is_not_asked_for() -> None:
    kernel = FakeKernel()
    assert perform(kernel, 1, 0, 2) == [None, Refused(errno.ENODEV), None]
    assert [len(series) for series in kernel.sent] == [2]


def test_nothing_is_sent_if_nothing_can_be() -> None:
    kernel = FakeKernel()
    assert perform(kernel, 0, 0) == [Refused(errno.ENODEV)] * 2
    assert kernel.sent == []


def test_no_answer_in_time() -> None:
    kernel = FakeKernel()
    kernel.silent = True
    assert perform(kernel, 1, 2) == [Unanswered(), Unanswered()]


def test_what_was_refused_before_the_silence_is_known() -> None:
    kernel = FakeKernel(lambda index: errno.EEXIST if index == 1 else 0)
    conversation = Conversation(kernel, index_of)
    kernel.silent = True
    kernel.answers = [answer(1, errno.EEXIST)]
    assert conversation.perform([request(1), request(2)]) == [Refused(errno.EEXIST), Unanswered()]


def test_answers_that_did_not_fit_are_unknown() -> None:
    kernel = FakeKernel()
    kernel.answers = [OSError(errno.ENOBUFS, "lost")]
    assert perform(kernel, 1) == [Unanswered()]


@pytest.mark.parametrize("error", [errno.EPERM, errno.EMSGSIZE])
def test_a_refused_sending_is_an_answer(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel()

    def refused(data: bytes, /) -> int:
        raise OSError(error, "no")

    monkeypatch.setattr(kernel, "send", refused)
    assert perform(kernel, 1, 2) == [Refused(error), Refused(error)]


def test_late_short_and_foreign_answers_are_passed_over() -> None:
    kernel = FakeKernel()
    kernel.answers = [
        b"",
        b"\x10\0\0",
        header(rtnetlink.ERROR, 1, b"\0"),  # too short for a number
        answer(99, errno.EPERM),
        struct.pack("=IHHII", 500, rtnetlink.ERROR, 0, 1, 0),  # longer than what came
    ]
    assert perform(kernel, 1) == [None]


def test_a_long_series_is_cut() -> None:
    kernel = FakeKernel(lambda index: errno.EEXIST if index == 1999 else 0)
    numbers = range(1, 2001)
    answers = perform(kernel, *numbers)
    assert answers == [Refused(errno.EEXIST) if number == 1999 else None for number in numbers]
    assert 1 < len(kernel.sent) < 5
    assert sum(len(series) for series in kernel.sent) == 2000


def test_an_interrupted_dump_is_taken_again() -> None:
    kernel = FakeKernel()
    link = header(rtnetlink.NEW_LINK, 1, bytes(16), rtnetlink.DUMP_INTERRUPTED)
    again = header(rtnetlink.NEW_LINK, 2, bytes(16))
    kernel.answers = [
        link + header(rtnetlink.DONE, 1, bytes(4)),
        again + header(rtnetlink.NEW_LINK, 1, bytes(16)),
        header(rtnetlink.DONE, 2, bytes(4)),
    ]
    found = Conversation(kernel, index_of).dump(links.DUMP)
    assert [message.sequence for message in found] == [2]


def test_a_refused_dump_raises() -> None:
    kernel = FakeKernel()
    kernel.answers = [answer(1, errno.EPERM)]
    with pytest.raises(PermissionError):
        Conversation(kernel, index_of).dump(links.DUMP)


def test_series_that_wait_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.if_nametoindex", index_of)
    kernel = FakeKernel(lambda index: errno.EEXIST if index == 2 else 0)

    async def scenario() -> list[Sequence[Answer]]:
        requests = Requests()
        requests.open(lambda: kernel)
        # The thread is held in a call until all series are there.
        entered, ready = threading.Event(), threading.Event()

        def hold(talk: Conversation) -> bool:
            entered.set()
            return ready.wait(5)

        held = requests.call(hold)
        while not entered.is_set():
            await asyncio.sleep(0)
        series = [performed(requests, number) for number in (1, 2, 3)]
        ready.set()
        assert await held
        answers = list(await asyncio.gather(*series))
        requests.close()
        return answers

    assert loop.run(scenario()) == [[None], [Refused(errno.EEXIST)], [None]]
    assert [len(sent) for sent in kernel.sent] == [3]


def test_an_error_of_a_call_belongs_to_its_caller() -> None:
    async def scenario() -> None:
        requests = Requests()
        requests.open(FakeKernel)
        with pytest.raises(BlockingIOError):
            await requests.call(lambda talk: talk.dump(links.DUMP))
        assert await requests.call(lambda talk: 7) == 7
        requests.close()

    loop.run(scenario())


def test_a_bug_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.if_nametoindex", index_of)
    kernel = FakeKernel()
    reported: list[object] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said["exception"]))
        requests = Requests()
        requests.open(lambda: kernel)
        monkeypatch.setattr(kernel, "refuse", lambda index: 1 // 0)
        assert await performed(requests, 1) == [Unanswered()]
        monkeypatch.setattr(kernel, "refuse", lambda index: 0)
        assert await performed(requests, 1) == [None]
        requests.close()

    loop.run(scenario())
    assert [type(error) for error in reported] == [ZeroDivisionError]


def test_after_the_end_nothing_hangs() -> None:
    async def scenario() -> None:
        requests = Requests()
        assert await performed(requests, 1) == [Refused(errno.ESHUTDOWN)]
        kernel = FakeKernel()
        requests.open(lambda: kernel)
        before = requests.call(lambda talk: 1)
        requests.close()
        assert await before == 1
        assert await performed(requests, 1, 2) == [Refused(errno.ESHUTDOWN)] * 2
        with pytest.raises(OSError, match="shutdown"):
            await requests.call(lambda talk: 1)
        while not kernel.closed:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), 5))
