"""The health checks that a real server may have: one keyword each, their blocks imported when met.

A check is added to its real server where its block begins and taken away again
where it turns out to be unusable, as keepalived does it.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks.check_common import UNKNOWN, CheckDraft
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Keyword, Run, imported
from keepalived_py.model import checks

PACKAGE = "keepalived_py.config.blocks"


def _kind(
    name: str,
    record: type[checks.Check],
    module: str,
    help: str,
    *,
    block: str = "BLOCK",
    retry: int = 1,
    delay_us: Micros | None = Micros(1_000_000),
    **values: Any,
) -> Keyword[Any]:
    """The keyword of one kind of check; `retry` and `delay_us` are the defaults of the kind.

    `values` are what its draft begins with.
    """
    path = f"{PACKAGE}.{module}"
    closing = f"{path}:closed"
    if (retry, delay_us) != (CheckDraft.usual_retry, CheckDraft.usual_delay_us):
        values.update(usual_retry=retry, usual_delay_us=delay_us)

    def opened(run: Run, target: Any, at: Directive) -> CheckDraft:
        check = CheckDraft(record, at, real_server=target, **values)
        target.add("checks", check, at)
        return check

    def closed(run: Run, check: CheckDraft, at: Directive) -> None:
        imported(closing)(run, check, at)

    return Keyword(
        name,
        help=help,
        block=f"{path}:{block}",
        open=opened,
        close=closed,
        attribute="checks",
    )


KEYWORDS: list[Keyword[Any]] = [
    _kind("TCP_CHECK", checks.TcpCheck, "tcp_check", "open a TCP connection"),
    _kind(
        "HTTP_GET",
        checks.HttpGet,
        "http_get",
        "fetch pages over HTTP",
        block="HTTP",
        delay_us=Micros(3_000_000),
    ),
    _kind(
        "SSL_GET",
        checks.SslGet,
        "http_get",
        "fetch pages over HTTPS",
        block="SSL",
        delay_us=Micros(3_000_000),
    ),
    _kind("SMTP_CHECK", checks.SmtpCheck, "smtp_check", "greet a mail server", family=UNKNOWN),
    _kind("DNS_CHECK", checks.DnsCheck, "dns_check", "send a DNS query over UDP", retry=3, delay_us=None),
    _kind("UDP_CHECK", checks.UdpCheck, "udp_check", "send a UDP datagram"),
    _kind("PING_CHECK", checks.PingCheck, "ping_check", "send an ICMP echo request"),
    _kind("MISC_CHECK", checks.MiscCheck, "misc_check", "run a program", retry=0),
    _kind("FILE_CHECK", checks.FileCheck, "file_check", "take the weight from a number in a file"),
    _kind("BFD_CHECK", checks.BfdCheck, "bfd_check", "follow a BFD session"),
]
