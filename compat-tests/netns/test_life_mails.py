"""Mails about instances and groups: a mail server beside each program hears the same dialogues."""

import re
import signal
import socket
import threading
from collections.abc import Iterator
from itertools import count

import pytest
from lab import Lab
from life import block, router, text
from space import inside
from twins import Twins

pytestmark = pytest.mark.netns

PORT = 2525
_DATE = re.compile(rb"Date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\n")


class MailServer:
    """Takes every mail on the loopback address of node 1; `dialogues`: what was said to it."""

    def __init__(self, lab: Lab) -> None:
        self.dialogues: list[bytes] = []
        with inside(lab.space.node(1)):
            self._socket = socket.create_server(("127.0.0.1", PORT), backlog=64)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        """Take no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        for _ in count():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        said = b""
        try:
            connection.sendall(b"220 ready\r\n")
            with connection.makefile("rb") as lines:
                in_mail = False
                for line in lines:
                    said += line
                    if in_mail and line != b".\r\n":
                        continue
                    answer = b"354 go\r\n" if line == b"DATA\r\n" else b"250 ok\r\n"
                    in_mail = line == b"DATA\r\n"
                    connection.sendall(b"221 bye\r\n" if line == b"QUIT\r\n" else answer)
        except OSError:
            pass
        self.dialogues.append(said)


@pytest.fixture
def servers(twins: Twins) -> Iterator[dict[int, MailServer]]:
    """A mail server for each laboratory."""
    made = {id(lab): MailServer(lab) for lab, _ in twins.both}
    yield made
    for server in made.values():
        server.close()


MAIL = (
    *block("notification_email", "admin@example.com", "ops@example.com"),
    "notification_email_from ka@example.com",
    f"smtp_server 127.0.0.1 {PORT}",
    "smtp_helo_name here.example.com",
    "router_id LVS_A",
)


def complete(server: MailServer) -> list[bytes]:
    """Whole dialogues, without their dates; recipients in one line, as the older program has them."""
    whole = [one for one in server.dialogues if one.endswith(b"QUIT\r\n")]
    return [_DATE.sub(b"", one).replace(b",\r\n ", b", ") for one in whole]


def subjects(server: MailServer) -> list[str]:
    return [one.partition(b"Subject: [LVS_A] ")[2].partition(b"\r\n")[0].decode() for one in complete(server)]


@pytest.mark.parametrize("faults", [True, False])
def test_a_life_in_mails(twins: Twins, servers: dict[int, MailServer], faults: bool) -> None:
    """Start, MASTER, link down and up: of the instance and of its group, byte by byte."""
    more = () if faults else ("no_email_faults",)
    group = "\n".join([*block("vrrp_sync_group G1", *block("group", "VI_1", "VI_2"), "smtp_alert"), ""])
    one = router("VI_1", 51, 100, ("10.77.1.51/32",), ("smtp_alert",), advert_s=0.3)
    other = router("VI_2", 52, 100, ("10.77.1.52/32",), (), advert_s=0.3)
    twins.start(lambda lab: text(group, one, other, lines=(*MAIL, *more)))
    master = "VRRP Group G1 - Entering MASTER state"

    def told(subject: str, times: int) -> None:
        twins.wait(lambda lab: subjects(servers[id(lab)]).count(subject) >= times, 20, subject)

    told(master, 1)
    told("VRRP Instance VI_1 - Entering MASTER state", 1)
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "down")
    twins.wait(lambda lab: lab.programs[1].logged("(VI_1) Entering FAULT STATE"), 20, "FAULT")
    if faults:
        told("VRRP Group G1 - Entering FAULT state", 1)
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "up")
    told(master, 2)
    told("VRRP Instance VI_1 - Entering MASTER state", 2)
    assert any(b"FAULT" in one for one in complete(servers[id(twins.other)])) == faults
    # Mails that are sent at the same time arrive in any order.
    twins.same(lambda lab: sorted(complete(servers[id(lab)])))


def test_the_end_is_told(twins: Twins, servers: dict[int, MailServer]) -> None:
    """keepalived does not wait for its last mails, which therefore never arrive; ours do."""
    one = router("VI_1", 51, 100, ("10.77.1.51/32",), ("smtp_alert",), advert_s=0.3)
    twins.start(lambda lab: text(one, lines=MAIL))
    twins.wait(lambda lab: len(complete(servers[id(lab)])) >= 2, 20, "two mails")
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
    for lab, _ in twins.both:
        assert lab.programs[1].wait_end() == 0
    twins.other.wait(
        lambda: "VRRP Instance VI_1 - Stopping" in subjects(servers[id(twins.other)]), 5, "the last mail"
    )
