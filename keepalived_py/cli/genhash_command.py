"""`keepalived-py genhash`: the digest of a page, as `digest` in HTTP_GET and SSL_GET wants it.

The page is fetched by the same code that checks it, so what is printed is what a
check will see.  Options, output and exit codes are those of keepalived's genhash:
a page that cannot be fetched is told of, and still ends with 0.  `--genhash` as
the first option of the program is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from ssl import SSLContext
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.cli.words import EXIT_USAGE, Parser

# keepalived's limit where none is given: what fits into its counter of microseconds.
_NO_LIMIT_US = Micros(2**32 - 1)
# Its buffer: verbose output shows each piece by itself.
_PIECE = 4095
_RULER = "-----------------------"
_PROTOCOLS = ("1.0", "1.0c", "1.0C", "1.1")


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py genhash",
        description="Print the MD5 digest of a page, for HTTP_GET and SSL_GET.",
    )
    add = made.add_argument
    add("-s", "--server", metavar="IP", type=_address, required=True, help="address of the web server")
    add("-p", "--port", metavar="PORT", type=_port, required=True, help="its port")
    add("-u", "--url", metavar="PATH", required=True, help="path of the page")
    add("-S", "--use-ssl", action="store_true", help="over TLS")
    add("-I", "--use-sni", action="store_true", help="with the virtual host as server name in the handshake")
    add("-V", "--use-virtualhost", metavar="NAME", help="the Host header")
    add("-P", "--protocol", choices=_PROTOCOLS, default="1.0", help="HTTP version; c asks to close")
    add("-m", "--fwmark", metavar="MARK", type=_unsigned, default=0, help="mark of the packets")
    add("-t", "--timeout", metavar="SECONDS", type=_unsigned, help="time limit of each step (default: none)")
    add("-v", "--verbose", action="store_true", help="show what the server sends, and the time it took")
    return made


def _address(word: str) -> object:
    try:
        return ip_address(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"server should be an IP, not {word}") from None


def _port(word: str) -> int:
    if not word.isdecimal() or not 0 < int(word) < 2**16:
        raise argparse.ArgumentTypeError(f"invalid port number '{word}'")
    return int(word)


def _unsigned(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**32:
        raise argparse.ArgumentTypeError(f"invalid number '{word}'")
    return int(word)


def run(words: Sequence[str]) -> int:
    """Fetch the page and print its digest; 1 if it was asked for wrongly."""
    asked = parser()
    if not words:
        asked.print_help(sys.stderr)
        return EXIT_USAGE
    options = asked.parse_args(words)
    from keepalived_py.system import loop

    try:
        return loop.run(_fetched(options))
    except KeyboardInterrupt:
        return 0


def _order(options: argparse.Namespace) -> Any:
    from keepalived_py.model.check_events import StartCheck, Target
    from keepalived_py.model.checks import HttpGet, HttpVersion, SslGet, Url

    # With some digest, so that one is made.
    url = Url(path=options.url, digest=b"")
    check = (SslGet if options.use_ssl else HttpGet)(
        urls=(url,),
        virtualhost=options.use_virtualhost,
        enable_sni=options.use_sni,
        http_version=HttpVersion(options.protocol.upper()),
        mark=options.fwmark,
        connect_timeout_us=_NO_LIMIT_US if options.timeout is None else Micros(options.timeout * 1_000_000),
    )
    return StartCheck(0, check, Target(options.server, options.port), "")


async def _fetched(options: argparse.Namespace) -> int:
    from keepalived_py.model.check_events import CheckResult
    from keepalived_py.probes.http import fetching
    from keepalived_py.probes.page import Page
    from keepalived_py.system.loop import now

    begun = now()
    page = Page(digested=True, largest_read=_PIECE)
    fetch = fetching(_order(options), page, _context(options))
    if isinstance(fetch, CheckResult):
        print("HTTP/SSL_CHECK - network unreachable" if fetch.lines and not _broken(fetch) else fetch.text)
        return EXIT_USAGE if _broken(fetch) else 0
    if options.verbose:
        fetch.took = Shown(page).took
    try:
        stop = await fetch.over
    finally:
        fetch.close()
    _tell(options, page, stop)
    if options.verbose:
        print(f"\nGlobal response time for [{options.url}] = {now() - begun} usecs")
    return 0


def _broken(result: Any) -> bool:
    from keepalived_py.model.check_events import Ending

    return result.ending is Ending.BROKEN


def _context(options: argparse.Namespace) -> SSLContext | None:
    if not options.use_ssl:
        return None
    from keepalived_py.probes.tls import context_for

    return context_for(None)


def _tell(options: argparse.Namespace, page: Any, stop: Any) -> None:
    from keepalived_py.model.check_events import Ending

    if stop.words:
        print(stop.words)
        return
    closed = stop.ending is Ending.ANSWERED
    if options.verbose and closed:
        print(f"\n{_headline('    HTML hash resulting    ')}", end="")
        print(dumped(page.digest) + _headline(" HTML hash final resulting "), end="")
    if page.head_complete:
        print(page.digest.hex())
    elif options.use_ssl and closed:
        print("SSL read error from")
    else:
        print("no data received from remote webserver", file=sys.stderr)


class Shown:
    """What is printed of an answer as it comes in."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._head_shown = False

    def took(self, data: bytes, used: bytes) -> None:
        """A piece has come; `used` of it was hashed."""
        if self._head_shown:
            print(dumped(used), end="")
            return
        print(_headline("    HTTP Header Buffer    "), end="")
        if not self._page.head_complete:
            return
        self._head_shown = True
        head = self._page.head
        text = head.partition(b"\0")[0].decode("utf-8", "replace")
        print(dumped(head) + _headline(" HTTP Header Ascii Buffer ") + text)
        if used:
            print(_headline("        HTML Buffer        ") + dumped(used), end="")


def _headline(title: str) -> str:
    return f"{_RULER}[{title}]{_RULER}\n"


def dumped(data: bytes) -> str:
    """Bytes as lines of sixteen, in hexadecimal and as text."""
    return "".join(_dumped_line(place, data[place : place + 16]) for place in range(0, len(data), 16))


def _dumped_line(place: int, row: bytes) -> str:
    cells = [f" {byte:02x}" for byte in row] + ["   "] * (16 - len(row))
    text = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "." for byte in row)
    halves = "".join(cells[:8]), "".join(cells[8:])
    return f"{place & 0xFFFF:04d} {halves[0]} -{halves[1]}   {text:16}\n"
