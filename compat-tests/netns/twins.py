"""The same file given to two programs in two laboratories at once, and ways to look at what came of it.

Nodes have the same names, addresses and hardware addresses in both, so whatever
is put on the wire or into the kernel can be compared byte by byte.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture import Frame
from lab import SECOND_NS, Lab

# Arguments first, the time last: when the time stands there, the script has done all its work.
RECORDER = """#!/bin/sh
echo "$@" >> {file}
ip -o -4 addr show dev eth0 | grep -c 10.77.1. | sed "s/^/held $1 $3 /" >> {file}.held
date +%s%N >> {file}.times
"""
_STAMP = re.compile(r"^\w{3} \w{3} +\d+ [\d:.]+ \d{4}: ")


@dataclass(frozen=True, slots=True)
class Twins:
    """`real` runs keepalived, `other` the subject."""

    real: Lab
    other: Lab
    kind: str

    @property
    def both(self) -> tuple[tuple[Lab, str], tuple[Lab, str]]:
        """Each laboratory with the word for its program."""
        return (self.real, "real"), (self.other, self.kind)

    def start(self, config: Callable[[Lab], str]) -> None:
        """Start the program of each on its node 1 with the text `config` makes for it."""
        for lab, kind in self.both:
            lab.start(1, kind, config(lab))

    def same(self, look: Callable[[Lab], object]) -> object:
        """What `look` sees is, or within two seconds becomes, the same in both; returns it.

        The two programs do not reach the same line of their logs in the same millisecond.
        """
        end = time.monotonic() + 2
        expected, found = look(self.real), look(self.other)
        while found != expected and time.monotonic() < end:
            time.sleep(0.05)
            expected, found = look(self.real), look(self.other)
        assert found == expected, f"real: {expected}\n{self.kind}: {found}\n{self.other.report()}"
        return expected

    def wait(self, condition: Callable[[Lab], bool], timeout_s: float, what: str) -> None:
        """Until it is true in both."""
        for lab, kind in self.both:
            lab.wait(lambda lab=lab: condition(lab), timeout_s, f"{kind}: {what}")  # type: ignore[misc]


def bare(frame: Frame) -> bytes:
    """An advert without IP id and header checksum."""
    ip = frame.ip
    return frame.raw[:14] + ip[:4] + ip[6:10] + ip[12:]


def first_adverts(lab: Lab) -> dict[int, list[bytes]]:
    """The first two adverts of every virtual router."""
    vrids = sorted({f.vrid for f in lab.capture.adverts()})
    return {vrid: [bare(f) for f in lab.capture.adverts(vrid=vrid)[:2]] for vrid in vrids}


def ip_ids(lab: Lab) -> list[int]:
    """The IP ids of the first virtual router's first adverts."""
    return [int.from_bytes(f.ip[4:6], "big") for f in lab.capture.adverts(vrid=1)[:3]]


def arp_bursts(lab: Lab) -> list[list[bytes]]:
    """Gratuitous ARP frames, cut into bursts where more than half a second passes."""
    bursts: list[list[bytes]] = []
    last = 0
    for frame in lab.capture.arps(1):
        if frame.time_ns - last > SECOND_NS // 2:
            bursts.append([])
        bursts[-1].append(frame.raw)
        last = frame.time_ns
    return bursts


def recorder(lab: Lab) -> tuple[Path, Path]:
    """A notify script for this laboratory and the file it writes its arguments to."""
    file, told = lab.directory / "record", lab.directory / "record.sh"
    told.write_text(RECORDER.format(file=file))
    told.chmod(0o755)
    return told, file


def lines_of(lab: Lab, suffix: str = "") -> list[str]:
    """What the notify script wrote, sorted within pairs: two scripts of one event run at once."""
    path = lab.directory / f"record{suffix}"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def scripts_done(lab: Lab) -> int:
    """How many notify scripts have ended: the times are what they write last."""
    return len(lines_of(lab, ".times"))


# "(VI_1) BACKUP to MASTER: no advert was heard in time (...)": keepalived has no such line.
_EXPLANATION = re.compile(r"\) [A-Z]+ to (INIT|BACKUP|MASTER|FAULT): ")


def log_lines(lab: Lab, *starts: str) -> list[str]:
    """Lines of node 1's log that begin with one of `starts`, without the date and our explanations."""
    texts = [_STAMP.sub("", line.text) for line in lab.programs[1].log]
    return [text for text in texts if text.startswith(starts) and not _EXPLANATION.search(text)]
