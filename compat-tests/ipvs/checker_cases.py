"""Checks and the servers they are tried on: one virtual server with one real server for each case.

`phases` says how the server behaves at the start, after the first change and after the second.  Times are short: a check every three seconds, one and a
half of patience, one retry after 0.5 s, so that the verdict of each phase has come before the next one
begins, and begins well between two checks.
"""

from dataclasses import dataclass, field

from checker_targets import (
    Address,
    Behaviour,
    Datagrams,
    Drip,
    Full,
    Hold,
    Number,
    Page,
    Program,
    Read,
    Refused,
    Reset,
    Send,
    Talk,
    answered,
    md5,
    page,
    sent,
)

Blocks = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """`blocks`: checkers, each its keyword and its lines; `common` replaces lines that all have.

    In lines, {ip} is the real server's address, {other} one that is another's, {n} the number of the case.
    `server`: more lines of the real server.  `notes`: notify scripts are called.  `absent`: the address is
    nobody's, and packets to it vanish.  `listens`: a port of the server that is not `port`.
    """

    name: str
    blocks: Blocks
    phases: tuple[Behaviour, ...] = ()
    port: int = 80
    udp: bool = False
    v6: bool = False
    server: str = ""
    common: dict[str, str] = field(default_factory=dict)
    notes: bool = False
    absent: bool = False
    listens: int = 0


OK = page()
NOT_FOUND = page(status="404 Not Found")
BUSY = page(status="503 Busy")
LISTENS = Talk()


def http(more: str = "", outer: str = "") -> Blocks:
    """An HTTP_GET of one page; `more` belongs to the page, `outer` to the check."""
    return (("HTTP_GET", f"url {{\n path /a?b=c\n {more}\n}}\n{outer}"),)


def https(more: str = "", outer: str = "") -> Blocks:
    """The same over TLS."""
    return (("SSL_GET", f"url {{\n path /\n {more}\n}}\n{outer}"),)


def tls(behaviour: Talk, name: str = "any") -> Talk:
    """The same server over TLS."""
    return Talk(behaviour.steps, name)


TCP: Blocks = (("TCP_CHECK", ""),)
SMTP: Blocks = (("SMTP_CHECK", ""),)
PING: Blocks = (("PING_CHECK", ""),)


def dns(more: str = "") -> Blocks:
    """A DNS_CHECK that is patient once, as the others."""
    return (("DNS_CHECK", more),)


def udp(more: str = "") -> Blocks:
    """A UDP_CHECK."""
    return (("UDP_CHECK", more),)


def misc(more: str = "") -> Blocks:
    """A MISC_CHECK that runs the case's program."""
    return (("MISC_CHECK", f'misc_path "/run/lab/misc {{n}}"\n{more}'),)


def file(weight: int) -> Blocks:
    """A FILE_CHECK of the case's file."""
    return (("FILE_CHECK", f"track_file number{{n}}\nweight {weight}"),)


def mail(*steps: str | float | Hold | Reset) -> Talk:
    """A mail server: what it says in turn, each after a line of the client but the first; a number is a pause."""
    made: list[Send | Read | Drip | Hold | Reset] = []
    for place, step in enumerate(steps):
        if place:
            made.append(Read(b"\r\n"))
        made.append(
            Send(f"{step}\r\n".encode())
            if isinstance(step, str)
            else Hold()
            if isinstance(step, float)
            else step
        )
    return Talk(tuple(made))


POSTMAN = mail("220 here", "250 hello", "221 bye")
_HEAD = b"HTTP/1.0 200 OK\r\n"

_TCP_CASES = (
    Case("tcp accepted, refused, accepted", TCP, (LISTENS, Refused(), LISTENS), notes=True),
    Case("tcp refused, accepted, refused", TCP, (Refused(), LISTENS, Refused())),
    Case("tcp backlog full, then room", TCP, (Full(), LISTENS, Full())),
    Case("tcp packets vanish", TCP, absent=True),
    Case("tcp alpha", TCP, (LISTENS, Refused(), LISTENS), common={"alpha": "on"}, notes=True),
    Case("tcp alpha refused", TCP, (Refused(), LISTENS), common={"alpha": "on"}, notes=True),
    Case("tcp no retry", TCP, (LISTENS, Refused(), LISTENS), common={"retry": "0"}),
    Case("tcp two retries", TCP, (LISTENS, Refused(), LISTENS), common={"retry": "2"}),
    Case("tcp slower retry", TCP, (LISTENS, Refused(), LISTENS), common={"delay_before_retry": "1.5"}),
    Case("tcp quiet about failures", TCP, (LISTENS, Refused(), LISTENS), common={"log_all_failures": ""}),
    Case("tcp inhibit", TCP, (LISTENS, Refused(), LISTENS), server="inhibit_on_failure", notes=True),
    Case("tcp delay_loop 1.5", TCP, (LISTENS, Refused(), LISTENS), common={"delay_loop": "1.5"}),
    Case(
        "tcp connect_port", (("TCP_CHECK", "connect_port 4000"),), (LISTENS, Refused(), LISTENS), listens=4000
    ),
    Case("tcp connect_ip", (("TCP_CHECK", "connect_ip {other}\nconnect_port 9999"),), (LISTENS,)),
    Case("tcp v6", TCP, (LISTENS, Refused(), LISTENS), v6=True),
    Case("tcp bindto nobody", (("TCP_CHECK", "bindto 10.99.99.99"),), (LISTENS, Refused())),
    Case("tcp network unreachable", (("TCP_CHECK", "connect_ip 192.0.2.1"),), (LISTENS,)),
    Case("tcp two checks, one fails", (("TCP_CHECK", ""), ("TCP_CHECK", "connect_port 81")), (LISTENS,)),
    Case("tcp and http, http recovers", (*TCP, *http()), (OK, BUSY, OK), notes=True),
    Case(
        "tcp with the mark of a way",
        (("TCP_CHECK", "fwmark 7\nbindto {other}"),),
        (LISTENS, Refused(), LISTENS),
    ),
)

_HTTP_CASES = (
    Case("http 200, 404, 200", http(), (OK, NOT_FOUND, OK), notes=True),
    Case("http status 404 wanted", http("status_code 404"), (NOT_FOUND, OK, NOT_FOUND)),
    Case(
        "http status range",
        http("status_code 200 204-210"),
        (page(status="207 So"), page(status="211 So"), OK),
    ),
    Case("http 302 is not good", http(), (page(status="302 Found", head="Location: /\r\n"), OK)),
    Case("http digest", http("digest {digest}"), (OK, page(b"other"), OK)),
    Case(
        "http digest of too much",
        http("digest {digest}"),
        (sent(_HEAD + b"Content-Length: 2\r\n\r\nok and more"),),
    ),
    Case(
        "http digest of too little",
        http(f"digest {md5(b'o')}"),
        (sent(_HEAD + b"Content-Length: 2\r\n\r\no"),),
    ),
    Case(
        "http regex",
        http('regex "[a-z]+ (here|there)"'),
        (page(b"we are here"), page(b"we are not"), page(b"or there so")),
    ),
    Case(
        "http regex_no_match",
        http('regex "error"\nregex_no_match'),
        (page(b"fine"), page(b"an error it is"), page(b"fine")),
    ),
    Case(
        "http regex caseless",
        http('regex "HERE"\nregex_options caseless'),
        (page(b"we are here to"), page(b"gone")),
    ),
    Case(
        "http virtualhost",
        http("virtualhost www.example.com"),
        (Talk((Read(), Page(lambda asked, _: b"Host: www.example.com\r\n" in asked))),),
    ),
    Case(
        "http virtualhost is another",
        http("virtualhost www.example.org"),
        (Talk((Read(), Page(lambda asked, _: b"Host: www.example.com\r\n" in asked))),),
    ),
    Case(
        "http host by default",
        http(),
        (
            Talk(
                (
                    Read(),
                    Page(
                        lambda asked, peer: f"Host: {peer[0]}".encode() in asked or b"Host: 10.61." in asked
                    ),
                )
            ),
        ),
    ),
    Case(
        "http 1.1",
        http(outer="http_protocol 1.1"),
        (
            Talk(
                (
                    Read(),
                    Page(lambda asked, _: b" HTTP/1.1\r\n" in asked and b"\nConnection: close\r\n" in asked),
                )
            ),
        ),
    ),
    Case(
        "http 1.0C",
        http(outer="http_protocol 1.0C"),
        (
            Talk(
                (
                    Read(),
                    Page(lambda asked, _: b" HTTP/1.0\r\n" in asked and b"\nConnection: close\r\n" in asked),
                )
            ),
        ),
    ),
    Case(
        "http bindto",
        http(outer="bindto {other}"),
        (Talk((Read(), Page(lambda _, peer: peer[0] == "10.61.0.1"))),),
    ),
    Case(
        "http bind_port",
        http(outer="bindto {ip}\nbind_port 4321"),
        (Talk((Read(), Page(lambda _, peer: peer[1] == 4321))),),
    ),
    Case(
        "http two urls",
        (("HTTP_GET", "url {\n path /one\n}\nurl {\n path /two\n}"),),
        (OK, Talk((Read(), Page(lambda asked, _: b"/one" in asked))), OK),
    ),
    Case("http refused", http(), (Refused(), OK, Refused())),
    Case("http packets vanish", http(), absent=True),
    Case("http accepts and is silent", http(), (OK, Talk((Hold(),)), OK)),
    Case("http reset after the request", http(), (OK, Talk((Read(), Reset())), OK)),
    Case("http reset in the body", http(), (OK, sent(_HEAD + b"\r\nhalf", Drip(b"x", 0.1), Reset()), OK)),
    Case("http closed without a word", http(), (OK, Talk((Read(),)), OK)),
    Case("http slow bytes", http(), (OK, Talk((Read(), Drip(_HEAD + b"\r\nok", 0.05))), OK)),
    Case("http head only, then nothing", http(), (OK, sent(_HEAD + b"\r\n", Hold()), OK)),
    Case("http half a head", http(), (OK, sent(_HEAD + b"Content-Le"), OK)),
    Case(
        "http keep-alive",
        http(outer="http_protocol 1.1"),
        (sent(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Hold()), OK),
    ),
    Case(
        "http chunked",
        http(
            f"digest {md5(b'2' + bytes((13, 10)) + b'ok' + bytes((13, 10)) + b'0' + bytes((13, 10, 13, 10)))}"
        ),
        (sent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),),
    ),
    Case(
        "http broken chunks",
        http(),
        (sent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok"),),
    ),
    Case("http broken header", http(), (OK, sent(b"HTTP/1.0 200 OK\r\n: :\r\nno colon\r\n\r\nok"), BUSY)),
    Case("http bare LF", http(), (OK, sent(b"HTTP/1.0 200 OK\n\nok"), OK)),
    Case("http not http", http(), (OK, sent(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), OK)),
    Case("http status without reason", http(), (OK, sent(b"HTTP/1.0 200\r\n\r\nok"), OK)),
    Case(
        "http long header",
        http(),
        (
            OK,
            sent(_HEAD + b"X: " + b"y" * 3500 + b"\r\n\r\nok"),
            sent(_HEAD + b"X: " + b"y" * 9000 + b"\r\n\r\nok"),
        ),
    ),
    Case("http length is wrong", http(), (sent(_HEAD + b"Content-Length: 7\r\n\r\nok"),)),
    Case("http v6", http(), (OK, NOT_FOUND, OK), v6=True),
)

_TLS_CASES = (
    Case("tls self-signed", https(), (tls(OK), tls(NOT_FOUND), tls(OK)), port=443, notes=True),
    Case("tls digest", https("digest {digest}"), (tls(OK), tls(page(b"other")), tls(OK)), port=443),
    Case(
        "tls name is sent",
        https("virtualhost www.example.com", "enable_sni"),
        (tls(OK, "www.example.com"), tls(OK, "other.example.com")),
        port=443,
    ),
    Case(
        "tls name is not sent",
        https("virtualhost www.example.com"),
        (tls(OK, "www.example.com"), tls(OK)),
        port=443,
    ),
    Case(
        "tls broken",
        https(),
        (
            tls(OK),
            Talk(
                (Read(b"\x03"), Send(b"\x16\x03\x03\x00\x05garbage garbage")),
            ),
            tls(OK),
        ),
        port=443,
    ),
    Case(
        "tls plain http",
        https(),
        (tls(OK), sent(_HEAD + b"\r\nok"), Talk((Send(_HEAD + b"\r\nok"),))),
        port=443,
    ),
    Case("tls handshake never ends", https(), (tls(OK), Talk((Hold(),)), tls(OK)), port=443),
    Case("tls closed in the handshake", https(), (tls(OK), Talk((Read(b"\x03"),)), tls(OK)), port=443),
    Case("tls reset after the request", https(), (tls(OK), tls(Talk((Read(), Reset()))), tls(OK)), port=443),
    Case("tls silent after the request", https(), (tls(OK), tls(Talk((Read(), Hold()))), tls(OK)), port=443),
    Case("tls refused", https(), (Refused(), tls(OK)), port=443),
)

_MAIL_CASES = (
    Case("smtp 220", SMTP, (POSTMAN, Refused(), POSTMAN), port=25, notes=True),
    Case(
        "smtp multi-line banner",
        SMTP,
        (POSTMAN, mail("220-one\r\n220 two", "250 hello", "221 bye"), POSTMAN),
        port=25,
    ),
    Case("smtp 554", SMTP, (mail("554 no"), POSTMAN, mail("554 no")), port=25),
    Case("smtp HELO refused", SMTP, (POSTMAN, mail("220 here", "550 no"), POSTMAN), port=25),
    Case("smtp silent", SMTP, (POSTMAN, Talk(), POSTMAN), port=25),
    Case("smtp silent after the banner", SMTP, (POSTMAN, mail("220 here", 1.0), POSTMAN), port=25),
    Case("smtp garbage", SMTP, (POSTMAN, mail("\x01\x02 garbage"), POSTMAN), port=25),
    Case(
        "smtp closed after HELO",
        SMTP,
        (POSTMAN, Talk((Send(b"220 here\r\n"), Read(b"\r\n"))), POSTMAN),
        port=25,
    ),
    Case(
        "smtp helo_name",
        (("SMTP_CHECK", "helo_name me.example.com"),),
        (
            Talk(
                (
                    Send(b"220 here\r\n"),
                    Read(b"HELO me.example.com\r\n"),
                    Send(b"250 yes\r\n"),
                    Read(b"QUIT\r\n"),
                    Send(b"221 bye\r\n"),
                )
            ),
        ),
        port=25,
    ),
    Case("smtp QUIT unanswered", SMTP, (POSTMAN, mail("220 here", "250 hello", 1.0), POSTMAN), port=25),
    Case(
        "smtp banner slowly",
        SMTP,
        (
            POSTMAN,
            Talk(
                (
                    Drip(b"220 here\r\n", 0.05),
                    Read(b"\r\n"),
                    Send(b"250 hello\r\n"),
                    Read(b"\r\n"),
                    Send(b"221 bye\r\n"),
                )
            ),
            POSTMAN,
        ),
        port=25,
    ),
    Case("smtp packets vanish", SMTP, port=25, absent=True),
)

_DATAGRAM_CASES = (
    Case("dns of unbound", dns("type A\nname good.example.com"), port=5353, udp=True),
    Case("dns nxdomain of unbound", dns("type A\nname bad.example.com"), port=5353, udp=True),
    Case(
        "dns noerror, nxdomain, noerror",
        dns(),
        (answered(0), answered(3), answered(0)),
        port=53,
        udp=True,
        notes=True,
    ),
    Case("dns refused", dns(), (answered(5), answered(0)), port=53, udp=True),
    Case("dns nobody listens", dns(), (answered(0), Refused(), answered(0)), port=53, udp=True),
    Case("dns silent", dns(), (answered(0), Datagrams(lambda _: None), answered(0)), port=53, udp=True),
    Case(
        "dns another id",
        dns(),
        (
            answered(0),
            Datagrams(lambda asked: bytes((asked[0] ^ 1,)) + asked[1:2] + b"\x81\x80" + asked[4:]),
            answered(0),
        ),
        port=53,
        udp=True,
    ),
    Case(
        "dns garbage", dns(), (answered(0), Datagrams(lambda _: b"\xff" * 40), answered(0)), port=53, udp=True
    ),
    Case(
        "dns too short",
        dns(),
        (answered(0), Datagrams(lambda asked: asked[:2] + b"\x81\x80"), answered(0)),
        port=53,
        udp=True,
    ),
    Case(
        "dns a question comes back",
        dns(),
        (answered(0), Datagrams(lambda asked: asked), answered(0)),
        port=53,
        udp=True,
    ),
    Case(
        "udp nobody listens",
        udp(),
        (Datagrams(lambda _: b"ok"), Refused(), Datagrams(lambda _: b"ok")),
        port=700,
        udp=True,
        notes=True,
    ),
    Case("udp silent", udp(), (Datagrams(lambda _: None),), port=700, udp=True),
    Case(
        "udp reply",
        udp("payload 01 02 ff 00\nrequire_reply 6f6b"),
        (
            Datagrams(lambda asked: b"ok" if asked == b"\x01\x02\xff\0" else None),
            Datagrams(lambda _: b"no"),
            Datagrams(lambda _: b"okay"),
        ),
        port=700,
        udp=True,
    ),
    Case(
        "udp reply with wildcards",
        udp("require_reply 6fxx6b"),
        (Datagrams(lambda _: b"oxk"), Datagrams(lambda _: b"oxx"), Datagrams(lambda _: b"o")),
        port=700,
        udp=True,
    ),
    Case(
        "udp reply too short",
        udp("require_reply 6f\nmin_reply_length 4"),
        (Datagrams(lambda _: b"oooo"), Datagrams(lambda _: b"ooo"), Datagrams(lambda _: b"ooooo")),
        port=700,
        udp=True,
    ),
    Case(
        "udp any reply required",
        udp("require_reply"),
        (Datagrams(lambda _: b"?"), Datagrams(lambda _: None), Datagrams(lambda _: b"!")),
        port=700,
        udp=True,
    ),
    Case(
        "udp own payload",
        udp("require_reply 6f"),
        (Datagrams(lambda asked: b"o" if asked == b"keepalived check - keepalived ch" else b"x"),),
        port=700,
        udp=True,
    ),
    Case("ping", PING, (Address(True), Address(False), Address(True)), notes=True),
    Case("ping of nobody", PING, absent=True),
    Case("ping v6", PING, (Address(True), Address(False), Address(True)), v6=True),
)

_LOCAL_CASES = (
    Case("misc exit", misc(), (Program("exit 0"), Program("exit 1"), Program("exit 0")), notes=True),
    Case("misc exit 2 is bad", misc(), (Program("exit 2"), Program("exit 0"))),
    Case(
        "misc no retry",
        misc(),
        (Program("exit 0"), Program("exit 3"), Program("exit 0")),
        common={"retry": ""},
    ),
    Case("misc dynamic", misc("misc_dynamic"), (Program("exit 7"), Program("exit 102"), Program("exit 1"))),
    Case(
        "misc dynamic weightless",
        misc("misc_dynamic"),
        (Program("exit 0"), Program("exit 2"), Program("exit 255")),
    ),
    Case("misc killed", misc(), (Program("exit 0"), Program("kill -9 $$"), Program("exit 0"))),
    Case("misc timeout", misc("misc_timeout 1"), (Program("exit 0"), Program("sleep 20"), Program("exit 0"))),
    Case(
        "misc dynamic timeout",
        misc("misc_timeout 1\nmisc_dynamic"),
        (Program("exit 5"), Program("sleep 20"), Program("exit 5")),
    ),
    Case(
        "misc deaf to TERM",
        misc("misc_timeout 1"),
        (Program("exit 0"), Program("trap '' TERM; sleep 3; exit 0"), Program("exit 0")),
    ),
    Case("file adds", file(1), (Number("3"), Number("20"), Number("0"))),
    Case("file takes", file(2), (Number("0"), Number("-3"), Number("5"))),
    Case("file weight 0", file(0), (Number("0"), Number("1"), Number("0")), notes=True),
    Case("file goes missing", file(1), (Number("4"), Number(None), Number("2"))),
    Case("file out of range", file(1), (Number("1"), Number("-2147483648"), Number("1"))),
    Case("no checker", (), (LISTENS,)),
)

CASES = (*_TCP_CASES, *_HTTP_CASES, *_TLS_CASES, *_MAIL_CASES, *_DATAGRAM_CASES, *_LOCAL_CASES)


def real_server(number: int, case: Case) -> str:
    """The address of the case's real server."""
    if case.absent:
        return f"10.62.0.{number}" if not case.v6 else f"fd62::{number}"
    return f"10.61.0.{number + 10}" if not case.v6 else f"fd61::{number + 10}"


def _block(kind: str, lines: str, case: Case) -> str:
    common = {
        "retry": "1",
        "delay_before_retry": "0.5",
        "connect_timeout": "1.5",
        "warmup": "0",
        "delay_loop": "3",
        "log_all_failures": " ",
    }
    if kind == "SSL_GET":
        # Handshakes take their time where many begin at once.
        common["connect_timeout"] = "1.8"
    if kind == "MISC_CHECK":
        # Programs are dear in this kernel.
        del common["connect_timeout"]
        common["delay_loop"] = "6"
    if kind == "FILE_CHECK":
        common = {}
    words = "".join(f" {word} {value}\n" for word, value in {**common, **case.common}.items() if value)
    return f"{kind} {{\n{lines}\n{words}}}\n"


def configuration(digest: str) -> str:
    """All cases in one file."""
    text = "global_defs {\n router_id lab\n script_user root\n enable_script_security\n lvs_notify_fifo /run/lab/fifo\n}\n"
    for number, case in enumerate(CASES):
        if any(kind == "FILE_CHECK" for kind, _ in case.blocks):
            text += f"track_file number{number} {{\n file /run/lab/{number}.number\n}}\n"
    for number, case in enumerate(CASES):
        ip = real_server(number, case)
        blocks = "".join(_block(kind, lines, case) for kind, lines in case.blocks)
        for mark, value in {
            "{ip}": ip,
            "{n}": str(number),
            "{digest}": digest,
            "{other}": "10.61.0.1",
        }.items():
            blocks = blocks.replace(mark, value)
        notes = ""
        if case.notes:
            notes = f'notify_up "/run/lab/note {number} up"\nnotify_down "/run/lab/note {number} down"\n'
        virtual = f"fd60::{number + 1}" if case.v6 else f"10.60.0.{number + 1}"
        text += f"""virtual_server {virtual} {case.port} {{
 lb_algo rr
 lb_kind NAT
 protocol {"UDP" if case.udp else "TCP"}
 real_server {ip} {case.port} {{
  weight 3
  {case.server}
  {notes}{blocks} }}
}}
"""
    return text
