"""Health checks: what is read, what is said about mistakes, and what becomes of the defaults."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.config.blocks.checkers import KEYWORDS
from keepalived_py.config.blocks.http_get import joined, status_number
from keepalived_py.config.blocks.udp_check import read_hex
from keepalived_py.config.host import FileStatus
from keepalived_py.config.load import Loaded, load
from keepalived_py.config.schema import Block, Keyword
from keepalived_py.model import checks
from keepalived_py.model.checks import DnsType, FileWeight, HexPattern, HttpVersion, JitStack, StatusRange
from keepalived_py.model.scripts import Command
from tests.config.fake_host import FakeHost

HEAD = (
    "virtual_server 10.1.0.10 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nreal_server 10.1.0.2 80 {\n"
)
FIRST = HEAD.count("\n") + 1  # the line of the first statement in a real server
TAIL = "}\n}\n"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
SESSIONS = (
    "track_file tf {\nfile /tmp/number\nweight 3 reverse\n}\n"
    "bfd_instance b1 {\nneighbor_ip 10.1.0.3\n}\n"
    "bfd_instance b2 {\nneighbor_ip 10.1.0.4\nvrrp\n}\n"
)
VIOLATION = "SECURITY VIOLATION - check scripts are being executed but script_security not enabled."
CO_MISMATCH = "does not match address family of"


def read(
    tmp_path: Path, body: str, *, before: str = "", head: str = HEAD, host: FakeHost | None = None
) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(f"{before}{head}{body}\n{TAIL}")
    return load(str(path), config_id="node", host=host or FakeHost())


def lines(check: str) -> str:
    """`NAME; a; b {; c; }` as the lines of a block."""
    name, *inside = (part.strip() for part in check.split(";"))
    return "\n".join([f"{name} {{", *filter(None, inside), "}"])


def said(loaded: Loaded, *, first: int = FIRST) -> list[str]:
    """Every message with its line, counted from the check's keyword as 0."""
    return [
        one.message if one.origin is None else f"{one.origin.line - first}: {one.message}"
        for one in loaded.diagnostics
        if not one.logged_only
    ]


def logged(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if one.logged_only]


def checks_of(loaded: Loaded) -> tuple[Any, ...]:
    found: tuple[Any, ...] = loaded.configuration.virtual_servers[0].real_servers[0].checks
    return found


# Mistakes: the check, the exit code, and what is said in which line ------------------

MISTAKES = [
    ("TCP_CHECK", 0, []),
    ("TCP_CHECK; connect_ip 1.2.3", 5, ["1: Invalid connect_ip address 1.2.3 - ignoring"]),
    ("TCP_CHECK; connect_ip", 2, ["missing"]),
    (
        "TCP_CHECK; connect_port 0",
        5,
        ["1: number '0' outside range [1, 65535]", "1: Invalid checker connect_port '0'"],
    ),
    ("TCP_CHECK; bind_port x", 5, ["1: invalid number 'x'", "1: Invalid checker bind_port 'x'"]),
    ("TCP_CHECK; bindto ::1", 5, [f"1: bindto address ::1 {CO_MISMATCH} connect_ip - skipping"]),
    ("TCP_CHECK; connect_ip ::1; bindto ::2", 0, []),
    (
        "TCP_CHECK; bindto 1.2.3.4; connect_ip ::1",
        5,
        [f"2: connect_ip address ::1 {CO_MISMATCH} bindto - skipping"],
    ),
    ("TCP_CHECK; connect_ip x; bindto ::2", 5, ["1: Invalid connect_ip address x - ignoring"]),
    ("TCP_CHECK; bindto x", 5, ["1: Invalid bindto address x - ignoring"]),
    ("TCP_CHECK; connect_ip fe80::1; bind_if eth0", 0, []),
    ("TCP_CHECK; connect_ip fe80::1", 5, ["2: Checker link local address fe80::1 requires a bind_if"]),
    ("TCP_CHECK; bind_if abcdefghijklmnop", 5, ["1: Interface name abcdefghijklmnop is too long - ignoring"]),
    ("TCP_CHECK; fwmark -1", 5, ["1: negative number '-1'", "1: Invalid fwmark connection value '-1'"]),
    ("TCP_CHECK; retry x", 5, ["1: invalid number 'x'", "1: Invalid retry connection value 'x'"]),
    (
        "TCP_CHECK; connect_timeout 0",
        5,
        ["1: number '0' outside range [0.000001, 4294.967295]", "1: connect_timeout 0 invalid - ignoring"],
    ),
    (
        "TCP_CHECK; delay_loop 0",
        5,
        [
            "1: number '0' outside range [0.000001, 18446744073709.551614]",
            "1: delay_loop '0' is invalid - ignoring",
        ],
    ),
    ("TCP_CHECK; warmup -1", 5, ["1: negative number '-1'", "1: Invalid warmup connection value '-1'"]),
    (
        "TCP_CHECK; delay_before_retry -1",
        5,
        ["1: negative number '-1'", "1: Invalid delay_before_retry connection value '-1'"],
    ),
    ("TCP_CHECK; alpha maybe", 5, ["1: Invalid alpha parameter maybe"]),
    ("TCP_CHECK; log_all_failures maybe", 5, ["1: Invalid log_all_failures parameter maybe"]),
    ("TCP_CHECK; conect_port 5", 5, ["1: Unknown keyword 'conect_port'"]),
    ("PING_CHECK; payload 00", 5, ["1: Unknown keyword 'payload'"]),
    ("DNS_CHECK; type PTR", 5, ["1: Unknown DNS check type PTR - ignoring"]),
    ("DNS_CHECK; name a..b", 5, ["1: DNS_CHECK name 'a..b' has empty label - ignoring"]),
    ("DNS_CHECK; name .a", 5, ["1: DNS_CHECK name '.a' has empty label - ignoring"]),
    ("DNS_CHECK; name a; name b", 5, ["2: DNS_CHECK name already specified - ignoring"]),
    ("UDP_CHECK; payload", 5, ["1: UDP_CHECK payload requires a payload"]),
    ("UDP_CHECK; payload 0g", 5, ["1: Invalid hex string for UDP_CHECK payload"]),
    ("UDP_CHECK; payload 00 ff", 5, ["1: Invalid hex string for UDP_CHECK payload"]),
    ("UDP_CHECK; payload ff 00", 0, []),
    ("UDP_CHECK; require_reply 0x Xx", 0, []),
    ("UDP_CHECK; require_reply zz", 5, ["1: Invalid hex string for UDP_CHECK reply"]),
    (
        "UDP_CHECK; min_reply_length 65536",
        5,
        [
            "1: number '65536' outside range [0, 65535]",
            "1: UDP_CHECK min length 65536 not valid - must be between 0 & 65535",
        ],
    ),
    (
        "UDP_CHECK; min_reply_length 256",
        5,
        ["2: UDP_CHECK min_reply length 256 > max_reply_length 255 - will always fail"],
    ),
    ("SMTP_CHECK; helo_name", 5, ["1: SMTP_CHECK helo name missing"]),
    ("SMTP_CHECK; bindto ::1", 0, []),
    (
        "SMTP_CHECK; bindto ::1; connect_ip 1.2.3.4",
        5,
        [f"2: connect_ip address 1.2.3.4 {CO_MISMATCH} bindto - skipping"],
    ),
    ("SMTP_CHECK; host {; bindto ::1; }", 5, [f"2: bindto address ::1 {CO_MISMATCH} connect_ip - skipping"]),
    (
        "SMTP_CHECK; host {; connect_ip fe80::1; }",
        5,
        ["3: Checker link local address fe80::1 requires a bind_if"],
    ),
    ("SMTP_CHECK; host {; retry x; }", 5, ["2: invalid number 'x'", "2: Invalid retry connection value 'x'"]),
    ("HTTP_GET", 5, ["1: HTTP/SSL_GET checker has no urls specified - ignoring"]),
    (
        "SSL_GET; url {; }",
        5,
        [
            "2: HTTP/SSL_GET checker url has no path - ignoring",
            "3: HTTP/SSL_GET checker has no urls specified - ignoring",
        ],
    ),
    ("HTTP_GET; url {; }; url {; path /; }", 5, ["2: HTTP/SSL_GET checker url has no path - ignoring"]),
    ("HTTP_GET; url {; path; }", 2, ["missing"]),
    ("HTTP_GET; nb_get_retry 3; url {; path /; }", 5, ["1: nb_get_retry is deprecated - please use 'retry'"]),
    ("HTTP_GET; virtualhost; url {; path /; }", 5, ["1: HTTP_GET virtualhost name missing"]),
    ("HTTP_GET; http_protocol; url {; path /; }", 5, ["1: Missing http_protocol version"]),
    ("HTTP_GET; http_protocol 2; url {; path /; }", 5, ["1: Invalid http_protocol version 2"]),
    ("HTTP_GET; enable_sni x; url {; path /; }", 5, ["1: Invalid enable_sni parameter x"]),
    ("HTTP_GET; fast_recovery x; url {; path /; }", 5, ["1: Invalid fast_recovery parameter x"]),
    ("HTTP_GET; tls_compliant; url {; path /; }", 5, ["1: Unknown keyword 'tls_compliant'"]),
    ("SSL_GET; tls_compliant; url {; path /; }", 5, ["1: Unknown keyword 'tls_compliant'"]),
    ("HTTP_GET; sni_name a; url {; path /; }", 5, ["1: Unknown keyword 'sni_name'"]),
    ("HTTP_GET; url {; path /; virtualhost; }", 5, ["3: Missing HTTP_GET virtualhost name"]),
    (
        "HTTP_GET; url {; path /; digest abc; }",
        5,
        ["3: digest 'abc' character length should be 32 rather than 3"],
    ),
    (
        f"HTTP_GET; url {{; path /; digest {'0' * 20}x{'0' * 11}; }}",
        5,
        [f"3: Unable to interpret hex digit in '{'0' * 20}x0' at offset 20/21"],
    ),
    (
        f"HTTP_GET; url {{; path /; digest {'1' * 32}; digest {'2' * 32}; }}",
        5,
        [f"4: Digest '{'2' * 32}' is a duplicate"],
    ),
    (
        "HTTP_GET; url {; path /; status_code 99 200 x 300-200; }",
        5,
        [f"3: Invalid HTTP_GET status code '{word}'" for word in ("99", "x", "300-200")],
    ),
    ('HTTP_GET; url {; path /; regex "a(b"; regex_stack 2 1; regex_max_offset x; }', 0, []),
    ("MISC_CHECK", 5, ["1: No script path has been specified for MISC_CHECKER - skipping"]),
    ("MISC_CHECK; misc_path /bin/true", 6, [VIOLATION]),
    ("MISC_CHECK; misc_path /no/such", 0, []),
    (
        "MISC_CHECK; misc_path /bin/true; user",
        6,
        ["2: No user specified for misc checker script '/bin/true'", VIOLATION],
    ),
    (
        "MISC_CHECK; misc_path '/bin/true a'; user nosuch; misc_timeout",
        5,
        ["2: Failed to set uid/gid for misc checker script '/bin/true' 'a' - removing"],
    ),
    (
        "MISC_CHECK; misc_path /bin/true; user root :root",
        5,
        ["2: Failed to set uid/gid for misc checker script '/bin/true' - removing"],
    ),
    (
        "MISC_CHECK; user root :root",
        5,
        ["1: Failed to set uid/gid for misc checker script  - removing"],
    ),
    ("MISC_CHECK; misc_path /no/such; misc_timeout", 2, ["missing"]),
    (
        "MISC_CHECK; misc_path /no/such; misc_timeout 4295",
        5,
        ["2: number '4295' outside range [0, 4294]", "2: Invalid misc_timeout value '4295'"],
    ),
    ("MISC_CHECK; misc_path /no/such; connect_port 5", 5, ["2: Unknown keyword 'connect_port'"]),
]


@pytest.mark.parametrize(("check", "code", "expected"), MISTAKES, ids=[one[0] for one in MISTAKES])
def test_mistakes(tmp_path: Path, check: str, code: int, expected: list[str]) -> None:
    loaded = read(tmp_path, lines(check))
    found = said(loaded)
    if expected == ["missing"]:
        assert len(found) == 1 and "is missing a parameter after keyword" in found[0]
    else:
        assert found == expected
    assert loaded.test_exit_code == code


REFERENCES = [
    ("FILE_CHECK; track_file tf", 0, []),
    ("FILE_CHECK", 5, ["1: FILE_CHECK has no track_file specified - ignoring"]),
    (
        "FILE_CHECK; track_file x",
        5,
        ["1: track_file x not found", "2: FILE_CHECK has no track_file specified - ignoring"],
    ),
    ("FILE_CHECK; track_file tf; weight", 5, ["2: track file weight missing"]),
    (
        "FILE_CHECK; track_file tf; weight 2147483648",
        5,
        [
            "2: number '2147483648' outside integer range",
            "2: weight for track file must be in [-2147483647..2147483647] inclusive. Ignoring...",
        ],
    ),
    ("FILE_CHECK; track_file tf; weight 1 x", 5, ["2: unknown track file weight option x - ignoring"]),
    ("FILE_CHECK; track_file tf; dynamic", 5, ["2: Unknown keyword 'dynamic'"]),
    ("BFD_CHECK; name b1; alpha", 0, []),
    ("BFD_CHECK", 5, ["1: ([10.1.0.2]:tcp:80) No name has been specified for BFD_CHECKER - skipping"]),
    (
        "BFD_CHECK; name",
        5,
        ["1: ([10.1.0.2]:tcp:80) BFD_CHECK - No or too many names specified - skipping checker"],
    ),
    ("BFD_CHECK; name b2; alpha x", 5, ["1: ([10.1.0.2]:tcp:80) BFD_CHECK - BFD b2 not configured"]),
    ("BFD_CHECK; name b1; name b1", 5, ["2: ([10.1.0.2]:tcp:80) BFD_CHECK - BFD b1 already specified as b1"]),
    ("BFD_CHECK; alpha x; name b1", 5, ["1: Invalid alpha parameter x"]),
]


@pytest.mark.parametrize(("check", "code", "expected"), REFERENCES, ids=[one[0] for one in REFERENCES])
def test_references(tmp_path: Path, check: str, code: int, expected: list[str]) -> None:
    loaded = read(tmp_path, lines(check), before=SESSIONS)
    assert said(loaded, first=FIRST + SESSIONS.count("\n")) == expected
    assert loaded.test_exit_code == code


def test_a_session_is_followed_once(tmp_path: Path) -> None:
    loaded = read(tmp_path, lines("BFD_CHECK; name b1") + "\n" + lines("BFD_CHECK; name b1"), before=SESSIONS)
    assert said(loaded, first=FIRST + SESSIONS.count("\n")) == [
        "4: ([10.1.0.2]:tcp:80) BFD_CHECK - RS already monitoring b1"
    ]
    assert checks_of(loaded) == (checks.BfdCheck("b1"),)


def test_a_link_local_server_needs_an_interface(tmp_path: Path) -> None:
    head = HEAD.replace("10.1.0.10", "2001:db8::1").replace("10.1.0.2", "fe80::5")
    loaded = read(tmp_path, lines("SMTP_CHECK; connect_port 25"), head=head)
    assert said(loaded) == ["2: Checker link local address fe80::5 requires a bind_if"]
    assert checks_of(loaded) == ()


# Values ------------------------------------------------------------------------------


def test_what_nothing_says_is_of_the_kind(tmp_path: Path) -> None:
    kinds = ["TCP_CHECK", "HTTP_GET; url {; path /; }", "DNS_CHECK", "MISC_CHECK; misc_path /bin/true"]
    found = checks_of(read(tmp_path, "\n".join(map(lines, kinds)), before=SECURE))
    assert [(one.retry, one.delay_before_retry_us) for one in found] == [
        (1, 1_000_000),
        (1, 3_000_000),
        (3, 60_000_000),
        (0, 1_000_000),
    ]
    assert {(one.delay_loop_us, one.warmup_us, one.alpha) for one in found} == {
        (60_000_000, 60_000_000, False)
    }
    assert found[0].connect_timeout_us == 5_000_000


def test_what_the_servers_say_is_inherited(tmp_path: Path) -> None:
    head = HEAD.replace("real_server", "delay_loop 7\nretry 4\nalpha\nreal_server")
    body = (
        "retry 2\nwarmup 1.5\nconnect_timeout 2\n"
        + lines("TCP_CHECK; alpha off")
        + "\n"
        + lines("DNS_CHECK; retry 9")
    )
    tcp, dns = checks_of(read(tmp_path, body, head=head))
    assert (tcp.retry, tcp.warmup_us, tcp.delay_loop_us, tcp.alpha) == (2, 1_500_000, 7_000_000, False)
    assert (dns.retry, dns.delay_before_retry_us, dns.alpha) == (9, 7_000_000, True)
    assert tcp.connect_timeout_us == dns.connect_timeout_us == 2_000_000


def test_connection(tmp_path: Path) -> None:
    check = (
        "TCP_CHECK; connect_ip 10.9.9.9; connect_port 81; bindto 10.9.9.1; bind_port 1024; bind_if eth0; fwmark 7;"
        "log_all_failures"
    )
    (one,) = checks_of(read(tmp_path, lines(check)))
    assert (one.connect_ip, one.connect_port) == (IPv4Address("10.9.9.9"), 81)
    assert (one.source_ip, one.source_port, one.source_interface) == (IPv4Address("10.9.9.1"), 1024, "eth0")
    assert (one.mark, one.log_all_failures) == (7, True)


def test_refused_addresses_are_not_used(tmp_path: Path) -> None:
    (one,) = checks_of(
        read(tmp_path, lines("TCP_CHECK; connect_ip 10.9.9.9; connect_ip x; bindto ::1; bindto y"))
    )
    assert (one.connect_ip, one.source_ip) == (None, None)


def test_a_source_of_the_wrong_family_is_not_used(tmp_path: Path) -> None:
    loaded = read(tmp_path, lines("SMTP_CHECK; bindto ::1"))
    assert [one.source_ip for one in checks_of(loaded)] == [None]
    assert any("cannot reach an IPv4 address" in line for line in logged(loaded))


def test_a_server_name_is_of_no_use_without_sni(tmp_path: Path) -> None:
    loaded = read(tmp_path, lines("HTTP_GET; sni_name n; enable_sni off; url {; path /; }"))
    assert [(one.enable_sni, one.sni_name) for one in checks_of(loaded)] == [(False, None)]


def test_web(tmp_path: Path) -> None:
    url = (
        f"url {{; path /a; digest {'0a' * 16}; status_code 301 200-204; status_code 205; virtualhost h;"
        r'regex "a\\.b"; regex_no_match; regex_options dotall caseless nonsense; regex_min_offset 2;'
        "regex_max_offset 9; regex_stack 10 20; }"
    )
    loaded = read(
        tmp_path,
        lines(f"SSL_GET; virtualhost v; http_protocol 1.0c; fast_recovery; {url}; url {{; path /b; }}"),
    )
    (one,) = checks_of(loaded)
    assert said(loaded) == []
    assert type(one) is checks.SslGet
    assert (one.virtualhost, one.http_version, one.fast_recovery) == ("v", HttpVersion.HTTP_1_0_CLOSE, True)
    first, second = one.urls
    assert second == checks.Url("/b")
    assert first == checks.Url(
        "/a",
        digest=b"\x0a" * 16,
        status_codes=(StatusRange(200, 205), StatusRange(301, 301)),
        virtualhost="h",
        regex=r"a\.b",
        regex_no_match=True,
        regex_options=("caseless", "dotall"),
        regex_min_offset=2,
        regex_max_offset=9,
        regex_stack=JitStack(10, 20),
    )


def test_newer_keywords_are_understood(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        lines("SSL_GET; tls_compliant; sni_name n; url {; path /; }; url {; path /; tls_compliant no; }"),
    )
    (one,) = checks_of(loaded)
    assert (one.tls_compliant, one.sni_name, one.enable_sni) == (True, "n", True)
    assert [url.tls_compliant for url in one.urls] == [True, False]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("regex_no_match", "regex parameters specified without regex"),
        ('regex "a(b"', "Invalid regex: 'a(b' at offset 1"),
        (
            'regex "a"; regex_min_offset 3; regex_max_offset 2',
            "regex min offset 3 > regex_max_offset 2 - ignoring",
        ),
        ('regex "a" b', "regex missing or too many fields"),
        ('regex "a"; regex_stack 2 1', "regex stack start cannot exceed max value"),
        ('regex "a"; regex_stack x 1', "regex_stack invalid start value"),
        ('regex "a"; regex_stack 1', "regex_stack requires start and max values"),
        ('regex "a"; regex_min_offset x', "Invalid regex_min_offset x specified"),
        ('regex "a"; regex_max_offset', "Missing or too may options for regex_max_offset"),
        ('regex "a"; regex_options x', "'x' is no option of regex_options"),
    ],
)
def test_mistakes_in_patterns_are_only_logged(tmp_path: Path, options: str, complaint: str) -> None:
    loaded = read(tmp_path, lines(f"HTTP_GET; url {{; path /; {options}; }}"))
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert [line for line in logged(loaded) if line.startswith(complaint)]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\\Qa(\\E",
        "(?|a|b)",
        "a++",
        "(*UTF)a",
        "(?R)?a",
        "[[:alpha:]]+",
        "a(?i)b",
        r"\\p{Lu}",
        "[]a]",
        "(?<n>a)",
    ],
)
def test_patterns_of_pcre_are_not_complained_about(tmp_path: Path, pattern: str) -> None:
    assert not [
        line
        for line in logged(read(tmp_path, lines(f'HTTP_GET; url {{; path /; regex "{pattern}"; }}')))
        if "regex" in line
    ]


def test_options_without_a_pattern_are_dropped(tmp_path: Path) -> None:
    (one,) = checks_of(read(tmp_path, lines("HTTP_GET; url {; path /; regex_no_match; regex_stack 1 2; }")))
    assert one.urls == (checks.Url("/"),)


def test_datagrams(tmp_path: Path) -> None:
    check = "UDP_CHECK; payload 00 f 1a2b; require_reply 0x Xf 12; min_reply_length 3; max_reply_length 9"
    (one,) = checks_of(read(tmp_path, lines(check)))
    assert one.payload == b"\x00\x0f\x1a\x2b"
    assert one.reply == HexPattern(b"\x00\x0f\x12", b"\x0f\xf0\x00")
    assert (one.min_reply_length, one.max_reply_length) == (3, 9)


def test_any_reply(tmp_path: Path) -> None:
    wanted, broken = checks_of(
        read(tmp_path, lines("UDP_CHECK; require_reply") + "\n" + lines("UDP_CHECK; require_reply z"))
    )
    assert wanted.reply == broken.reply == HexPattern()
    assert wanted.payload is None


def test_names(tmp_path: Path) -> None:
    body = "\n".join(
        map(lines, ["DNS_CHECK; type aaaa; name xy.org.", "SMTP_CHECK; helo_name me", "SMTP_CHECK"])
    )
    smtp, plain, dns = checks_of(read(tmp_path, body))
    assert (dns.query_type, dns.name) == (DnsType.AAAA, "xy.org.")
    assert (smtp.helo_name, plain.helo_name) == ("me", "smtpchecker.keepalived.org")


def test_hosts_become_checks_of_their_own(tmp_path: Path) -> None:
    check = "SMTP_CHECK; helo_name me; host {; connect_ip 10.1.0.7; retry 5; }; host {; connect_ip ::1; }"
    loaded = read(tmp_path, lines(check))
    found = checks_of(loaded)
    assert [(one.connect_ip, one.retry, one.helo_name) for one in found] == [
        (IPv4Address("10.1.0.7"), 5, "me"),
        (IPv6Address("::1"), 5, "me"),
    ]
    assert any("host block is deprecated" in line for line in logged(loaded))


def test_hosts_beside_a_connection(tmp_path: Path) -> None:
    found = checks_of(read(tmp_path, lines("SMTP_CHECK; connect_port 25; host {; connect_port 26; }")))
    assert [one.connect_port for one in found] == [25, 26]


def test_weight_of_a_file(tmp_path: Path) -> None:
    body = lines("FILE_CHECK; track_file tf") + "\n" + lines("FILE_CHECK; track_file tf; weight -5 noreverse")
    assert checks_of(read(tmp_path, body, before=SESSIONS)) == (
        checks.FileCheck("tf", FileWeight(3, True)),
        checks.FileCheck("tf", FileWeight(-5)),
    )


def test_programs(tmp_path: Path) -> None:
    check = "MISC_CHECK; misc_path \"/bin/true a 'b c'\"; misc_timeout 3; misc_dynamic; user root"
    (one,) = checks_of(read(tmp_path, lines(check), before=SECURE))
    assert one.command == Command(("/bin/true", "a", "b c"), 0, 0, "root")
    assert (one.timeout_us, one.dynamic) == (3_000_000, True)


def test_a_line_without_program_keeps_the_one_before(tmp_path: Path) -> None:
    (one,) = checks_of(read(tmp_path, lines("MISC_CHECK; misc_path /bin/true; misc_path"), before=SECURE))
    assert one.command.argv == ("/bin/true",)


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [
        (0o100777, "Disabling misc script '/bin/odd' due to insecure"),
        (0o100644, "WARNING - script '/bin/odd' is not executable"),
        (None, "Disabling misc script '/bin/odd' since not found/accessible"),
    ],
)
def test_programs_that_may_not_run(tmp_path: Path, mode: int | None, complaint: str) -> None:
    host = FakeHost({} if mode is None else {"/bin/odd": FileStatus(mode, 0, 0)})
    loaded = read(tmp_path, lines("MISC_CHECK; misc_path /bin/odd"), before=SECURE, host=host)
    assert (checks_of(loaded), loaded.test_exit_code) == ((), 0)
    assert [line for line in logged(loaded) if line.startswith(complaint)]


def test_insecure_programs_run_without_script_security(tmp_path: Path) -> None:
    host = FakeHost({"/bin/odd": FileStatus(0o100777, 0, 0)})
    loaded = read(tmp_path, lines("MISC_CHECK; misc_path /bin/odd"), host=host)
    assert said(loaded) == [VIOLATION + " There are insecure scripts."]
    assert (len(checks_of(loaded)), loaded.test_exit_code) == (1, 6)


# Small parts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200", (200, "")),
        (" +200-", (200, "-")),
        ("x", (0, "x")),
        ("", (0, "")),
        ("4294967496", (200, "")),
        ("-4294967096", (200, "")),
        ("99999999999999999999", (2**32 - 1, "")),
    ],
)
def test_status_numbers(text: str, expected: tuple[int, str]) -> None:
    assert status_number(text) == expected


def test_status_ranges_are_joined() -> None:
    ranges = [StatusRange(300, 310), StatusRange(200, 204), StatusRange(203, 209), StatusRange(210, 211)]
    assert joined(ranges) == (StatusRange(200, 211), StatusRange(300, 310))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01", b"\x01"),
        ("1", b"\x01"),
        ("1 2", b"\x01\x02"),
        ("012", b"\x01\x02"),
        ("0\t1", None),
        ("01\t1", b"\x01\x01"),
        ("", None),
        (" ", None),
        ("x0", None),
        ("0\u00e9", None),
    ],
)
def test_hexadecimal(text: str, expected: bytes | None) -> None:
    found = read_hex(text, wild=False)
    assert (None if found is None else found.data) == expected


def _all(block: Block[Any]) -> list[Keyword[Any]]:
    found = list(block.keywords.values())
    return found + [inner for one in found if one.block is not None for inner in _all(one.inner())]


@pytest.mark.parametrize("kind", KEYWORDS, ids=lambda kind: str(kind.name))
def test_every_keyword_is_explained_and_shown(kind: Keyword[Any]) -> None:
    for keyword in (kind, *_all(kind.inner())):
        assert keyword.help
        assert (
            keyword.block is not None
            or keyword.removed
            or (keyword.show and keyword.schema and keyword.attribute)
        )


def test_a_kind_belongs_to_one_keyword() -> None:
    assert tuple(kind.inner().record for kind in KEYWORDS) == checks.KINDS
