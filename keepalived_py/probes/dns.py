"""DNS_CHECK: a question over UDP is answered without an error.

dnspython writes the question.  Of the answer only the header counts: who is asked
(the number), that it is an answer, and the code; keepalived looks at nothing else, so a
reader of whole messages would refuse servers that it takes.  Datagrams that are no
answer to this question are passed over until the time limit, which holds for everything
together; each of them costs one turn of the loop, however many there are.
Source: check_dns.c.
"""

import asyncio
import importlib
import secrets
import socket
import struct
import sys
from functools import lru_cache

from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import DnsCheck, DnsType
from keepalived_py.probes import waiting
from keepalived_py.probes.connect import broken, ending_of, reason
from keepalived_py.probes.sockets import NotBound, destination, opened

_HEADER = struct.Struct("!HHHHHH")
_ANSWER = 0x8000
_CODE = 0x000F
# More of an answer is not read (DNS_BUFFER_SIZE).
_ROOM = 768
_LIBRARY = "dns.message"


async def ask_name_server(order: StartCheck) -> CheckResult:
    """Run a `DnsCheck`; `code` is the response code.  Time limit: `connect_timeout_us` for all of it."""
    check = order.check
    assert isinstance(check, DnsCheck)
    if _LIBRARY not in sys.modules:
        # A tenth of a second, which the loop can use.
        await asyncio.to_thread(importlib.import_module, _LIBRARY)
    try:
        made = opened(check, order.target, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    except NotBound as error:
        return broken(str(error), error.line, _line(order.label, "UDP socket bind failed. Rescheduling."))
    except OSError as error:
        return broken(reason(error), _line(order.label, "failed to create socket. Rescheduling."))
    with made:
        return await _asked(made, check, order)


@lru_cache(maxsize=16_384)
def question(name: str, query_type: DnsType) -> bytes | None:
    """The query without its number, which comes first; None if the name cannot be asked for.

    Labels are what stands between the dots: no escapes, nothing is made lower case or translated.
    """
    # Slow to import and needed by few, so whoever asks sees to that before.
    import dns.exception
    import dns.message
    import dns.name
    import dns.rdatatype

    labels = [label.encode("utf-8", "surrogateescape") for label in name.rstrip(".").split(".")]
    try:
        asked = dns.name.Name([*labels, b""]) if labels != [b""] else dns.name.root
        query = dns.message.make_query(asked, dns.rdatatype.RdataType(query_type.value), id=0)
        return query.to_wire()[2:]
    except dns.exception.DNSException:
        return None


async def _asked(made: socket.socket, check: DnsCheck, order: StartCheck) -> CheckResult:
    until = waiting.end_of(check)
    rest = question(check.name, check.query_type)
    if rest is None:
        text = f"the name {check.name} has a part of more than 63 bytes, or more than 255 in all"
        return _failure(order.label, Ending.WRONG, "failed to write socket.", text)
    try:
        made.connect(destination(order.target))
    except OSError as error:
        return _not_connected(order, error)
    number = secrets.token_bytes(2)
    try:
        made.send(number + rest)
    except OSError as error:
        return _failure(order.label, ending_of(error.errno or 0), "failed to write socket.", reason(error))
    while await waiting.readable(made, until):
        try:
            reply = made.recv(_ROOM)
        except BlockingIOError:
            # It had a bad checksum, which the kernel sees only now.
            continue
        except OSError as error:
            words = f"failed to read socket; errno {error.errno} ({error.strerror})"
            return _failure(order.label, ending_of(error.errno or 0), words, reason(error))
        code = code_of(reply, number)
        if code is not None:
            return _judged(order.label, code)
    return _failure(order.label, Ending.TIMED_OUT, "read timeout from socket", "no answer")


def code_of(reply: bytes, number: bytes) -> int | None:
    """The response code, or None if this is no answer to the question of that number."""
    if len(reply) < _HEADER.size or reply[:2] != number:
        return None
    flags: int = _HEADER.unpack_from(reply)[1]
    return flags & _CODE if flags & _ANSWER else None


def _judged(label: str, code: int) -> CheckResult:
    import dns.rcode

    text = dns.rcode.to_text(dns.rcode.Rcode(code))
    if code == 0:
        return CheckResult(True, code=code, text=text)
    words = f"read error occurred. (rcode = {code})"
    return _failure(label, Ending.WRONG, words, text)._replace(code=code)


def _failure(label: str, ending: Ending, words: str, text: str) -> CheckResult:
    return CheckResult(False, ending, None, text, (_line(label, words),))


def _line(label: str, words: str) -> str:
    return f"DNS_CHECK ({label}) {words}"


def _not_connected(order: StartCheck, error: OSError) -> CheckResult:
    number, text = error.errno or 0, reason(error)
    if ending_of(number) is Ending.UNREACHABLE:
        words = f"network unreachable for [{order.target.address}]:{order.target.port}"
        return _failure(order.label, Ending.UNREACHABLE, words, text)
    return broken(text, _line(order.label, "UDP socket bind failed. Rescheduling."))
