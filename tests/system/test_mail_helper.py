"""Mails and the synchronisation of connections by helper processes: nothing waits, nothing is lost silently."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from keepalived_py.base.errors import FatalStart
from keepalived_py.model import effects as fx
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration, Globals
from keepalived_py.model.globals import Mail, MailServer, SyncDaemon
from keepalived_py.model.ipvs import StartSync, StopSync, SyncRole
from keepalived_py.system import courier, sync_helper
from keepalived_py.system.mail_helper import MailHelper
from keepalived_py.system.sync_helper import Apply, SyncHelper

LIMIT_S = 20.0
HERE = ip_address("127.0.0.1")
T = TypeVar("T")


class Keeper:
    """The subjects of the mails that a server has accepted."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        subject = next(line for line in envelope.content.split(b"\r\n") if line.startswith(b"Subject: "))
        self.subjects.append(subject.decode().removeprefix("Subject: "))
        return "250 OK"


def configured(port: int) -> Configuration:
    mail = Mail(recipients=("a@x",), sender="b@x", server=MailServer(HERE, port), helo_name="vm")
    return Configuration(globals=Globals(router_id="L", mail=mail))


def with_server(work: Callable[[Keeper, int], Awaitable[T]]) -> T:
    async def run() -> T:
        keeper = Keeper()
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(keeper), str(HERE), 0)
        async with asyncio.timeout(LIMIT_S), server:
            return await work(keeper, server.sockets[0].getsockname()[1])

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.slow
def test_a_burst_that_fills_the_socket() -> None:
    """All of a thousand alerts arrive; handing them over takes the caller next to no time."""
    count = 1000

    async def work(keeper: Keeper, port: int) -> None:
        log: list[str] = []
        helper = MailHelper(log.append, lambda line: None)
        helper.follow(configured(port))
        assert helper.helper_pid
        for number in range(count):
            helper.send(SendAlert(str(number), "text"))
        await helper.finish(LIMIT_S)
        assert log == []
        assert sorted(keeper.subjects) == sorted(f"[L] {number}" for number in range(count))
        assert not helper.helper_pid

    with_server(work)


def test_what_finds_no_room_is_named() -> None:
    async def work(keeper: Keeper, port: int) -> None:
        log: list[str] = []
        helper = MailHelper(log.append, lambda line: None)
        helper.follow(configured(port))
        os.kill(helper.helper_pid, signal.SIGSTOP)
        while not log:
            helper.send(SendAlert("x", "text" * 100))
        os.kill(helper.helper_pid, signal.SIGCONT)
        assert log == ['The mail "x" is not sent: too many others wait']
        helper.close()
        assert len(log) == 1 + courier.MOST_WAITING

    with_server(work)


def test_log_lines_come_back() -> None:
    async def work(keeper: Keeper, port: int) -> None:
        log: list[str] = []
        details: list[str] = []
        helper = MailHelper(log.append, details.append)
        with socket.socket() as unused:
            unused.bind((str(HERE), 0))
            helper.follow(configured(unused.getsockname()[1]))
            helper.send(SendAlert("first", "text"))
            await until(lambda: len(log) == 2)
        helper.follow(configured(port))
        helper.send(SendAlert("second", "text"))
        await until(lambda: len(details) == 2)
        assert log[1].startswith('The mail "[L] first" is not sent: ')
        assert details[1] == "SMTP alert successfully sent."
        await helper.finish(LIMIT_S)

    with_server(work)


def test_a_killed_helper_is_replaced() -> None:
    """The next one knows the settings again."""

    async def work(keeper: Keeper, port: int) -> None:
        log: list[str] = []
        helper = MailHelper(log.append, lambda line: None)
        helper.follow(configured(port))
        first = helper.helper_pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: helper.helper_pid not in (0, first))
        helper.send(SendAlert("later", "text"))
        await until(lambda: keeper.subjects == ["[L] later"])
        assert log == ["The process that sends mails has ended: what it had not sent is lost"]
        await helper.finish(LIMIT_S)

    with_server(work)


def test_no_helper_without_need() -> None:
    async def work(keeper: Keeper, port: int) -> None:
        helper = MailHelper(print, print)
        helper.follow(configured(port), needed=False)
        helper.follow(Configuration())
        helper.send(SendAlert("x", "text"))
        assert not helper.helper_pid
        await helper.finish(LIMIT_S)

    with_server(work)


# -- the synchronisation ------------------------------------------------------------

DAEMON = SyncDaemon("eth0", "VI_1", 7, maxlen=1400, port=8848, ttl=3, group=ip_address("224.0.0.81"))
# The helper has no use for the name of the instance, nor for the number in the settings.
PLAIN = SyncDaemon("eth0", maxlen=1400, port=8848, ttl=3, group=ip_address("224.0.0.81"))


def served(
    messages: Sequence[dict[str, Any]], opened: Callable[[str | None], Apply]
) -> tuple[list[str], int]:
    """What the helper says to these orders, and how many it has finished."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = threading.Thread(target=sync_helper.serve, args=(theirs, opened))
    helper.start()
    said: list[str] = []
    done = 0
    with ours:
        ours.settimeout(LIMIT_S)
        for message in (*messages, {"finish": 1.0}):
            ours.send(json.dumps(message).encode())
        while not done:
            answer = json.loads(ours.recv(65536))
            done += "done" in answer
            if "log" in answer:
                said.append(answer["log"])
    helper.join(LIMIT_S)
    theirs.close()
    return said, done


def order(*changes: StartSync | StopSync) -> dict[str, Any]:
    return {"namespace": "ns", "changes": [sync_helper._packed(one) for one in changes]}


def test_changes_arrive_as_they_were() -> None:
    made: list[StartSync | StopSync] = []
    namespaces: list[str | None] = []

    def opened(namespace: str | None) -> Apply:
        namespaces.append(namespace)

        def apply(changes: Sequence[StartSync | StopSync]) -> Sequence[fx.Outcome]:
            made.extend(changes)
            return [fx.AlreadySo() if isinstance(one, StopSync) else fx.Failed(19) for one in changes]

        return apply

    stop, start = StopSync(SyncRole.BACKUP, 7, DAEMON), StartSync(SyncRole.MASTER, 7, DAEMON)
    said, done = served([order(stop, start), order(stop)], opened)
    assert made == [StopSync(SyncRole.BACKUP, 7, PLAIN), StartSync(SyncRole.MASTER, 7, PLAIN), made[0]]
    assert namespaces == ["ns"] and done == 1
    assert said == [
        "IPVS cmd IP_VS_SO_SET_STARTDAEMON(1163) error: No such device(19), master of the synchronisation"
    ]


def test_a_kernel_without_ipvs_is_one_line() -> None:
    def opened(namespace: str | None) -> Apply:
        raise FatalStart("no IPVS here")

    start = StartSync(SyncRole.BACKUP, 7, DAEMON)
    assert served([order(start), order(start)], opened)[0] == ["lvs_sync_daemon: no IPVS here"]


def test_the_helper_is_there_only_when_there_is_something_to_do() -> None:
    async def run() -> None:
        helper = SyncHelper(print)
        helper.apply((), None)
        assert helper.helper_pid == 0
        helper.apply((StopSync(SyncRole.BACKUP, 7, DAEMON),), "no such namespace")
        assert helper.helper_pid
        await helper.finish(LIMIT_S)
        assert helper.helper_pid == 0

    asyncio.run(run())
