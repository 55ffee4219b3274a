"""Checks of servers that send without end, run together with steady ones in one process.

    checker_greedy.py PORT...     the ports in the order of `GREEDY`, and last a steady one

Prints one JSON object: how each check ended, the memory of this process before and after
(KiB; `peak`: the most it ever had), and how long the steady check took at most (seconds).
"""

import asyncio
import json
import sys
import time
from ipaddress import ip_address
from pathlib import Path

from checker_targets import Behaviour, Drip, Flood, Read, Send, Talk

from keepalived_py.base.clock import Micros
from keepalived_py.model.check_events import StartCheck, Target
from keepalived_py.model.checks import Check, HttpGet, SmtpCheck, SslGet, TcpCheck, Url
from keepalived_py.probes.table import Probes

GIGABYTE = 1 << 30
_HEAD = b"HTTP/1.0 200 OK\r\n"
_STEP = Micros(500_000)
_PAGE = Url(path="/", digest=bytes(16))


def _page(kind: type[HttpGet] | type[SslGet], url: Url = _PAGE, step: Micros = _STEP) -> Check:
    return kind(urls=(url,), connect_timeout_us=step, delay_loop_us=Micros(1_000_000))


# What is asked, of whom, and whether it ends before the time limit of the whole page (five seconds).
GREEDY: dict[str, tuple[Check, Behaviour]] = {
    "endless body": (_page(HttpGet), Talk((Read(), Send(_HEAD + b"\r\n"), Flood()))),
    "endless head": (_page(HttpGet), Talk((Read(), Send(_HEAD), Flood()))),
    "one gigabyte": (
        _page(HttpGet, step=Micros(6_000_000)),
        Talk((Read(), Send(_HEAD + b"Content-Length: %d\r\n\r\n" % GIGABYTE), Flood(GIGABYTE))),
    ),
    "endless with a pattern": (
        _page(HttpGet, Url(path="/", regex="(x+)+y")),
        Talk((Read(), Send(_HEAD + b"\r\n"), *(Drip(b"x" * 4, 0.05) for _ in range(200)))),
    ),
    "endless over TLS": (_page(SslGet), Talk((Read(), Send(_HEAD + b"\r\n"), Flood()), "any")),
    "endless banner": (SmtpCheck(connect_timeout_us=_STEP), Talk((Flood(),))),
    "a byte now and then": (_page(HttpGet), Talk((Read(), Drip(_HEAD + b"\r\n" + b"y" * 1000, 0.2)))),
}  # fmt: skip


def _memory() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    names = {"VmRSS:": "rss", "VmHWM:": "peak"}
    return {names[words[0]]: int(words[1]) for words in lines if words and words[0] in names}


async def run(ports: list[int]) -> dict[str, object]:
    """All of them at once, the steady one again and again meanwhile."""
    probes = Probes(lambda: Micros(time.monotonic_ns() // 1000), print)
    target = [Target(ip_address("127.0.0.1"), port) for port in ports]
    steady = StartCheck(0, TcpCheck(connect_timeout_us=Micros(5_000_000)), target[-1], "steady", 0)
    # What is loaded only when it is first needed belongs to the time before.
    first = StartCheck(0, _page(SslGet), target[-1], "first", 0)
    await asyncio.gather(probes.run(steady), probes.run(first))
    before = _memory()
    orders = [StartCheck(n, check, target[n], name, 0) for n, (name, (check, _)) in enumerate(GREEDY.items())]
    running = [asyncio.create_task(probes.run(order)) for order in orders]
    slowest = 0
    while not all(task.done() for task in running):
        slowest = max(slowest, (await probes.run(steady)).took_us)
        await asyncio.sleep(0.02)
    results = {order.label: task.result() for order, task in zip(orders, running, strict=True)}
    return {
        "before": before,
        "after": _memory(),
        "slowest_s": slowest / 1e6,
        "results": {
            name: [one.good, one.ending.name, one.text, one.took_us / 1e6] for name, one in results.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run([int(word) for word in sys.argv[1:]]))))
