"""Who answers for an address, seen from outside: a client that never stops asking.

In every round the client asks two things for each address.  By ARP, as any
machine would that wants to send to it; and by ICMP echo, sent to the hardware
address of *every* node, so that a node that would still accept packets of a
client with an old ARP entry is found out too.  Answers are told apart by the
hardware address they come from, and belong to the round that they answer: the
echo carries the round's number, the ARP request carries it (modulo 64) in the
sender's protocol address, which the answer repeats.  Two nodes that answer the
same question of the same round are two holders; there is nothing to estimate.

It runs as a process of its own, with real-time priority where that is allowed:
neither the tests' interpreter nor a busy machine shall slow it down.  Sending
times are read just before the send, times of answers are the kernel's; both
CLOCK_REALTIME in nanoseconds.  Whatever it hears goes to standard output as
fixed-size records, see `Record`.

    python observer.py INTERVAL_MS OWN_ADDRESS OWN_MAC NODE=MAC,NODE=MAC ADDRESS,ADDRESS
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time
from typing import NamedTuple

ROUND, ARP, ECHO, ANNOUNCED = range(4)
RECORD = struct.Struct("<qBBBI")

_ETH_P_ALL = 3
_SOL_PACKET, _IGNORE_OUTGOING, _SO_TIMESTAMPNS = 263, 23, 35
_ASKERS = 64
_ECHO_ID = 0x6B76
_PRIORITY = 20


class Record(NamedTuple):
    """One observation: ROUND (a round of questions begins), ARP or ECHO (an answer), ANNOUNCED (gratuitous ARP).

    `vip` is the index of the address; `node` and `round` are 0 where they do not apply.
    """

    time_ns: int
    kind: int
    node: int
    vip: int
    round: int


def raw_mac(text: str) -> bytes:
    """Six bytes of aa:bb:..."""
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """RFC 1071, over an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def asker(own: bytes, number: int) -> bytes:
    """The protocol address that the ARP request of round `number` is sent from: on the link, nobody's."""
    return own[:2] + bytes((240, 1 + number % _ASKERS))


def arp_request(mac: bytes, sender: bytes, target: bytes) -> bytes:
    """Who has `target`?"""
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + mac + sender + bytes(6) + target
    return b"\xff" * 6 + mac + b"\x08\x06" + body


def echo_request(mac: bytes, to: bytes, source: bytes, target: bytes, number: int) -> bytes:
    """An echo request for `target` in a frame to the hardware address `to`."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 32, 0, 0x4000, 64, 1, 0, source, target)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    message = struct.pack(">BBHHHI", 8, 0, 0, _ECHO_ID, number & 0xFFFF, number)
    message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    return to + mac + b"\x08\x00" + head + message


class Observer:
    """Asks every `interval_s` and writes down who answers."""

    def __init__(
        self, interval_s: float, own: str, mac: str, nodes: dict[bytes, int], vips: list[bytes]
    ) -> None:
        self._interval_s = interval_s
        self._own, self._mac = socket.inet_aton(own), raw_mac(mac)
        self._nodes, self._vips = nodes, vips
        self._round = 0
        self._records: list[bytes] = []
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.bind(("eth0", _ETH_P_ALL))
        self._sock.setblocking(False)

    def run(self) -> None:
        """Until nobody reads the records any more."""
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                self._ask()
                due = max(due + self._interval_s, time.monotonic())
            select.select([self._sock], [], [], max(0.0, due - time.monotonic()))
            self._hear()
            self._write()

    def _note(self, time_ns: int, kind: int, node: int, vip: int, number: int) -> None:
        self._records.append(RECORD.pack(time_ns, kind, node, vip, number))

    def _write(self) -> None:
        if self._records:
            os.write(1, b"".join(self._records))
            self._records.clear()

    def _ask(self) -> None:
        self._round += 1
        for index, vip in enumerate(self._vips):
            self._note(time.time_ns(), ROUND, 0, index, self._round)
            sender = asker(self._own, self._round)
            with contextlib.suppress(BlockingIOError):
                self._sock.send(arp_request(self._mac, sender, vip))
                for mac in self._nodes:
                    self._sock.send(echo_request(self._mac, mac, self._own, vip, self._round))

    def _hear(self) -> None:
        while True:
            try:
                frame, ancillary, _, _ = self._sock.recvmsg(512, 64)
            except BlockingIOError:
                return
            kind = frame[12:14]
            if kind == b"\x08\x06" and len(frame) >= 42:
                self._arp(frame, _arrival(ancillary))
            elif kind == b"\x08\x00" and len(frame) >= 46 and frame[23] == 1:
                self._echo(frame, _arrival(ancillary))

    def _arp(self, frame: bytes, at: int) -> None:
        node, sender, target = self._nodes.get(frame[22:28]), frame[28:32], frame[38:42]
        if node is None or sender not in self._vips:
            return
        vip = self._vips.index(sender)
        if frame[20:22] == b"\x00\x02" and target[:3] == asker(self._own, 0)[:3]:
            # The newest round that has this number modulo 64.
            late = (self._round + 1 - target[3]) % _ASKERS
            self._note(at, ARP, node, vip, self._round - late)
        else:
            self._note(at, ANNOUNCED, node, vip, 0)

    def _echo(self, frame: bytes, at: int) -> None:
        node, source = self._nodes.get(frame[6:12]), frame[26:30]
        kind, _, _, ident, _, number = struct.unpack(">BBHHHI", frame[34:46])
        if node is not None and source in self._vips and (kind, ident) == (0, _ECHO_ID):
            self._note(at, ECHO, node, self._vips.index(source), number)


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, rest = struct.unpack("qq", data[:16])
            return int(seconds * 1_000_000_000 + rest)
    return time.time_ns()


def main(words: list[str]) -> None:
    """Run until the reader is gone."""
    interval_ms, own, mac, nodes, vips = words
    pairs = (item.split("=") for item in nodes.split(","))
    known = {raw_mac(text): int(number) for number, text in pairs}
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    observer = Observer(
        float(interval_ms) / 1000, own, mac, known, [socket.inet_aton(vip) for vip in vips.split(",")]
    )
    with contextlib.suppress(BrokenPipeError):
        observer.run()


if __name__ == "__main__":
    main(sys.argv[1:])
