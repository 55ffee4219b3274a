"""`HTTP_GET` and `SSL_GET`: pages are fetched and their answers looked at.  Both share one table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CONNECTION, CheckDraft, reachable, timing
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.http_regex import REGEX, pattern_faults
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.model.checks import HttpGet, HttpVersion, SslGet, StatusRange, Url

DIGEST_LENGTH = 32
LOWEST_STATUS, HIGHEST_STATUS = 100, 599
_LONG = 2**64
_STATUS = re.compile(r"[ \t\v\f\r\n]*([+-]?)([0-9]+)")
_HEX_BYTE = re.compile(rb"[0-9a-fA-F]{2}\Z|[ \t\v\f\r\n+-][0-9a-fA-F]\Z")


# Pages -----------------------------------------------------------------------


class UrlDraft(Draft[Url]):
    """A page being read; `check` is the draft of its check."""

    def build(self, **changes: Any) -> Url:
        """The record; how its connection is closed is as its check says."""
        if not self.written("tls_compliant"):
            changes = {"tls_compliant": bool(self.check.__dict__.get("tls_compliant")), **changes}
        return super().build(**changes)


def _digest(run: Run, url: Draft[Url], at: Directive) -> object:
    """The MD5 of the page; keepalived reads it from the end, and quotes it only up to where it went wrong."""
    text = at.words[1]
    raw = text.encode(errors="surrogateescape")
    if url.digest is not None:
        run.error(f"Digest '{text}' is a duplicate", at, word=0, code="repeated-keyword")
        return FAILED
    if len(raw) != DIGEST_LENGTH:
        run.error(
            f"digest '{text}' character length should be {DIGEST_LENGTH} rather than {len(raw)}",
            at,
            word=1,
            expected=f"an MD5 digest of {DIGEST_LENGTH} hexadecimal digits",
        )
        return FAILED
    for offset in range(DIGEST_LENGTH - 2, -1, -2):
        if _HEX_BYTE.match(raw[offset : offset + 2]) is None:
            shown = raw[: offset + 2].decode(errors="replace")
            run.error(
                f"Unable to interpret hex digit in '{shown}' at offset {offset}/{offset + 1}",
                at,
                word=1,
                expected=f"{DIGEST_LENGTH} hexadecimal digits",
            )
            return FAILED
    return bytes(int(raw[place : place + 2], 16) & 0xFF for place in range(0, DIGEST_LENGTH, 2))


def status_number(text: str) -> tuple[int, str]:
    """The number at the start of `text` (0 if there is none), as C's strtoul reads it, and the rest."""
    found = _STATUS.match(text)
    if found is None:
        return 0, text
    value = int(found[2])
    value = _LONG - 1 if value >= _LONG else (-value if found[1] == "-" else value) % _LONG
    return value % 2**32, text[found.end() :]


def _status_code(run: Run, url: Any, at: Directive) -> object:
    """Codes are added to those of other lines; one that is none is left out."""
    ranges = list(url.__dict__.get("status_codes", ()))
    for place, word in enumerate(at.words[1:], 1):
        low, rest = status_number(word)
        high, rest = status_number(rest[1:]) if rest.startswith("-") else (low, rest)
        if rest or not LOWEST_STATUS <= low <= high <= HIGHEST_STATUS:
            run.error(
                f"Invalid HTTP_GET status code '{word}'",
                at,
                word=place,
                expected=f"a code from {LOWEST_STATUS} to {HIGHEST_STATUS}, or two with a dash between",
            )
        else:
            ranges.append(StatusRange(low, high))
    return joined(ranges) if ranges else FAILED


def joined(ranges: Iterable[StatusRange]) -> tuple[StatusRange, ...]:
    """The same codes in order, ranges that touch made one."""
    found: list[StatusRange] = []
    for one in sorted(ranges, key=lambda given: given.low):
        if found and one.low <= found[-1].high + 1:
            found[-1] = StatusRange(found[-1].low, max(found[-1].high, one.high))
        else:
            found.append(one)
    return tuple(found)


def _show_status(found: Iterable[StatusRange]) -> Iterable[str]:
    return (" ".join(str(one.low) if one.low == one.high else f"{one.low}-{one.high}" for one in found),)


def _url_opened(run: Run, check: CheckDraft, at: Directive) -> UrlDraft:
    return UrlDraft(Url, at, check=check)


def _url_closed(run: Run, url: Any, at: Directive) -> None:
    """A page without a path is none."""
    if not url.written("path"):
        run.error(
            "HTTP/SSL_GET checker url has no path - ignoring",
            closing(at),
            code="missing-keyword",
            expected="path PATH in the url block",
        )
        return
    pattern_faults(run, url)
    url.check.add("urls", url)


def _virtualhost(missing: str, default: str) -> Keyword[Any]:
    return values.text(
        "virtualhost", "virtualhost", missing=missing, default=default, help="the Host header of the request"
    )


URL: list[Keyword[Any]] = [
    values.text("path", "path", arguments="<PATH>", help="the path of the page, from the first slash on"),
    values.converted(
        "digest",
        "digest",
        _digest,
        "<32 HEX>",
        help="the MD5 digest that the page must have, as genhash prints it",
        show=lambda found: () if found is None else (found.hex(),),
        schema={"type": "string", "pattern": "^[0-9a-f]{32}$"},
        pure=False,
    ),
    values.converted(
        "status_code",
        "status_codes",
        _status_code,
        f"<INT {LOWEST_STATUS}..{HIGHEST_STATUS}>[-<INT>] ...",
        default="200-299",
        help="the status codes that are good, also ranges",
        required=False,
        show=_show_status,
        schema={"type": "string"},
        pure=False,
    ),
    _virtualhost("Missing HTTP_GET virtualhost name", "that of the check"),
    *REGEX,
]

TLS_COMPLIANT = "Invalid tls_compliant option {word}"

HTTP_URL: Block[UrlDraft] = block("url", URL, record=Url, show_header=lambda url: "")

SSL_URL: Block[UrlDraft] = block(
    "url",
    [
        *URL,
        values.switch(
            "tls_compliant",
            "tls_compliant",
            TLS_COMPLIANT,
            since="2.2.8",
            default="that of the check",
            help="close the session with close_notify",
            inherited=True,
        ),
    ],
    record=Url,
    show_header=lambda url: "",
)


# Checks ----------------------------------------------------------------------


def closed(run: Run, check: CheckDraft, at: Directive) -> None:
    """The end of the block: without a page there is nothing to check."""
    if check.sni_name is not None and not check.enable_sni:  # it is not sent then
        check.sni_name = None
    if not check.urls:
        run.error(
            "HTTP/SSL_GET checker has no urls specified - ignoring",
            closing(at),
            code="missing-block",
            expected="at least one url block with a path",
        )
        check.drop()
    elif not reachable(run, check, at):
        check.drop()


def _sni_name(run: Run, check: Any, at: Directive) -> object:
    """A server name turns sending it on; without one it is the virtual host, as with enable_sni."""
    if len(at.words) > 1:
        check.enable_sni = True
        return at.words[1]
    if check.sni_name is not None:
        run.log(f"sni_name already specified as {check.sni_name} - ignoring setting to default", at)
        return FAILED
    check.enable_sni = True
    return FAILED


def _url(inner: Block[Any]) -> Keyword[Any]:
    return Keyword(
        "url",
        help="one page to fetch; all of them must be good",
        block=inner,
        open=_url_opened,
        close=_url_closed,
        attribute="urls",
    )


WEB: list[Keyword[Any]] = [
    *CONNECTION,
    *timing("1", "3"),
    values.number(
        "nb_get_retry",
        "retry",
        0,
        values.UNSIGNED,
        "Invalid nb_get_retry value '{word}'",
        default="1",
        help="the old name of retry",
        deprecation="nb_get_retry is deprecated - please use 'retry'",
        alias="retry",
    ),
    _virtualhost("HTTP_GET virtualhost name missing", "that of the real server"),
    values.choice(
        "http_protocol",
        "http_version",
        {
            "1.0": HttpVersion.HTTP_1_0,
            "1.0C": HttpVersion.HTTP_1_0_CLOSE,
            "1.0c": HttpVersion.HTTP_1_0_CLOSE,
            "1.1": HttpVersion.HTTP_1_1,
        },
        "Invalid http_protocol version {word}",
        required=False,
        missing="Missing http_protocol version",
        default="1.0",
        help="the HTTP version of the request; with C it asks for the connection to be closed",
    ),
    values.switch(
        "enable_sni",
        "enable_sni",
        "Invalid enable_sni parameter {word}",
        help="send the server name in the TLS handshake",
    ),
    values.converted(
        "sni_name",
        "sni_name",
        _sni_name,
        "[<NAME>]",
        since="2.4.4",
        default="virtualhost",
        help="send this server name in the TLS handshake",
        required=False,
        schema={"type": "string"},
        pure=False,
    ),
    values.switch(
        "fast_recovery",
        "fast_recovery",
        "Invalid fast_recovery parameter {word}",
        help="no pause between the pages while a failed server comes back",
    ),
]

HTTP: Block[CheckDraft] = block(
    "HTTP_GET", [*WEB, _url(HTTP_URL)], record=HttpGet, show_header=lambda check: ""
)

SSL: Block[CheckDraft] = block(
    "SSL_GET",
    [
        *WEB,
        values.switch(
            "tls_compliant",
            "tls_compliant",
            TLS_COMPLIANT,
            since="2.2.8",
            help="close sessions with close_notify",
        ),
        _url(SSL_URL),
    ],
    record=SslGet,
    show_header=lambda check: "",
)
