"""UDP_CHECK: a datagram is sent; what counts is that it is not refused, or that it is answered rightly.

Silence is good unless an answer is required, so a silent server takes the whole time
limit.  What refuses is an ICMP message "destination unreachable".  Without IP_RECVERR
the kernel would only pass on that a port is closed, and not that a router
knows no way; with it, the queue of errors also tells such a message from others
(a packet that lived too long, say), which refuse nothing.

The first datagram decides.  The socket is connected, so it comes from where the question
went; of one that is too long only the beginning is taken into memory.
Source: check_udp.c and udp_bind_connect(), udp_socket_error() of layer4.c.
"""

import socket
import struct

from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import UdpCheck
from keepalived_py.probes import waiting
from keepalived_py.probes.connect import broken, ending_of, reason
from keepalived_py.probes.sockets import NotBound, destination, opened

_OWN_TEXT = b"keepalived check - "
_RECEIVE_ERRORS = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),  # IP_RECVERR
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),  # IPV6_RECVERR
}
# struct sock_extended_err: ee_errno, ee_origin, ee_type, ee_code.
_EXTENDED_ERROR = struct.Struct("=IBBB")
_ANCILLARY = 512
# (SO_EE_ORIGIN_ICMP, ICMP_DEST_UNREACH) and (SO_EE_ORIGIN_ICMP6, ICMPV6_DEST_UNREACH).
_DESTINATION_UNREACHABLE = frozenset({(2, 3), (3, 1)})


def own_text(length: int) -> bytes:
    """keepalived's payload where the configuration has none: one text, again and again."""
    return (_OWN_TEXT * (length // len(_OWN_TEXT) + 1))[:length]


_PAYLOAD = own_text(32)


async def send_datagram(order: StartCheck) -> CheckResult:
    """Run a `UdpCheck`.  Time limit: `connect_timeout_us` for all of it."""
    check = order.check
    assert isinstance(check, UdpCheck)
    try:
        made = opened(check, order.target, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    except NotBound as error:
        # Unlike other checks, one of this kind that cannot be bound has failed.
        return CheckResult(False, Ending.UNREACHABLE, None, str(error), (waiting.complaint(error),))
    except OSError as error:
        return broken(reason(error), "UDP connect fail to create socket. Rescheduling.")
    with made:
        return await _exchanged(made, check, order)


async def _exchanged(made: socket.socket, check: UdpCheck, order: StartCheck) -> CheckResult:
    until = waiting.end_of(check)
    payload = _PAYLOAD if check.payload is None else check.payload
    try:
        made.setsockopt(*_RECEIVE_ERRORS[made.family], 1)
        made.connect(destination(order.target))
        made.send(payload)
    except OSError as error:
        return CheckResult(False, ending_of(error.errno or 0), None, reason(error))
    while True:
        if not await waiting.readable(made, until):
            return _silent(check, order.label)
        try:
            reply = made.recv(check.max_reply_length + 1)
        except BlockingIOError:
            # It had a bad checksum, which the kernel sees only now.
            continue
        except OSError as error:
            return _refused(made, check, order.label, error)
        return _judged(reply, check, order.label)


def _silent(check: UdpCheck, label: str) -> CheckResult:
    if check.reply is None:
        return CheckResult(True, text="silent, and no answer is required")
    return CheckResult(False, Ending.TIMED_OUT, text="no answer", lines=(_failed(label),))


def _refused(made: socket.socket, check: UdpCheck, label: str, error: OSError) -> CheckResult:
    if check.reply is None and not _is_unreachable(made):
        return CheckResult(True, text=f"not refused ({reason(error)})")
    return CheckResult(False, ending_of(error.errno or 0), None, reason(error), lines=(_failed(label),))


def _is_unreachable(made: socket.socket) -> bool:
    """The error was an ICMP message that says that nobody is there."""
    try:
        _, ancillary, _, _ = made.recvmsg(1, _ANCILLARY, socket.MSG_ERRQUEUE)
    except OSError:
        return False
    for level, kind, data in ancillary:
        if (level, kind) in _RECEIVE_ERRORS.values() and len(data) >= _EXTENDED_ERROR.size:
            _, origin, message, _ = _EXTENDED_ERROR.unpack_from(data)
            if (origin, message) in _DESTINATION_UNREACHABLE:
                return True
    return False


def _judged(reply: bytes, check: UdpCheck, label: str) -> CheckResult:
    if matches(reply, check):
        return CheckResult(True, text=f"{len(reply)} bytes" if check.reply is not None else "answered")
    length = f"{len(reply)} bytes" if len(reply) <= check.max_reply_length else "too many bytes"
    line = f"UDP check to {label} reply data mismatch."
    return CheckResult(False, Ending.WRONG, text=f"another answer than required ({length})", lines=(line,))


def matches(reply: bytes, check: UdpCheck) -> bool:
    """The reply is as the check wants it.

    Lengths count only together with a pattern, and of a pattern only as much as the reply is long:
    so keepalived does it (check_udp_reply).
    """
    if check.reply is None or not check.reply.data:
        return True
    if not check.min_reply_length <= len(reply) <= check.max_reply_length:
        return False
    data, mask = check.reply.data, check.reply.mask or bytes(len(check.reply.data))
    return all(not (got ^ wanted) & ~free for got, wanted, free in zip(reply, data, mask, strict=False))


def _failed(label: str) -> str:
    return f"UDP connection to {label} failed."
