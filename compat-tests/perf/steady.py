"""A cluster in which nothing happens: punctuality of adverts, CPU and memory, and what others may disturb.

Whoever measures punctuality under load burns both cores in processes of its own.
"""

import contextlib
import itertools
import multiprocessing
import random
import signal
import socket
import statistics
import struct
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from lab import SECOND_NS, Lab
from measure import pss_mib, run_time_s, spread
from scene import (
    Figures,
    Key,
    Measured,
    Routers,
    in_turn,
    key_of,
    live_adverts,
    masters,
    more_interfaces,
    side_by_side,
)
from space import inside

_GROUP = "224.0.0.18"
_FLOOD_PER_S = 50_000
_PROTOCOL_VRRP = 112
# Python has no names for these (linux/if_ether.h, linux/if_packet.h).
_ETH_P_ALL = 3
_SOL_PACKET = 263
_IGNORE_OUTGOING = 23
_SO_TIMESTAMPNS = 35


def _errors_ms(lab: Lab, routers: Routers) -> list[float]:
    """The differences of the intervals between node 1's adverts from advert_int."""
    by_router: dict[Key, list[int]] = {}
    for frame in live_adverts(list(lab.capture.frames), 1):
        by_router.setdefault(key_of(frame), []).append(frame.time_ns)
    return [
        (b - a) / 1e6 - routers.advert_s * 1e3
        for times in by_router.values()
        for a, b in itertools.pairwise(times)
    ]


def _watched(lab: Lab, routers: Routers, seconds: float) -> Figures:
    lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 20, "node 1 is MASTER")
    time.sleep(1)
    lab.capture.frames.clear()
    time.sleep(seconds)
    errors = _errors_ms(lab, routers)
    sizes = spread([abs(error) for error in errors])
    return {
        "interval error p50 ms": sizes.p50,
        "interval error p99 ms": sizes.p99,
        "worst ms": sizes.worst,
        "drift per advert ms": statistics.mean(errors),
    }


def _burn() -> None:
    while True:
        random.random()


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    """Both cores are busy with ordinary processes."""
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=_burn, daemon=True) for _ in range(multiprocessing.cpu_count())]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def jitter(kinds: list[str], options: Namespace) -> Measured:
    """Error of the advert interval of an idle master, at 1 s and at 100 ms."""
    found: Measured = {kind: {} for kind in kinds}
    for advert_s in (1.0, 0.1):
        routers = Routers(1, advert_s)

        def work(kind: str, lab: Lab, routers: Routers = routers) -> Figures:
            lab.start(1, kind, routers.text(200))
            return _watched(lab, routers, options.seconds)

        for kind, figures in side_by_side(kinds, work).items():
            found[kind] |= {f"{advert_s:g} s: {name}": value for name, value in figures.items()}
    return found


def busy(kinds: list[str], options: Namespace) -> Measured:
    """The same at 100 ms with both cores busy: with real-time priority and without."""
    found: Measured = {kind: {} for kind in kinds}
    for name, general in (("real-time", ("vrrp_rt_priority 50",)), ("ordinary", ())):
        routers = Routers(1, 0.1, general=general)

        def work(kind: str, lab: Lab, routers: Routers = routers) -> Figures:
            lab.start(1, kind, routers.text(200))
            lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 10, "node 1 is MASTER")
            with _busy():
                return _watched(lab, routers, options.seconds)

        for kind, figures in in_turn(kinds, work).items():
            found[kind] |= {f"{name}: {row}": value for row, value in figures.items()}
    return found


def cost(kinds: list[str], options: Namespace) -> Measured:
    """CPU of a master and a backup for each advert, and memory, by the number of instances at 1 s."""
    found: Measured = {kind: {} for kind in kinds}
    for count in (1, 50, 255, 1000):
        routers = Routers(count)

        def work(kind: str, lab: Lab, routers: Routers = routers) -> Figures:
            return _cost(kind, lab, routers, options.seconds)

        for kind, figures in in_turn(kinds, work).items():
            found[kind] |= {f"x{count}: {row}": value for row, value in figures.items()}
    return found


def _cost(kind: str, lab: Lab, routers: Routers, seconds: float) -> Figures:
    more_interfaces(lab, routers)
    lab.start(2, kind, routers.text(100))
    lab.start(1, kind, routers.text(200, "MASTER"))
    span = int(1.5 * SECOND_NS)

    def settled() -> bool:
        since = time.time_ns() - span
        return masters(lab, since, 1) == routers.keys and not masters(lab, since, 2)

    lab.wait(settled, 60, "node 1 is MASTER of everything")
    time.sleep(7)  # past the second burst of announcements
    lab.capture.frames.clear()
    before = {n: run_time_s(lab.programs[n].pid) for n in (1, 2)}
    time.sleep(seconds)
    used = {n: run_time_s(lab.programs[n].pid) - before[n] for n in (1, 2)}
    adverts = sum(1 for _ in live_adverts(list(lab.capture.frames), 1))
    return {
        "CPU per advert sent us": used[1] / adverts * 1e6,
        "CPU per advert received us": used[2] / adverts * 1e6,
        "PSS of the master MiB": pss_mib(lab.programs[1].pid),
        "PSS of the backup MiB": pss_mib(lab.programs[2].pid),
    }


def scripts(kinds: list[str], options: Namespace) -> Measured:
    """Fifty check scripts a second beside an instance at 100 ms."""
    blocks = "\n".join(
        f'vrrp_script c{n} {{\n    script "/bin/true"\n    interval 1\n    weight 1\n}}' for n in range(50)
    )
    tracking = ("track_script {", *(f"    c{n}" for n in range(50)), "}")
    routers = Routers(1, 0.1, lines=tracking, before=blocks)

    def work(kind: str, lab: Lab) -> Figures:
        program = lab.start(1, kind, routers.text(150))
        lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 15, "node 1 is MASTER")
        before = run_time_s(program.pid)
        figures = _watched(lab, routers, options.seconds)
        return figures | {"CPU ms/s": (run_time_s(program.pid) - before) / (options.seconds + 1) * 1e3}

    return in_turn(kinds, work)


def start(kinds: list[str], options: Namespace) -> Measured:
    """From the start of the process to the first advert of an address owner, and of 255 of them."""
    found: Measured = {kind: {} for kind in kinds}
    for count in (1, 250):
        routers = Routers(count)

        def work(kind: str, lab: Lab, routers: Routers = routers) -> Figures:
            spans = []
            for _ in range(options.checks):
                lab.capture.frames.clear()
                began = time.time_ns()
                program = lab.start(1, kind, routers.text(255, "MASTER"))
                lab.wait(lambda: masters(lab, began, 1) == routers.keys, 15, "all owners advertise")  # noqa: B023
                first: dict[int, int] = {}
                for frame in live_adverts(list(lab.capture.frames), 1):
                    first.setdefault(frame.vrid, frame.time_ns)
                spans.append((max(first.values()) - began) / 1e6)
                program.ask_to_end()
                program.wait_end(10)
            return {"median ms": statistics.median(spans), "best ms": min(spans)}

        for kind, figures in in_turn(kinds, work, nodes=1).items():
            found[kind] |= {f"exec to the last of {count} owners: {k}": v for k, v in figures.items()}
    return found


# -- a flood --------------------------------------------------------------------


def _bad_packets() -> list[bytes]:
    """Adverts for VRID 1 that say something wrong each: checksum, authentication, garbage, VRID, no end."""
    head = struct.pack("!BBBBBB", 0x31, 1, 250, 1, 0, 10)
    return [
        head + b"\x12\x34" + bytes((10, 78, 0, 1)),
        struct.pack("!BBBBBB", 0x21, 1, 250, 1, 1, 1) + b"\0\0" + bytes((10, 78, 0, 1)) + b"wrong\0\0\0",
        random.Random(1).randbytes(40),
        struct.pack("!BBBBBB", 0x31, 99, 250, 1, 0, 10) + b"\0\0" + bytes((10, 78, 0, 1)),
        head[:5],
    ]


def _pour(namespace: str, source: str, seconds: float, count: "Synchronized[int]") -> None:
    with inside(namespace):
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
    packets = itertools.cycle(_bad_packets())
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        for _ in range(max(0, int(passed * _FLOOD_PER_S) - sent)):
            sender.sendto(next(packets), (_GROUP, 0))
            sent += 1
        time.sleep(0.0005)
    count.value = sent


class _Ear:
    """Hears what enters the bridge from one node, with the kernel's times; the flood does not come by here."""

    def __init__(self, lab: Lab, node: int) -> None:
        with inside(lab.space.switch):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._socket.setblocking(False)
        self._socket.bind((f"p{node}", _ETH_P_ALL))

    def adverts(self) -> list[tuple[int, int]]:
        """Time in ns and priority of every advert that waits to be read."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                raw, ancillary, _, _ = self._socket.recvmsg(2048, 64)
                if raw[12:14] == b"\x08\0" and raw[23] == _PROTOCOL_VRRP:
                    seconds, rest = struct.unpack("qq", ancillary[0][2][:16])
                    found.append((seconds * SECOND_NS + rest, raw[36]))
        return found

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


def flood(kinds: list[str], options: Namespace) -> Measured:
    """A third node sends 50,000 bad packets a second: adverts must stay punctual and roles as they are."""
    seconds = min(options.seconds, 20.0)

    def work(kind: str, lab: Lab) -> Figures:
        routers = Routers(1, 0.1)
        lab.start(2, kind, routers.text(100))
        lab.start(1, kind, routers.text(200))
        lab.wait_master(1, timeout_s=12)
        time.sleep(1)
        lab.capture.close()
        with contextlib.closing(_Ear(lab, 1)) as first, contextlib.closing(_Ear(lab, 2)) as second:
            count = multiprocessing.get_context("fork").Value("q", 0)
            pouring = multiprocessing.get_context("fork").Process(
                target=_pour, args=(lab.space.node(3), lab.space.address(3), seconds, count), daemon=True
            )
            pouring.start()
            pouring.join(seconds + 10)
            heard, others = first.adverts(), second.adverts()
        gaps = [(b[0] - a[0]) / 1e6 - 100 for a, b in itertools.pairwise(heard)]
        return {
            "bad packets per s": count.value / seconds,
            "adverts": len(heard),
            "worst interval error ms": max(map(abs, gaps), default=seconds * 1e3),
            "adverts late by more than 5 ms": sum(gap > 5 for gap in gaps),
            "adverts of the backup": len(others),
        }

    return in_turn(kinds, work, nodes=3)


def reload(kinds: list[str], options: Namespace) -> Measured:
    """Reloads of 1,000 instances of which none changed: how late adverts at 1 s are meanwhile."""
    routers = Routers(1000)

    def work(kind: str, lab: Lab) -> Figures:
        more_interfaces(lab, routers)
        program = lab.start(1, kind, routers.text(200, "MASTER"))
        lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 60, "node 1 is MASTER of everything")
        time.sleep(7)
        lab.capture.frames.clear()
        for _ in range(3):
            program.send(signal.SIGHUP)
            time.sleep(4)
        sizes = spread([abs(error) for error in _errors_ms(lab, routers)])
        return {"interval error p50 ms": sizes.p50, "p99 ms": sizes.p99, "worst ms": sizes.worst}

    return in_turn(kinds, work, nodes=1)
