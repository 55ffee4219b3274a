"""`vrrp_check`: the addresses go where the server answers, and no advert waits for an answer.

keepalived has no such block, so both nodes run the subject.
"""

import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from configs import VIP, Instance, whole
from lab import SECOND_NS, Lab, master_down_s, skew_s
from space import inside

pytestmark = pytest.mark.netns

PORT = 8080
BETTER, WORSE = 150, 100
INTERVAL_S, FALL, TIMEOUT_S = 0.5, 2, 0.4
# What two busy cores may add to the times of rule.
SLACK_S = 0.6


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may hang up when it likes."""


class Site:
    """A web server on a node; `mood` is "good", "sick" (503) or "silent"."""

    def __init__(self, namespace: str, context: ssl.SSLContext | None, body: bytes) -> None:
        self.mood = "good"
        self.asked = 0
        self._closing = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                if site.mood == "silent":
                    site._closing.wait()
                    return
                self.send_response(200 if site.mood == "good" else 503)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        with inside(namespace):
            self._server = _Server(("127.0.0.1", PORT), Handler)
        self._server.daemon_threads = True
        if context is not None:
            # The handshake is done by the thread of the connection, when it reads.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Nobody listens any more."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@contextmanager
def sites(lab: Lab, nodes: int, tls: bool, body: bytes = b"fine\n") -> Iterator[list[Site]]:
    """A web server on each of the first `nodes` nodes."""
    context = certified(lab.directory) if tls else None
    with ExitStack() as stack:
        made = [Site(lab.space.node(node), context, body) for node in range(1, nodes + 1)]
        for site in made:
            stack.callback(site.close)
        yield made


def certified(directory: Path) -> ssl.SSLContext:
    """TLS with a certificate that nobody has signed but itself."""
    files = ["-keyout", str(directory / "key"), "-out", str(directory / "certificate")]
    how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=web"]
    subprocess.run(["openssl", "req", "-x509", *how, *files], check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate", directory / "key")
    return context


def check(tls: bool, name: str = "web", interval_s: float = INTERVAL_S) -> str:
    """The block."""
    kind = "SSL_GET" if tls else "HTTP_GET"
    inner = f"connect_ip 127.0.0.1\nconnect_port {PORT}\nconnect_timeout 5\nurl {{\npath /a\n}}\nurl {{\npath /b\n}}"
    times = f"interval {interval_s}\ntimeout {TIMEOUT_S}\nfall {FALL}\nrise 2"
    return f"vrrp_check {name} {{\n{kind} {{\n{inner}\n}}\n{times}\n}}\n"


def pair(lab: Lab, subject: str, tls: bool, weight: str) -> None:
    """Both nodes run, and the better one is master."""
    lines = ["track_check {", f"    web {weight}", "}"]
    for node, priority in ((1, BETTER), (2, WORSE)):
        lab.start(node, subject, whole(Instance(priority, lines=lines), before=check(tls)))
    lab.wait_master(1, vip=VIP, timeout_s=12)


def first_advert_of(lab: Lab, node: int, since_ns: int) -> int:
    """When it first advertised after that time; waits for it."""
    lab.wait(lambda: bool(lab.capture.adverts(node, since_ns=since_ns)), 12, f"an advert of node {node}")
    return lab.capture.adverts(node, since_ns=since_ns)[0].time_ns


CASES = [
    ("sick", False, "", "VRRP_Check(web) failed (503 Service Unavailable for /a)"),
    ("silent", False, "", "VRRP_Check(web) timed_out"),
    ("gone", False, "", "VRRP_Check(web) failed (connection refused for /a)"),
    ("sick", True, "weight -60", "VRRP_Check(web) failed (503 Service Unavailable for /a)"),
    ("silent", True, "", "VRRP_Check(web) timed_out"),
]


@pytest.mark.parametrize(("mood", "tls", "weight", "line"), CASES)
def test_the_address_goes_where_the_server_answers(
    lab: Lab, subject: str, mood: str, tls: bool, weight: str, line: str
) -> None:
    """Within interval x fall, the time of the last check, and what the adverts take; and back again."""
    with sites(lab, 2, tls) as (here, _):
        pair(lab, subject, tls, weight)
        began_ns = time.time_ns()
        if mood == "gone":
            here.close()
        else:
            here.mood = mood
        taken_s = (first_advert_of(lab, 2, began_ns) - began_ns) / SECOND_NS
        # A fault is said at once, by priority 0.  After a weight, the last good advert's time runs out.
        heard_s = master_down_s(WORSE) if weight else skew_s(WORSE)
        assert taken_s <= INTERVAL_S * FALL + TIMEOUT_S + heard_s + SLACK_S, f"{taken_s}\n{lab.report()}"
        lab.wait_master(2, vip=VIP)
        assert lab.programs[1].logged(line), lab.report()
        if mood != "gone":
            here.mood = "good"
            lab.wait_master(1, vip=VIP, timeout_s=12)


def lateness_ms(lab: Lab, node: int) -> list[float]:
    """How far its adverts are from being a second apart; without the first one, in order of size."""
    times = [frame.time_ns for frame in lab.capture.adverts(node)][1:]
    return sorted(abs(after - before - SECOND_NS) / 1e6 for before, after in pairwise(times))


@pytest.mark.alone
def test_adverts_keep_their_time_however_much_is_checked(lab: Lab, subject: str) -> None:
    """Twenty checks of two pages over TLS, each twice a second: adverts are as those of a node without any.

    Both run at once, so that a busy machine is the same for both.
    """
    names = [f"web{number}" for number in range(20)]
    blocks = "".join(check(tls=True, name=name) for name in names)
    lines = ["track_check {", *(f"    {name} weight 1" for name in names), "}"]
    with sites(lab, 1, tls=True, body=b"x" * 20_000) as (here,):
        lab.start(1, subject, whole(Instance(lines=lines), before=blocks))
        lab.start(2, subject, whole(Instance(vrid=52, addresses=("10.77.1.52/24",))))
        lab.wait(lambda: min(len(lab.capture.adverts(node)) for node in (1, 2)) > 12, 25, "adverts of both")
        checked, plain = lateness_ms(lab, 1), lateness_ms(lab, 2)
        print(f"{here.asked} pages; off by ms: {checked} with checks, {plain} without")
        assert here.asked > 40, lab.report()
        assert checked[len(checked) // 2] < plain[len(plain) // 2] + 10, (checked, plain)
