"""Version 3 beside FRR's vrrpd: elections, power cuts, preemption and orderly stops, in both directions and both families.

FRR answers for one IPv4 and one IPv6 virtual router on node 1, ours for the
same two on node 2.  What FRR holds is decided by its adverts: the macvlans that
it wants keep their addresses, and are its own affair.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from capture import Frame
from lab import SECOND_NS, Lab, laboratory, wait
from space import run
from test_wire_frr import FRR, VIP4, VIP6, VRID, prepare
from variants import held

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]

ADVERT_S = 0.5
# By node.  FRR counts in whole centiseconds and rounds down; it advertises while the device
# that it sends from is still coming up, so its first advert may be lost and only the next one seen.
EARLY_S = {1: -0.013, 2: -0.003}
SLACK_S = {1: 0.35 + ADVERT_S, 2: 0.35}
FAMILIES = (4, 6)
VIPS = {str(VIP4), str(VIP6)}


class Frr:
    """zebra, and a vrrpd that can be killed and started again, on node 1."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._namespace, self._directory = lab.space.node(1), directory
        self._zebra = self._start("zebra", "")
        wait((directory / "zebra.sock").exists, 5, "zebra")
        self._vrrpd: subprocess.Popen[bytes] | None = None

    def _start(self, name: str, configuration: str) -> subprocess.Popen[bytes]:
        file = self._directory / f"{name}.conf"
        file.write_text(configuration)
        run("chown", "-R", "frr", str(self._directory))
        words = [
            "nsenter", f"--net=/run/netns/{self._namespace}", str(FRR / name), "-f", str(file),
            "-z", str(self._directory / "zebra.sock"), "-i", str(self._directory / f"{name}.pid"),
            "--vty_socket", str(self._directory),
        ]  # fmt: skip
        with (self._directory / f"{name}.log").open("a") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, priority: int) -> None:
        """Start vrrpd with both virtual routers."""
        lines = (
            "version 3",
            f"priority {priority}",
            f"advertisement-interval {int(ADVERT_S * 1000)}",
            f"ip {VIP4}",
            f"ipv6 {VIP6}",
        )
        text = "interface eth0\n" + "".join(f" vrrp {VRID} {line}\n" for line in lines) + "!\n"
        self._vrrpd = self._start("vrrpd", text)

    def end(self, number: signal.Signals) -> int:
        """End vrrpd with this signal; the time just before, ns since the epoch."""
        assert self._vrrpd is not None
        now = time.time_ns()
        self._vrrpd.send_signal(number)
        self._vrrpd.wait(5)
        return now

    def close(self) -> None:
        """End whatever runs."""
        for running in (self._vrrpd, self._zebra):
            if running is not None and running.poll() is None:
                running.terminate()
                try:
                    running.wait(3)
                except subprocess.TimeoutExpired:
                    running.kill()
                    running.wait(3)


@contextmanager
def beside_frr(directory: Path) -> Iterator[tuple[Lab, Frr]]:
    """Two nodes as FRR wants them, and its daemons."""
    if not (FRR / "vrrpd").exists():
        raise RuntimeError("FRR's vrrpd is not installed (Debian package frr)")
    # FRR gives up root: its directory must not lie below one that only root may enter.
    place = Path(tempfile.mkdtemp(prefix="frr-"))
    place.chmod(0o755)
    try:
        with laboratory(directory) as lab:
            prepare(lab.space)
            frr = Frr(lab, place)
            try:
                yield lab, frr
            finally:
                frr.close()
    finally:
        shutil.rmtree(place)


def file(priority: int) -> str:
    """Both virtual routers, as ours has them."""
    common = (
        f"interface eth0\nvirtual_router_id {VRID}\nversion 3\nadvert_int {ADVERT_S}\npriority {priority}\n"
    )
    return "global_defs {\n router_id lab\n}\n" + "".join(
        f"vrrp_instance VI_{family} {{\n{common}virtual_ipaddress {{\n{vip}\n}}\n}}\n"
        for family, vip in ((4, f"{VIP4}/32"), (6, f"{VIP6}/64"))
    )


def adverts(lab: Lab, node: int, family: int, since_ns: int = 0) -> list[Frame]:
    """Adverts of one node and family."""
    return [f for f in lab.capture.adverts(node, since_ns) if f.is_ipv6 is (family == 6)]


def only(lab: Lab, node: int) -> bool:
    """Whether for three intervals only `node` has advertised, in both families, and ours holds what it should."""
    since = time.time_ns() - int(3 * ADVERT_S * SECOND_NS)
    alone = all(
        adverts(lab, node, family, since) and not adverts(lab, 3 - node, family, since) for family in FAMILIES
    )
    return alone and (held(lab, 2) & VIPS) == (VIPS if node == 2 else set())


def wait_only(lab: Lab, node: int) -> None:
    """Until `node` is MASTER of both."""
    lab.wait(lambda: only(lab, node), 12, f"node {node} is MASTER of both")


def skew_s(priority: int) -> float:
    """Skew_Time in seconds (RFC 9568 section 6.1)."""
    return (256 - priority) / 256 * ADVERT_S


def check_gap(lab: Lab, family: int, after: Frame, node: int, theory_s: float) -> None:
    """The first advert of `node` after another one's came when theory says."""
    first = adverts(lab, node, family, after.time_ns + 1)[0]
    late = (first.time_ns - after.time_ns) / SECOND_NS - theory_s
    assert EARLY_S[node] <= late <= SLACK_S[node], f"IPv{family}: {late:+.3f} s"


def check_killed(lab: Lab, node: int, by_node: int, priority: int) -> None:
    """`by_node` took over one Master_Down_Interval after the last advert of the dead one."""
    for family in FAMILIES:
        last = adverts(lab, node, family)[-1]
        check_gap(lab, family, last, by_node, 3 * ADVERT_S + skew_s(priority))


def check_resigned(lab: Lab, node: int, since_ns: int, by_node: int, priority: int) -> None:
    """`by_node` took over one Skew_Time after the other's advert of priority 0."""
    for family in FAMILIES:
        resigned = [f for f in adverts(lab, node, family, since_ns) if not f.priority]
        assert resigned, f"IPv{family}: no advert of priority 0"
        check_gap(lab, family, resigned[0], by_node, skew_s(priority))


def test_frr_is_the_better_one(tmp_path: Path) -> None:
    """We obey it, replace it when it dies or resigns, and give way when it is back."""
    with beside_frr(tmp_path) as (lab, frr):
        frr.start(200)
        lab.start(2, "ours", file(100))
        wait_only(lab, 1)
        frr.end(signal.SIGKILL)
        wait_only(lab, 2)
        check_killed(lab, 1, 2, 100)
        back = time.time_ns()
        frr.start(200)
        wait_only(lab, 1)
        assert all(f.priority for f in lab.capture.adverts(2, back)), "who gives way does not resign"
        stopped = frr.end(signal.SIGTERM)
        wait_only(lab, 2)
        check_resigned(lab, 1, stopped, 2, 100)


def test_ours_is_the_better_one(tmp_path: Path) -> None:
    """FRR obeys us, replaces us when we die or resign, and gives way when we are back."""
    with beside_frr(tmp_path) as (lab, frr):
        frr.start(120)
        wait_only(lab, 1)
        lab.start(2, "ours", file(200))
        wait_only(lab, 2)
        killed = lab.programs[2].kill_all()
        lab.wait(lambda: all(adverts(lab, 1, f, killed) for f in FAMILIES), 8, "FRR replaces us")
        check_killed(lab, 2, 1, 120)
        ours = lab.start(2, "ours", file(200))
        wait_only(lab, 2)
        stopped = ours.send(signal.SIGTERM)
        assert ours.wait_end() == 0
        wait_only(lab, 1)
        check_resigned(lab, 2, stopped, 1, 120)
