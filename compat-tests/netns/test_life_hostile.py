"""Bad packets, floods and a kernel that refuses: roles stay, adverts are on time, the log stays short."""

import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from capture import Frame
from configs import VIP
from kernel_pair import checksum
from lab import Lab, laboratory
from life import block, count_logged, for_a_while, gaps_ms, router, text, wait_advert
from program import COMMANDS, children_of, environment
from space import inside, run
from variants import VARIANTS, file, holds_all

pytestmark = [pytest.mark.netns, pytest.mark.alone]

ETH_P_ALL = 3
SEED = 20240607
PER_ROUTER = 400


def sender(lab: Lab) -> socket.socket:
    """A raw socket on the bridge: what it sends, all nodes hear."""
    with inside(lab.space.switch):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind(("br0", ETH_P_ALL))
    return made


def spoil_one_byte(frame: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(message_start(frame), len(frame))
    return frame[:at] + bytes((dice.randrange(256),)) + frame[at + 1 :]


def cut(frame: bytes, dice: random.Random) -> bytes:
    return frame[: dice.randrange(message_start(frame), len(frame))]


def lengthen(frame: bytes, dice: random.Random) -> bytes:
    return frame + dice.randbytes(dice.randrange(1, 300))


def noise(frame: bytes, dice: random.Random) -> bytes:
    """Ethernet and IP headers stay, everything behind them is noise."""
    return frame[: message_start(frame)] + dice.randbytes(dice.randrange(0, 120))


def wrong_field(frame: bytes, dice: random.Random) -> bytes:
    """One field of the message is another one, and its checksum is right again.

    Another interval would be a good advert in version 3.
    """
    start = message_start(frame)
    message = bytearray(frame[start:])
    at = dice.choice((0, 3) if frame[start] >> 4 == 3 else (0, 3, 4, 5))
    message[at] = (message[at] + dice.randrange(1, 255)) % 256
    return frame[:start] + summed(frame, bytes(message))


SPOILERS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    spoil_one_byte,
    spoil_one_byte,
    cut,
    lengthen,
    noise,
    wrong_field,
)


def message_start(frame: bytes) -> int:
    """Where the VRRP message begins; for a sealed advert where its seal begins."""
    return 54 if frame[12:14] == b"\x86\xdd" else 34


def summed(frame: bytes, message: bytes) -> bytes:
    """The message with the checksum that goes with the addresses of the frame."""
    bare = message[:6] + bytes(2) + message[8:]
    pseudo = b""
    if frame[12:14] == b"\x86\xdd":
        pseudo = frame[22:54] + struct.pack(">II", len(bare), 112)
    elif bare[0] >> 4 == 3:
        pseudo = frame[26:34] + struct.pack(">BBH", 0, 112, len(bare))
    return bare[:6] + struct.pack(">H", checksum(pseudo + bare)) + bare[8:]


def worse(frame: bytes) -> bytes:
    """The same from another router, with priority 1: good as it is, but for seals."""
    if frame[12:14] == b"\x86\xdd":
        frame = frame[:37] + b"\x77" + frame[38:]
    else:
        head = frame[14:24] + bytes(2) + frame[26:29] + b"\x77" + frame[30:34]
        frame = frame[:14] + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + frame[34:]
        if frame[23] != 112:
            return frame
    start = message_start(frame)
    message = frame[start : start + 2] + b"\1" + frame[start + 3 :]
    return frame[:start] + summed(frame, message)


def spoiled(frames: Sequence[Frame], dice: random.Random) -> Iterator[bytes]:
    """Each frame in many broken forms; none of them says that it comes from a better router."""
    for frame in frames:
        for _ in range(PER_ROUTER):
            broken = dice.choice(SPOILERS)(worse(frame.raw), dice)
            if len(broken) >= 15:
                yield broken


def sizes(lab: Lab) -> list[int]:
    """How many lines each node has logged, without those about good adverts of worse routers."""
    return [
        sum("Sending" not in line.text and "lower priority" not in line.text for line in list(program.log))
        for _, program in sorted(lab.programs.items())
    ]


def newest(lab: Lab) -> list[Frame]:
    """The newest advert of node 1 for each virtual router."""
    return list({frame.vrid: frame for frame in lab.capture.adverts(1)}.values())


@pytest.fixture
def both_families(tmp_path: Path) -> Iterator[Lab]:
    """A laboratory with IPv6."""
    with laboratory(tmp_path, ipv6=True) as made:
        yield made


def test_every_variant_spoiled(both_families: Lab) -> None:
    """Every variant of the protocol between two of ours: thousands of broken adverts change nobody's role."""
    lab = both_families
    lab.start(2, "ours", file(2, [1], 100))
    lab.start(1, "ours", file(1, [2], 200))
    lab.wait(lambda: holds_all(lab, 1), 30, "node 1 holds everything")
    lab.wait(lambda: len(newest(lab)) == len(VARIANTS), 10, "an advert of each")
    lab.wait(lambda: count_logged(lab.programs[1], "Entering MASTER") >= len(VARIANTS), 10, "all is logged")
    for_a_while(0.5)
    since, before = time.time_ns(), sizes(lab)
    dice = random.Random(SEED)
    wire = sender(lab)
    count = 0
    for broken in spoiled(newest(lab), dice):
        wire.send(broken)
        count += 1
        if count % 50 == 0:
            for_a_while(0.005)
    wire.close()
    for_a_while(1.5)
    lines = [now - then for now, then in zip(sizes(lab), before, strict=True)]
    print(f"seed {SEED}: {count} broken adverts, {lines} lines logged")
    roles = [
        line.text for program in lab.programs.values() for line in program.log
        if line.time_ns >= since and " STATE" in line.text
    ]  # fmt: skip
    assert not roles, roles[:5]
    assert all(lab.programs[node].alive() for node in (1, 2))
    assert holds_all(lab, 1)
    assert max(lines) < 25 * len(VARIANTS), lines


# -- floods ----------------------------------------------------------------------------

FLOOD_S = 2.0
QUIET = ("garp_master_delay 0",)


@dataclass
class Flood:
    """Sends one frame as fast as it can, up to `rate` a second, in a process of its own."""

    lab: Lab
    frame: bytes
    rate: int = 50_000
    sent: int = 0

    def run(self) -> None:
        """For FLOOD_S seconds."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(writer, str(self._send()).encode())
            finally:
                os._exit(0)
        os.close(writer)
        self.sent = int(os.read(reader, 20) or b"0")
        os.close(reader)
        os.waitpid(pid, 0)

    def _send(self) -> int:
        wire = sender(self.lab)
        begin = time.monotonic()
        count = 0
        while (spent := time.monotonic() - begin) < FLOOD_S:
            if count > spent * self.rate:
                time.sleep(0.0005)
                continue
            for _ in range(25):
                wire.send(self.frame)
            count += 25
        return count


def bad_checksum(frame: Frame) -> bytes:
    return frame.raw[:-1] + bytes((frame.raw[-1] ^ 0xFF,))


def unknown_router(frame: Frame) -> bytes:
    return frame.raw[:35] + b"\xee" + frame.raw[36:]


def too_short(frame: Frame) -> bytes:
    return frame.raw[:38]


def wrong_version(frame: Frame) -> bytes:
    return frame.raw[:34] + bytes((frame.raw[34] & 15 | 0x70,)) + frame.raw[35:]


@pytest.mark.parametrize("make", [bad_checksum, unknown_router, too_short, wrong_version])
def test_a_flood_of_bad_packets(lab: Lab, make: Callable[[Frame], bytes]) -> None:
    """The master's own adverts stay on time and the backup hears them."""
    lab.start(2, "ours", text(router(priority=100, lines=QUIET)))
    lab.start(1, "ours", text(router(priority=200, lines=QUIET)))
    lab.wait(lambda: lab.masters(within_s=0.5) == {1} and lab.space.holds(1, VIP), 20, "node 1 is MASTER")
    wait_advert(lab, 1, 200)
    since, before = time.time_ns(), sizes(lab)
    flood = Flood(lab, make(lab.last_advert(1)))
    flood.run()
    gaps = gaps_ms(lab, 51, since)
    lines = [now - then for now, then in zip(sizes(lab), before, strict=True)]
    print(
        f"{make.__name__}: {flood.sent / FLOOD_S:.0f} a second, largest gap {max(gaps):.1f} ms, lines {lines}"
    )
    assert len(gaps) > FLOOD_S * 9
    assert max(gaps) < 250
    assert not lab.capture.adverts(2, since)
    assert max(lines) <= 20, "a complaint is logged once"


def test_a_flood_of_worse_adverts(lab: Lab) -> None:
    """Each may be answered, but nothing else suffers: own adverts are on time, ARP does not explode."""
    lab.start(1, "ours", text(router(priority=200)))
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    wait_advert(lab, 1, 200)
    flood = Flood(lab, worse(lab.last_advert(1).raw), rate=2_000)
    since = time.time_ns()
    flood.run()
    for_a_while(0.3)
    assert max(gaps_ms(lab, 51, since)) < 200
    assert lab.programs[1].alive() and lab.space.holds(1, VIP)


# -- a kernel that refuses ---------------------------------------------------------------


def test_an_address_that_the_kernel_refuses(lab: Lab) -> None:
    """keepalived's words, and what they mean; said once; everything else is held."""
    refused = "10.77.0.50/16 dev eth0 scope link"
    lab.start(1, "ours", text(router(addresses=(f"{VIP}/24", refused, "10.77.1.52/32"))))
    lab.wait(lambda: lab.space.holds(1, "10.77.1.52") and lab.space.holds(1, VIP), 20, "the others are held")
    lab.wait_logged(1, "Netlink: error: Invalid argument(22), type=RTM_NEWADDR(20)")
    lab.wait_logged(1, "10.77.0.50/16")
    wait_advert(lab, 1, 100, time.time_ns())
    said = [line.text for line in lab.programs[1].log if "Netlink: error" in line.text]
    assert len(said) == 1 and "not tried again" in said[0], said


def test_a_route_that_becomes_possible(lab: Lab) -> None:
    """Its gateway cannot be reached yet: it is tried again, at once when an address or a link comes."""
    lines = block("virtual_routes", "10.99.0.0/16 via 10.88.0.1")
    lab.start(1, "ours", text(router(lines=lines)))
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    lab.wait_logged(1, "Network is unreachable(101), type=RTM_NEWROUTE(24)")
    lab.wait_logged(1, "there is no way to its gateway yet; next try in")
    since = time.time_ns()
    lab.space.ip(1, "addr", "add", "10.88.0.2/24", "dev", "eth0")
    lab.wait(lambda: "10.99.0.0/16" in lab.space.ip(1, "route"), 2, "the route is there")
    assert not lab.programs[1].logged("Entering", since)


@pytest.mark.parametrize("right", ["net_admin", "net_raw"])
def test_without_its_rights_it_does_not_start(lab: Lab, right: str) -> None:
    """It says which one is missing, and leaves nothing behind."""
    config = lab.directory / "keepalived.conf"
    config.write_text(text(router()))
    drop = f"-{right}"
    words = [
        "setpriv",
        "--bounding-set",
        drop,
        "--inh-caps",
        drop,
        *COMMANDS["ours"],
        "-n",
        "-l",
        "-G",
        "-f",
        str(config),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 4
    assert f"CAP_{right.upper()} missing" in done.stdout + done.stderr


def test_a_link_that_flaps(lab: Lab) -> None:
    """The interface loses its carrier while the address is put on and taken off, again and again."""
    lab.start(1, "ours", text(router(addresses=tuple(f"10.77.2.{n}/32" for n in range(1, 101)))))
    lab.wait(lambda: lab.space.holds(1, "10.77.2.100"), 20, "all held")
    stop = threading.Event()

    def shake() -> None:
        while not stop.is_set():
            lab.space.ip(1, "link", "set", "eth0", "down")
            lab.space.ip(1, "link", "set", "eth0", "up")
            time.sleep(0.05)

    shaker = threading.Thread(target=shake)
    shaker.start()
    for_a_while(2)
    stop.set()
    shaker.join()
    lab.wait(lambda: len(lab.space.addresses(1)) == 101, 5, "all held again")
    assert children_of(lab.programs[1].pid)
    assert (
        run("ip", "-n", lab.space.node(1), "-o", "-4", "addr", "show", "dev", "eth0").count("10.77.2.") == 100
    )
