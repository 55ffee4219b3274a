"""Checks of real servers: one virtual server with one real server for each case, and what must come of it.

`verdicts` are those of the three phases of `service_programs.Servers`; a server begins as one that
is up, unless `alpha` says otherwise, and what stays as it was is not told.
"""

import hashlib
from dataclasses import dataclass

from service_programs import (
    CHOOSY,
    FORGETFUL,
    HALTED,
    HELO_NAME,
    KILLED,
    NAMES,
    NEWER,
    NOBODY,
    OLDER,
    PAGE,
    STEADY,
    STRICT,
    echo_port,
    session,
)

DOWN, UP = "DOWN", "UP"
COMES_BACK = (DOWN, UP)
STAYS: tuple[str, ...] = ()
NEVER = (DOWN,)
_ONE, _TWO = NAMES[1:]
_DIGEST = hashlib.md5(PAGE, usedforsecurity=False).hexdigest()
_COMMON = {
    "retry": "1",
    "delay_before_retry": "0.5",
    "warmup": "0",
    "delay_loop": "3",
}


@dataclass(frozen=True, slots=True)
class Case:
    """`lines` of one checker (`kind`), the real server, and the verdicts that are told."""

    name: str
    kind: str
    lines: str
    host: str
    port: int
    verdicts: tuple[str, ...]
    alpha: bool = False

    @property
    def udp(self) -> bool:
        """Which protocol the virtual server has."""
        return self.kind in ("DNS_CHECK", "UDP_CHECK")


def _page(path: str, more: str, outer: str = "") -> str:
    return f"url {{\n path {path}\n {more}\n}}\n{outer}"


def _http(name: str, lines: str, verdicts: tuple[str, ...], host: str = STEADY, port: int = 80) -> Case:
    return Case(f"http {name}", "HTTP_GET", lines, host, port, verdicts)


def _tls(name: str, lines: str, verdicts: tuple[str, ...], host: str = STEADY) -> Case:
    return Case(f"tls {name}", "SSL_GET", lines, host, 443, verdicts)


def _smtp(name: str, lines: str, verdicts: tuple[str, ...], host: str = STEADY) -> Case:
    return Case(f"smtp {name}", "SMTP_CHECK", lines, host, 25, verdicts)


def _dns(name: str, asked: str, verdicts: tuple[str, ...], host: str = STEADY) -> Case:
    return Case(f"dns {name}", "DNS_CHECK", asked, host, 53, verdicts)


def _udp(name: str, lines: str, verdicts: tuple[str, ...], host: str, place: int) -> Case:
    lines = f"{lines}\nconnect_port {{echo{place}}}"
    return Case(f"udp {name}", "UDP_CHECK", lines, host, 700, verdicts)


def _named(name: str, wanted: str) -> str:
    """The page that tells the name of the handshake and that of the request."""
    return f'virtualhost {name}\n regex "{wanted}"'


_SNI = "enable_sni"
_ASKED_GOOD = "type A\nname good.example.com"
_ECHO = "payload 01020304\nrequire_reply 01020304"

_WEB_CASES = (
    _http("a page", _page("/page", "status_code 200"), STAYS),
    _http("another page", _page("/page", f"digest {_DIGEST}"), COMES_BACK),
    _http("another text", _page("/page", 'regex "page that is wanted"'), COMES_BACK),
    _http("a page goes missing", _page("/once", ""), COMES_BACK),
    _http("a page is refused", _page("/busy", "status_code 200"), COMES_BACK),
    _http(
        "the second page is another", _page("/names", "") + _page("/page", f"digest {_DIGEST}"), COMES_BACK
    ),
    _http("a redirect is not good", _page("/moved", ""), NEVER),
    _http("a redirect is wanted", _page("/moved", "status_code 302"), STAYS),
    _http("1.1", _page("/page", "", "http_protocol 1.1"), STAYS),
    _http("in chunks", _page("/chunked", 'regex "a"', "http_protocol 1.1"), STAYS),
    _http("of a name", _page("/", f'virtualhost {_ONE}\n regex "this is {_ONE}"'), STAYS),
    _http("of the wrong name", _page("/", f'virtualhost {_TWO}\n regex "this is {_ONE}"'), NEVER),
    _http("of no name", _page("/names", f'regex "host={STEADY}"'), STAYS),
    _http("where TLS is spoken", _page("/page", ""), NEVER, port=443),
    _http("halted", _page("/page", ""), COMES_BACK, HALTED),
    _http("killed", _page("/page", ""), COMES_BACK, KILLED),
    Case("tcp halted", "TCP_CHECK", "", HALTED, 80, STAYS),
    Case("tcp killed", "TCP_CHECK", "", KILLED, 80, COMES_BACK),
    Case("tcp nobody", "TCP_CHECK", "", NOBODY, 80, NEVER),
    _tls("a page", _page("/page", ""), STAYS),
    _tls("another page", _page("/page", f"digest {_DIGEST}"), COMES_BACK),
    _tls("name is sent", _page("/names", _named(_ONE, f"sni={_ONE} host={_ONE}"), _SNI), STAYS),
    _tls("name is not sent", _page("/names", _named(_ONE, f"sni= host={_ONE}")), STAYS),
    _tls("name is not sent but wanted", _page("/names", _named(_ONE, f"sni={_ONE}")), NEVER),
    _tls("another name is sent", _page("/names", _named(_TWO, f"sni={_ONE}"), _SNI), NEVER),
    _tls("choosy, the right name", _page("/", f"virtualhost {_ONE}", _SNI), STAYS, CHOOSY),
    _tls("choosy, the wrong name", _page("/", f"virtualhost {_TWO}", _SNI), NEVER, CHOOSY),
    _tls("choosy, no name", _page("/", f"virtualhost {_ONE}"), NEVER, CHOOSY),
    _tls("1.2", _page("/", ""), STAYS, OLDER),
    _tls("1.3", _page("/", ""), STAYS, NEWER),
    _tls("client unknown", _page("/", ""), NEVER, STRICT),
    _tls("halted", _page("/page", ""), COMES_BACK, HALTED),
    _tls("killed", _page("/page", ""), COMES_BACK, KILLED),
)

_OTHER_CASES = (
    _smtp("keepalived's name", "", STAYS),
    _smtp("known name", f"helo_name {HELO_NAME}", STAYS),
    _smtp("unknown name", "helo_name stranger.example.com", NEVER),
    _smtp("halted", "", COMES_BACK, HALTED),
    _smtp("killed", "", COMES_BACK, KILLED),
    _dns("A", _ASKED_GOOD, STAYS),
    _dns("AAAA that there is not", "type AAAA\nname good.example.com", STAYS),
    _dns("MX", "type MX\nname example.com", STAYS),
    _dns("SOA", "name example.com", STAYS),
    _dns("unknown name", "type A\nname bad.example.com", NEVER),
    _dns("name comes and goes", "type A\nname sometimes.example.com", COMES_BACK, FORGETFUL),
    _dns("refused", "type A\nname www.refused.example", NEVER),
    _dns("silent", "type A\nname www.silent.example", NEVER),
    _dns("halted", _ASKED_GOOD, COMES_BACK, HALTED),
    _dns("killed", _ASKED_GOOD, COMES_BACK, KILLED),
    _udp("echo", _ECHO, STAYS, STEADY, 0),
    _udp("another answer", "payload 01020304\nrequire_reply 01020305", NEVER, STEADY, 1),
    _udp("halted", _ECHO, COMES_BACK, HALTED, 0),
    _udp("halted, no answer wanted", "payload 01020304", STAYS, HALTED, 1),
    _udp("killed", _ECHO, COMES_BACK, KILLED, 0),
    _udp("killed, no answer wanted", "payload 01020304", COMES_BACK, KILLED, 1),
    # A session says that it is down before it says that it is up.
    Case("bfd peer killed", "BFD_CHECK", "name {daemon}", STEADY, 801, (DOWN, UP, DOWN, UP)),
    Case("bfd peer killed, alpha", "BFD_CHECK", "name {daemon}", STEADY, 802, (DOWN, UP, DOWN, UP), True),
    Case("bfd of nobody", "BFD_CHECK", "name nobody", NOBODY, 801, NEVER),
    Case("bfd of nobody, alpha", "BFD_CHECK", "name nobody", NOBODY, 802, NEVER, True),
)
CASES = (*_WEB_CASES, *_OTHER_CASES)


def virtual(number: int) -> str:
    """The address of a case's virtual server."""
    return f"10.60.0.{number + 1}"


def configuration(daemon: str, place: int, source: str) -> str:
    """All cases in the file of one daemon, the one at this place, whose own address is `source`."""
    text = f"global_defs {{\n router_id {daemon}\n lvs_notify_fifo /run/real-servers/{daemon}.fifo\n}}\n"
    text += session(daemon, STEADY, source) + session("nobody", NOBODY, source)
    for number, case in enumerate(CASES):
        bfd = case.kind == "BFD_CHECK"
        common = {**_COMMON, "connect_timeout": "2" if case.kind == "SSL_GET" else "1.5"}
        words = "" if bfd else "".join(f" {word} {value}\n" for word, value in common.items())
        lines = case.lines.replace("{daemon}", daemon)
        for check in (0, 1):
            lines = lines.replace(f"{{echo{check}}}", str(echo_port(check, place)))
        text += f"""virtual_server {virtual(number)} {case.port} {{
 lb_algo rr
 lb_kind NAT
 protocol {"UDP" if case.udp else "TCP"}
 {"alpha" if case.alpha else ""}
 real_server {case.host} {case.port} {{
  weight 3
  {case.kind} {{
{lines}
{words} }}
 }}
}}
"""
    return text
