"""Every kind of check over the network, and what runs it.

What checks share is made when a configuration comes: the settings of TLS, and the
patterns of pages.  A pattern that cannot be looked for makes its check one that
says nothing about its server (`Ending.BROKEN`), and is told of once.
"""

from collections.abc import Callable, Iterable
from ssl import SSLContext

from keepalived_py.base.clock import Micros
from keepalived_py.model.check_events import CheckResult, StartCheck
from keepalived_py.model.checks import (
    Check,
    DnsCheck,
    PingCheck,
    SmtpCheck,
    SslGet,
    TcpCheck,
    UdpCheck,
    Url,
    WebCheck,
)
from keepalived_py.model.config import Configuration
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.probes.connect import broken, check_port
from keepalived_py.probes.dns import ask_name_server
from keepalived_py.probes.http import get_page
from keepalived_py.probes.pattern import Pattern, PatternSearch, Unusable, search_for
from keepalived_py.probes.ping import Pinger
from keepalived_py.probes.smtp import ask_mail_server
from keepalived_py.probes.tls import context_for
from keepalived_py.probes.udp import send_datagram

_PatternKey = tuple[str, tuple[str, ...]]


class Probes:
    """Runs checks.  `now` is the monotonic clock, by which `took_us` is measured; `say` logs a line."""

    def __init__(self, now: Callable[[], Micros], say: Callable[[str], None]) -> None:
        self._now = now
        self._say = say
        self._settings: SslSettings | None = None
        self._context: SSLContext | None = None
        self._patterns: dict[_PatternKey, Pattern | Unusable] = {}
        self._pinger = Pinger(say)

    def follow(self, configuration: Configuration) -> None:
        """From now on use the TLS settings of this configuration, and patterns of its virtual servers.

        Raises FatalStart as `follow_checks` does.
        """
        self.follow_checks(list(configuration.server_checks()), configuration.ssl)

    def follow_checks(self, followed: Iterable[Check], settings: SslSettings | None) -> None:
        """From now on use these TLS settings, and the patterns of these checks.

        Raises FatalStart if a file of `SSL` cannot be used by the SSL_GET checks that need it; then
        everything stays as it was.
        """
        checks = [check for check in followed if isinstance(check, WebCheck)]
        needs_tls = any(isinstance(check, SslGet) for check in checks)
        context = context_for(settings) if needs_tls else None
        self._settings, self._context = settings, context
        self._patterns = {}
        urls = (url for check in checks for url in check.urls if url.regex is not None)
        for line in dict.fromkeys(self._refused(url) for url in urls):
            if line:
                self._say(line)

    def close(self) -> None:
        """Give back what the checks have changed on this machine."""
        self._pinger.close()

    async def run(self, order: StartCheck) -> CheckResult:
        """One check (of a WebCheck: one page) to its end."""
        started = self._now()
        result = await self._asked(order, order.check)
        return result._replace(took_us=Micros(self._now() - started))

    async def _asked(self, order: StartCheck, check: Check) -> CheckResult:
        match check:
            case TcpCheck():
                return await check_port(order)
            case WebCheck():
                return await self._page(order, check)
            case SmtpCheck():
                return await ask_mail_server(order)
            case DnsCheck():
                return await ask_name_server(order)
            case UdpCheck():
                return await send_datagram(order)
            case PingCheck():
                return await self._pinger.ping(order)
            case _:
                return broken(f"{type(check).__name__} is no check over the network")

    async def _page(self, order: StartCheck, check: WebCheck) -> CheckResult:
        url = check.urls[order.part]
        search: PatternSearch | None = None
        if url.regex is not None:
            pattern = self._pattern(url)
            if isinstance(pattern, Unusable):
                return broken(self._refused(url))
            search = search_for(url, pattern)
        return await get_page(order, self._tls() if isinstance(check, SslGet) else None, search)

    def _tls(self) -> SSLContext:
        if self._context is None:
            self._context = context_for(self._settings)
        return self._context

    def _refused(self, url: Url) -> str:
        """Why the page's pattern cannot be looked for; "" if it can."""
        why = self._pattern(url)
        if isinstance(why, Pattern):
            return ""
        return f"Unable to use regex '{url.regex}' of url {url.path}: {why}; the check is not made"

    def _pattern(self, url: Url) -> Pattern | Unusable:
        assert url.regex is not None
        key = (url.regex, url.regex_options)
        found = self._patterns.get(key)
        if found is None:
            try:
                found = Pattern(url.regex, frozenset(url.regex_options))
            except Unusable as unusable:
                found = unusable
            self._patterns[key] = found
        return found
