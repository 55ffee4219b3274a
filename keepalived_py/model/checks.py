"""Health checks of real servers: what is asked of a server, and how often.

Values are final: what a check takes from its real server, virtual server or the
rule of its kind is filled in.  Only an address or port that is None means
"that of the real server".  Durations are microseconds.
"""

from __future__ import annotations

from enum import Enum

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.base.record import Record
from keepalived_py.model.scripts import Command

SECOND = Micros(1_000_000)


class Check(Record):
    """Any health check; a real server is up while none of its checks has failed."""


class ScheduledCheck(Check):
    """A check that is started again and again.

    It runs every `delay_loop_us`, first after a random part of `warmup_us`.  Of
    a server that was up, `retry` more failures, `delay_before_retry_us` apart,
    are needed before it is down.  `alpha`: it counts as failed until its first
    success.
    """

    retry: int = 1
    delay_before_retry_us: Micros = SECOND
    warmup_us: Micros = Micros(60_000_000)
    delay_loop_us: Micros = Micros(60_000_000)
    alpha: bool = False
    log_all_failures: bool = False


class ConnectedCheck(ScheduledCheck):
    """A check over the network.  `source...` are the own side; mark 0 is none."""

    connect_ip: Address | None = None
    connect_port: int | None = None
    source_ip: Address | None = None
    source_port: int | None = None
    source_interface: InterfaceName | None = None
    connect_timeout_us: Micros = Micros(5_000_000)
    mark: int = 0


class TcpCheck(ConnectedCheck):
    """A TCP connection can be opened."""


class PingCheck(ConnectedCheck):
    """An ICMP echo is answered."""


class SmtpCheck(ConnectedCheck):
    """A mail server greets, answers HELO and says good-bye."""

    helo_name: str = "smtpchecker.keepalived.org"


class DnsType(Enum):
    """Query types that a DNS check may ask, with their numbers on the wire (RFC 1035, 3596, 4034)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    MX = 15
    TXT = 16
    AAAA = 28
    RRSIG = 46
    DNSKEY = 48


class DnsCheck(ConnectedCheck):
    """A DNS query over UDP is answered without error."""

    query_type: DnsType = DnsType.SOA
    name: str = "."


class HexPattern(Record):
    """What a datagram must begin with: bits that are set in `mask` may have any value."""

    data: bytes = b""
    mask: bytes = b""


class UdpCheck(ConnectedCheck):
    """A datagram is not refused, and answered by one like `reply` if that is not None.

    `payload` None: keepalived's own text.  Lengths are bytes.
    """

    payload: bytes | None = None
    reply: HexPattern | None = None
    min_reply_length: int = 0
    max_reply_length: int = 255


class StatusRange(Record):
    """HTTP status codes from `low` to `high`, both included."""

    low: int
    high: int


class JitStack(Record):
    """Stack of a compiled pattern in bytes."""

    start: int
    maximum: int


class Url(Record):
    """One page, and what counts as a good answer.

    `status_codes` are in order, without overlaps.  `digest` is the MD5 of the
    body.  `virtualhost` None: that of the check.  `regex` must match (with
    `regex_no_match`: must not), beginning from `regex_min_offset` to
    `regex_max_offset` (None: anywhere behind); its options have PCRE2's names.
    """

    path: str
    digest: bytes | None = None
    status_codes: tuple[StatusRange, ...] = (StatusRange(200, 299),)
    virtualhost: str | None = None
    regex: str | None = None
    regex_no_match: bool = False
    regex_options: tuple[str, ...] = ()
    regex_min_offset: int = 0
    regex_max_offset: int | None = None
    regex_stack: JitStack | None = None
    tls_compliant: bool = False


class HttpVersion(Enum):
    """The protocol of the request; `1.0C` asks for the connection to be closed."""

    HTTP_1_0 = "1.0"
    HTTP_1_0_CLOSE = "1.0C"
    HTTP_1_1 = "1.1"


class WebCheck(ConnectedCheck):
    """Pages are fetched, one after the other.

    `virtualhost` None: that of the real or virtual server, else the address.
    `fast_recovery`: no pause between the pages while a server comes back.
    """

    urls: tuple[Url, ...] = ()
    virtualhost: str | None = None
    http_version: HttpVersion = HttpVersion.HTTP_1_0
    enable_sni: bool = False
    sni_name: str | None = None
    fast_recovery: bool = False


class HttpGet(WebCheck):
    """Pages over HTTP."""


class SslGet(WebCheck):
    """Pages over HTTPS; `tls_compliant`: the session is closed with close_notify."""

    tls_compliant: bool = False


class MiscCheck(ScheduledCheck):
    """A program ends with 0.  `timeout_us` 0: `delay_loop_us` is its limit.

    `dynamic`: an exit status from 2 to 255 is good, and sets the weight to it minus 2.
    """

    command: Command = Command((), 0, 0)
    timeout_us: Micros = Micros(0)
    dynamic: bool = False


class FileWeight(Record):
    """What the number in a file is multiplied with; `reverse` turns its sense round."""

    value: int = 1
    reverse: bool = False


class FileCheck(Check):
    """The number in the track_file `track_file`, times `weight`, is added to the server's weight."""

    track_file: str
    weight: FileWeight = FileWeight()


class BfdCheck(Check):
    """The BFD session `name` is up."""

    name: str
    alpha: bool = False


# In the order in which the checks of a server are kept: they run independently
# of each other, so the order in which they were written has no meaning.
KINDS: tuple[type[Check], ...] = (
    TcpCheck,
    HttpGet,
    SslGet,
    SmtpCheck,
    DnsCheck,
    UdpCheck,
    PingCheck,
    MiscCheck,
    FileCheck,
    BfdCheck,
)
