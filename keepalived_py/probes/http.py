"""HTTP_GET and SSL_GET: what is asked, and what keepalived would think of the answer.

In this order: did anything come, is the status among the good ones, has the body
the digest, does it match the pattern.
"""

import ssl

from keepalived_py.base.clock import as_seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import HttpVersion, SslGet, Url, WebCheck
from keepalived_py.probes.connect import Names, Stop, connecting
from keepalived_py.probes.fetch import Fetch, Terms
from keepalived_py.probes.page import Page, Search
from keepalived_py.probes.tls import TlsFetch, security_for

# How often the time of one step the whole body may take, if that is longer than the interval of the check.
_PATIENCE = 10
_NO_DATA = "Read, no data received from "


def request_for(order: StartCheck) -> bytes:
    """The bytes that keepalived sends for this page."""
    check = _web(order)
    url = check.urls[order.part]
    minor = 1 if check.http_version is HttpVersion.HTTP_1_1 else 0
    close = "" if check.http_version is HttpVersion.HTTP_1_0 else "Connection: close\r\n"
    host = url.virtualhost or check.virtualhost or _address(order)
    text = f"GET {url.path} HTTP/1.{minor}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n"
    return text.encode(errors="surrogateescape")


def _web(order: StartCheck) -> WebCheck:
    assert isinstance(order.check, WebCheck)
    return order.check


def _address(order: StartCheck) -> str:
    address = order.target.address
    if address.version == 4:
        return f"{address}:{order.target.port}"
    return f"[{str(address).partition('%')[0]}]:{order.target.port}"


def terms_for(order: StartCheck) -> Terms:
    """What is sent, and how long things may take: the body ten steps, or as long as the check's interval."""
    check = _web(order)
    step_s = as_seconds(check.connect_timeout_us)
    return Terms(request_for(order), step_s, max(_PATIENCE * step_s, as_seconds(check.delay_loop_us)))


_NAMES = "WEB connection fail to create socket. Rescheduling.", "WEB socket bind failed. Rescheduling"


def fetching(order: StartCheck, page: Page, context: ssl.SSLContext | None) -> Fetch | CheckResult:
    """The page under way, over TLS if there is a `context`; or what became of it at once."""
    unreachable = f"HTTP/SSL_CHECK - network unreachable server {order.label}."
    made = connecting(order, Names(*_NAMES, unreachable))
    if isinstance(made, CheckResult):
        return made
    if context is None:
        return Fetch(made, terms_for(order), page)
    return TlsFetch(made, terms_for(order), page, security_for(order, context))


async def get_page(order: StartCheck, context: ssl.SSLContext | None, search: Search | None) -> CheckResult:
    """HTTP_GET, or SSL_GET with a `context`, of the page `order.part`; `search` is that for its pattern."""
    url = _web(order).urls[order.part]
    page = Page(url.digest is not None, search)
    fetch = fetching(order, page, context)
    if isinstance(fetch, CheckResult):
        return fetch
    try:
        stop = await fetch.over
    finally:
        fetch.close()
    return judged(order, page, stop)


def judged(order: StartCheck, page: Page, stop: Stop) -> CheckResult:
    """What the end of a connection and the page that came over it say about the server."""
    url = _web(order).urls[order.part]
    fault = _fault(order, url, page, stop)
    lines = () if stop.words else _length_lines(url, page)
    if fault.words:
        line = f"{fault.words} server {order.label}."
        return CheckResult(False, fault.ending, page.status or None, fault.text, (*lines, line))
    what = "Regex match" if url.regex is not None else "MD5 digest" if url.digest else "HTTP status code"
    line = f"{what} success to {order.label} url({url.path})"
    return CheckResult(True, Ending.ANSWERED, page.status, fault.text, (*lines, line))


def _length_lines(url: Url, page: Page) -> tuple[str, ...]:
    """What is said of a wrong Content-Length; nothing while the status is wrong already."""
    if not _is_good(url, page) or page.length is None or page.length == page.received:
        return ()
    return (f"content_length ({page.length}) does not match received bytes ({page.received})",)


def _is_good(url: Url, page: Page) -> bool:
    return page.head_complete and any(good.low <= page.status <= good.high for good in url.status_codes)


def _fault(order: StartCheck, url: Url, page: Page, stop: Stop) -> Stop:
    if stop.words:
        return stop
    if not page.head_complete:
        return _without_head(order, page, stop)
    title = page.title()
    if not _is_good(url, page):
        return Stop(Ending.WRONG, "HTTP status code error to", title)
    if url.digest is not None and page.digest != url.digest:
        return Stop(Ending.WRONG, "MD5 digest error to", f"{title}, digest {page.digest.hex()}")
    if url.regex is not None and page.matched == url.regex_no_match:
        found = "found" if page.matched else "not found"
        return Stop(Ending.WRONG, "Regex match failed", f"{title}, pattern {found}")
    if page.length is not None and page.length != page.received:
        title += f", but {page.received} bytes came where Content-Length says {page.length}"
    return Stop(Ending.ANSWERED, "", title)


def _without_head(order: StartCheck, page: Page, stop: Stop) -> Stop:
    if not page.room:
        text = "no end of the header within 4095 bytes"
    elif page.head:
        text = "the server hung up within the header"
    else:
        text = "no data"
    if isinstance(order.check, SslGet) and stop.ending is Ending.ANSWERED:
        return Stop(Ending.CLOSED, "SSL read error from", text)
    return Stop(Ending.CLOSED, _NO_DATA, text)
