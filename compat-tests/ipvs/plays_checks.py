"""Every kind of check takes its server out of the table and brings it back."""

import hashlib

from play import (
    Answer,
    Condition,
    Down,
    Play,
    Put,
    Run,
    Start,
    Step,
    Stop,
    Up,
    both,
    contacted,
    down,
    has,
    lacks,
    logged,
    run,
    services,
    up,
    weighs,
)
from texts import ONE, TCP, TWO, exits, page, real, script, text, virtual

_HERE = ("10.5.0.2",)
_SORRY = "sorry_server 10.5.0.99 80"
Change = Answer | Down | Up | Put | Run


_BOTH_ASKED = contacted(ONE, TWO, times=2)


def turns(*changes: tuple[str, Change, Condition], first: Condition = _BOTH_ASKED) -> tuple[Step, ...]:
    """Start, one change after the other, stop."""
    return (
        Step("started", (Start(),), first, any_order=True),
        *(Step(name, (change,), until) for name, change, until in changes),
        Step("stopped", (Stop(),), services(0)),
    )


def bad_and_good(bad: Change, good: Change, server: str = TWO) -> tuple[Step, ...]:
    """The second server fails its check, and passes it again."""
    names = (ONE, TWO) if server == TWO else (server,)
    return turns(("bad", bad, lacks(server)), ("good", good, has(server)), first=contacted(*names, times=2))


def pair(name: str, check: str, kind: dict[str, object], bad: Change, good: Change) -> Play:
    """Two servers of one kind behind one check."""
    return Play(
        name, (text(virtual(real(ONE, check), real(TWO, check))),), bad_and_good(bad, good), {ONE: kind, TWO: kind}, _HERE
    )  # fmt: skip


_HTTP: dict[str, object] = {"kind": "http"}
_DIGEST = hashlib.md5(b"ok", usedforsecurity=False).hexdigest()
_TWO_PAGES = (
    f"HTTP_GET {{\n url {{\n path /a\n digest {_DIGEST}\n }}\n url {{\n path /b\n status_code 200 204\n }}\n"
    " fast_recovery\n }"
)
_REGEX = 'HTTP_GET {\n url {\n path /\n regex "well[0-9]+"\n }\n }'
_TLS = "SSL_GET {\n enable_sni\n virtualhost www.example.com\n url {\n path /\n status_code 200\n }\n }"
_MAIL = "SMTP_CHECK {\n helo_name test.example.com\n }"
_NAMES = "DNS_CHECK {\n type A\n name www.example.com\n retry 1\n }"
_DATAGRAM = "UDP_CHECK {\n payload 61 62 63\n require_reply 6f6b\n }"
_ICMP = "PING_CHECK {\n }"
_NAME_SERVERS = ("10.5.0.11:53", "10.5.0.12:53")
_FILES = (
    "track_file tf {\n file /run/lab/tf\n weight 2\n}\ntrack_file gate {\n file /run/lab/gate\n weight 0\n}\n"
)
_TRACK = "FILE_CHECK {\n track_file {name}\n }"
_A, _B = exits("a"), exits("b")


def status(name: str, number: int) -> Put:
    """The script ends so from now on."""
    return Put(f"/run/lab/{name}.status", f"{number}\n")


_DYNAMIC = virtual(
    real(ONE, script("/run/lab/a", "misc_dynamic"), "weight 10"),
    real(TWO, more="weight 3"),
    more=f"quorum 3\n {_SORRY}",
)
_BOTH_CHECKS = virtual(
    real(ONE, f"{TCP}\n  {script('/run/lab/a')}\n  {script('/run/lab/b')}"), real(TWO), more=_SORRY
)
_MIXED = virtual(
    real(
        ONE, f"{script('/run/lab/a', 'misc_dynamic')}\n  {script('/run/lab/b', 'misc_dynamic')}", "weight 4"
    ),
    real(TWO),
)

PLAYS = (
    pair("page and status", page(), _HTTP, Answer(TWO, {"status": 404}), Answer(TWO, {"status": 200})),
    pair("pages and digest", _TWO_PAGES, _HTTP, Answer(TWO, {"body": "ko"}), Answer(TWO, {"body": "ok"})),
    pair(
        "page and expression",
        _REGEX,
        {"kind": "http", "body": "all is well7 here"},
        Answer(TWO, {"body": "not well"}),
        Answer(TWO, {"body": "well42."}),
    ),
    pair(
        "page behind TLS", _TLS, {"kind": "https"}, Answer(TWO, {"status": 500}), Answer(TWO, {"status": 200})
    ),
    pair(
        "mail", _MAIL, {"kind": "smtp"}, Answer(TWO, {"banner": "554 no"}), Answer(TWO, {"banner": "220 yes"})
    ),
    Play(
        "names",
        (
            text(
                virtual(
                    *(real(one, _NAMES) for one in _NAME_SERVERS),
                    where="10.5.0.1 53",
                    protocol="UDP",
                    more="ops",
                )
            ),
        ),
        turns(
            ("bad", Answer(_NAME_SERVERS[1], {"rcode": 2}), lacks(_NAME_SERVERS[1])),
            ("good", Answer(_NAME_SERVERS[1], {"rcode": 0}), has(_NAME_SERVERS[1])),
            first=contacted(*_NAME_SERVERS, times=2),
        ),
        {name: {"kind": "dns"} for name in _NAME_SERVERS},
        _HERE,
    ),
    Play(
        "datagrams",
        (text(virtual(real(ONE, _DATAGRAM), real(TWO, _DATAGRAM), protocol="UDP")),),
        turns(
            ("silent", Answer(TWO, {"reply": None}), lacks(TWO)),
            ("good", Answer(TWO, {"reply": "6f6b"}), has(TWO)),
            ("wrong", Answer(TWO, {"reply": "6f6c"}), lacks(TWO)),
            ("good again", Answer(TWO, {"reply": "6f6b"}), has(TWO)),
            ("nobody", down(TWO), lacks(TWO)),
        ),
        {ONE: {"kind": "udp"}, TWO: {"kind": "udp"}},
        _HERE,
    ),
    Play(
        "echoes",
        (text(virtual(real(ONE, _ICMP), real("10.5.9.12:80", _ICMP))),),
        turns(
            ("bad", run("ip address delete 10.5.9.12/24 dev eth0"), lacks("10.5.9.12:80")),
            ("good", run("ip address add 10.5.9.12/24 dev eth0"), has("10.5.9.12:80")),
            first=logged("ICMP connection to", times=2),
        ),
        {ONE: {}},
        ("10.5.0.2", "10.5.9.12"),
    ),
    Play(
        "another address and port",
        (
            text(
                virtual(
                    real(ONE, "TCP_CHECK {\n connect_ip 10.5.0.2\n connect_port 8080\n bindto 10.5.0.3\n }")
                )
            ),
        ),
        turns(
            ("bad", down("10.5.0.2:8080"), lacks(ONE)),
            ("good", up("10.5.0.2:8080"), has(ONE)),
            first=contacted("10.5.0.2:8080", times=2),
        ),
        {"10.5.0.2:8080": {}},
        ("10.5.0.3", "10.5.0.11"),
    ),
    Play(
        "a script",
        (text(virtual(real(ONE, script("/run/lab/a")), real(TWO))),),
        turns(
            ("bad", status("a", 1), lacks(ONE)),
            ("good", status("a", 0), has(ONE)),
            first=contacted("a", TWO, times=2),
        ),
        {TWO: {}},
        ("10.5.0.2", "10.5.0.11"),
        _A,
    ),
    Play(
        "weights by a script",
        (text(_DYNAMIC),),
        turns(
            ("five", status("a", 7), weighs(ONE, 5)),
            ("nothing", status("a", 2), weighs(ONE, 0)),
            ("as configured", status("a", 0), weighs(ONE, 10)),
            ("failed", status("a", 1), lacks(ONE)),
            ("much", status("a", 255), weighs(ONE, 253)),
            ("the other dead", down(TWO), lacks(TWO)),
            ("less than the quorum", status("a", 4), has("10.5.0.99:80")),
            ("enough", status("a", 5), weighs(ONE, 3)),
            first=contacted("a", TWO, times=2),
        ),
        {TWO: {}},
        ("10.5.0.2", "10.5.0.11"),
        _A,
    ),
    Play(
        "weights by two scripts",
        (text(_MIXED),),
        turns(
            ("one adds", status("a", 12), weighs(ONE, 10)),
            ("both add", status("b", 5), weighs(ONE, 9)),
            ("one fails", status("a", 1), lacks(ONE)),
            ("one is well", status("a", 0), has(ONE)),
            first=contacted("a", "b", TWO, times=2),
        ),
        {TWO: {}},
        ("10.5.0.2", "10.5.0.11"),
        {**_A, **_B},
    ),
    Play(
        "three checks of one server",
        (text(_BOTH_CHECKS),),
        turns(
            ("one fails", status("a", 1), lacks(ONE)),
            ("two fail", status("b", 3), logged("Misc check for")),
            ("one is well", status("a", 0), logged("Misc check for")),
            ("both are well", status("b", 0), has(ONE)),
            ("the third fails", down(ONE), lacks(ONE)),
            ("the third is well", up(ONE), has(ONE)),
            first=contacted("a", "b", ONE, TWO, times=2),
        ),
        {ONE: {}, TWO: {}},
        _HERE,
        {**_A, **_B},
    ),
    Play(
        "weights by a file",
        (
            text(
                _FILES,
                virtual(
                    real(ONE, _TRACK.replace("{name}", "tf"), "weight 10"),
                    real(TWO, _TRACK.replace("{name}", "gate")),
                    more=_SORRY,
                ),
            ),
        ),
        turns(
            ("more", Put("/run/lab/tf", "5\n"), weighs(ONE, 20)),
            ("less", Put("/run/lab/tf", "-3\n"), weighs(ONE, 4)),
            ("nothing", Put("/run/lab/tf", "-100\n"), weighs(ONE, 0)),
            ("very much", Put("/run/lab/tf", "1000\n"), weighs(ONE, 2010)),
            ("fault", Put("/run/lab/tf", "-2147483647\n"), lacks(ONE)),
            ("no fault", Put("/run/lab/tf", "0\n"), weighs(ONE, 10)),
            ("gate shut", Put("/run/lab/gate", "1\n"), lacks(TWO)),
            ("gate open", Put("/run/lab/gate", "0\n"), has(TWO)),
            first=both(has(ONE, TWO), logged("Startup complete")),
        ),
        {},
        ("10.5.0.2", "10.5.0.11"),
        {"/run/lab/tf": "0\n", "/run/lab/gate": "0\n"},
    ),
)
