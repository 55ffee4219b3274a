"""Scripts, processes, files and BFD sessions: what keepalived says about them, and what they become."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks.decimals import fixed_point
from keepalived_py.config.blocks.vrrp_script import command_text
from keepalived_py.config.command_words import split_command
from keepalived_py.config.document import Directive
from keepalived_py.config.dump import dump
from keepalived_py.config.host import FileStatus, User
from keepalived_py.config.load import Loaded, load
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import ParameterMatch, TrackFile, TrackProcess
from tests.config.fake_host import DIRECTORY, FakeHost

USERS = {"chk": User("chk", 7, 8)}
FILES = {"/run/dir": DIRECTORY, "/run/file": FileStatus(0o100644, 0, 0)}
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
INSTANCE = (
    "vrrp_instance V {\ninterface eth0\nvirtual_router_id 4\npriority 100\n"
    "virtual_ipaddress {\n10.1.0.9\n}\ntrack_script {\ns\n}\n}\n"
)


def read(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=FakeHost(FILES, USERS))


def said(loaded: Loaded) -> list[str]:
    """Line and text of what `-t` prints; keepalived's number messages leave their prefix away."""
    return [
        f"{one.origin.line if one.origin else '-'}: {one.message}"
        for one in loaded.diagnostics
        if not one.logged_only
    ]


def in_block(head: str, lines: str) -> str:
    return f"{head} {{\n{lines}\n}}\n"


SCRIPT = [
    ("interval 0", ["3: (s): vrrp script interval must be greater than 0, setting to 1"]),
    ("interval 4294", []),
    (
        "interval 4295",
        [
            "3: number '4295' outside range [0, 4294]",
            "3: (s): vrrp script interval '4295' must be between 1 and 4294 - ignoring",
        ],
    ),
    (
        "interval 0.5",
        [
            "3: invalid number '0.5'",
            "3: (s): vrrp script interval '0.5' must be between 1 and 4294 - ignoring",
        ],
    ),
    ("timeout -1", ["3: negative number '-1'", "3: (s): vrrp script timeout '-1' invalid - ignoring"]),
    ("timeout 0", ["3: (s): vrrp script timeout must be greater than 0, setting to 1"]),
    (
        "weight 254",
        [
            "3: number '254' outside range [-253, 253]",
            "3: vrrp_script s weight 254 must be in [-253, 253]",
        ],
    ),
    ("weight 5 back", ["3: vrrp_script s unknown weight option back"]),
    (
        "rise 0",
        [
            "3: number '0' outside range [1, 2147483647]",
            "3: (s): vrrp script rise value '0' invalid, defaulting to 1",
        ],
    ),
    ("fall x", ["3: invalid number 'x'", "3: (s): vrrp script fall value 'x' invalid, defaulting to 1"]),
    ("user nobody", ["3: Unable to set uid/gid for script '/bin/true' 'a'"]),
    ("user chk", []),
    ("init_fail", []),
]


@pytest.mark.parametrize(("line", "expected"), SCRIPT)
def test_script(tmp_path: Path, line: str, expected: list[str]) -> None:
    loaded = read(tmp_path, in_block("vrrp_script s", f'script "/bin/true a"\n{line}'))
    assert said(loaded) == expected
    assert loaded.test_exit_code == (5 if expected else 0)


def test_script_without_command_is_reported_at_the_brace(tmp_path: Path) -> None:
    loaded = read(tmp_path, "vrrp_script s {\ninterval 3\n\n}\n")
    assert said(loaded) == ["4: No script set for vrrp_script s - removing"]


def test_script_in_the_model(tmp_path: Path) -> None:
    lines = 'script "/bin/true a"\ninterval 3\nweight -5 reverse\nrise 2\nfall 4\nuser chk\ninit_fail'
    loaded = read(tmp_path, SECURE + in_block("vrrp_script s", lines) + INSTANCE)
    assert said(loaded) == []
    (script,) = loaded.configuration.scripts
    assert script.command == Command(("/bin/true", "a"), 7, 8, "chk")
    assert (script.interval_us, script.timeout_us) == (3_000_000, 3_000_000)
    assert (script.weight, script.reverse, script.rise, script.fall) == (-5, True, 2, 4)
    assert script.init_failed


def test_second_script_of_a_name_is_checked_but_not_found(tmp_path: Path) -> None:
    first = in_block("vrrp_script s", "script /bin/true")
    second = in_block("vrrp_script s", "script /bin/nothing")
    loaded = read(tmp_path, SECURE + first + second + INSTANCE)
    assert said(loaded) == ["-: Disabling track script s since not found/accessible"]
    assert [one.command.argv for one in loaded.configuration.scripts] == [("/bin/true",)]


PROCESS = [
    ("process b", ["3: Process already set for track process p - ignoring b"]),
    ("param_match all", ["3: Invalid param_match type all - ignoring"]),
    ("weight", ["3: No weight specified for track process p - ignoring"]),
    ("weight 3\nweight 4", ["4: Weight already set for track process p - ignoring 4"]),
    (
        "weight 255",
        [
            "3: number '255' outside range [-254, 254]",
            "3: Weight (255) for vrrp_track_process p must be between [-254..254] inclusive. Ignoring...",
        ],
    ),
    ("weight 3 x", ["3: vrrp_track_process p unknown weight option x"]),
    (
        "quorum 0",
        [
            "3: number '0' outside range [1, 65535]",
            "3: Quorum (0) for vrrp_track_process p must be between [1..65535] inclusive. Ignoring...",
        ],
    ),
    ("quorum_max 2\nquorum 3", ["4: Quorum is greater than quorum_max - ignoring"]),
    ("quorum 3\nquorum_max 2", ["4: quorum_max is less than quorum - ignoring"]),
    ("quorum_max 0", []),
    (
        "quorum_max 65536",
        [
            "3: number '65536' outside range [0, 65535]",
            "3: quorum_max (65536) for vrrp_track_process p must be between [0..65535] inclusive. Ignoring...",
        ],
    ),
    (
        "delay 0",
        [
            "3: number '0' outside range [0.000001, 3600.000000]",
            "3: delay (0) for vrrp_track_process p must be between [0.000001..3600] inclusive. Ignoring...",
        ],
    ),
    # What stands before the wrong sign is used, so nothing is ignored.
    ("fork_delay 1.2.3", ["3: invalid number '1.2.3'"]),
    ("terminate_delay 0.1234567", ["3: number '0.1234567' has too many decimal places"]),
]


@pytest.mark.parametrize(("line", "expected"), PROCESS)
def test_process(tmp_path: Path, line: str, expected: list[str]) -> None:
    loaded = read(tmp_path, in_block("vrrp_track_process p", f"process a\n{line}"))
    assert said(loaded) == expected
    assert loaded.test_exit_code == (5 if expected else 0)


def test_process_without_name_of_one(tmp_path: Path) -> None:
    loaded = read(tmp_path, "vrrp_track_process p {\nquorum 2\n}\n")
    assert said(loaded) == ["3: track process 'p' process name not specified"]
    assert loaded.configuration.track_processes == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("process a", TrackProcess("p", "a")),
        (
            "process a -b c",
            TrackProcess("p", "a", ("-b", "c"), ParameterMatch.EXACT, full_command=True),
        ),
        (
            "param_match partial\nprocess a -b",
            TrackProcess("p", "a", ("-b",), ParameterMatch.PARTIAL, full_command=True),
        ),
        ("process a\nquorum_max 0", TrackProcess("p", "a", quorum=0, quorum_max=0)),
        ("process a\nquorum_max 0\nquorum_max 3", TrackProcess("p", "a", quorum=1, quorum_max=3)),
        (
            "process a\ndelay 1.5\nfork_delay 2\nweight 3 reverse\nquorum 2\nfull_command",
            TrackProcess(
                "p",
                "a",
                weight=3,
                reverse=True,
                quorum=2,
                fork_delay_us=Micros(2_000_000),
                terminate_delay_us=Micros(1_500_000),
                full_command=True,
            ),
        ),
    ],
)
def test_process_in_the_model(tmp_path: Path, lines: str, expected: TrackProcess) -> None:
    loaded = read(tmp_path, in_block("vrrp_track_process p", lines))
    assert loaded.configuration.track_processes == (expected,)


TRACK_FILE = [
    ("file", ["3: track file file name missing"]),
    ("file /run/b", ["3: File already set for track file f - ignoring /run/b"]),
    ("weight", ["3: No weight specified for track file f - ignoring"]),
    ("weight 0\nweight 5", ["4: Weight already set for track file f - ignoring 5"]),
    ("weight 1\nweight 5", []),
    (
        "weight 255 x",
        [
            "3: number '255' outside range [-254, 254]",
            "3: Weight (255) for track_file f must be between [-254..254] inclusive. Ignoring...",
            "3: track_file f unknown weight option x",
        ],
    ),
    ("init_file", []),
    ("init_file 254 overwrite", []),
    ("init_file zero", ["3: Unknown track file init option zero"]),
    ("init_file +5", ["3: Unknown track file init option +5"]),
    ("init_file 255", ["3: Track file f init value 255 is outside sensible range [-254, 254]"]),
    ("init_file 7z", ["3: invalid number '7z'", "3: Track file f init value 7z is invalid"]),
]


@pytest.mark.parametrize("name", ["track_file", "vrrp_track_file"])
@pytest.mark.parametrize(("line", "expected"), TRACK_FILE)
def test_file(tmp_path: Path, line: str, expected: list[str], name: str) -> None:
    loaded = read(tmp_path, in_block(f"{name} f", f"file /run/a\n{line}"))
    assert said(loaded) == expected
    assert loaded.test_exit_code == (5 if expected else 0)


def test_only_a_regular_file_can_be_written_over(tmp_path: Path) -> None:
    overwritten = in_block("track_file f", "file /run/dir\ninit_file overwrite")
    made = in_block("track_file g", "file /run/dir\ninit_file 3")
    fine = in_block("track_file h", "file /run/file\ninit_file overwrite")
    loaded = read(tmp_path, overwritten + made + fine)
    assert said(loaded) == ["4: Cannot initialise track file f - it is not a regular file"]


def test_file_in_the_model(tmp_path: Path) -> None:
    text = in_block("track_file f", "file /run/a\nweight -3 reverse\ninit_file 5 overwrite")
    text += in_block("vrrp_track_file g", "file /run/b\ninit_file")
    text += in_block("track_file f", "file /run/second")
    assert read(tmp_path, text).configuration.track_files == (
        TrackFile("f", "/run/a", -3, True, 5, True),
        TrackFile("g", "/run/b", initial=0),
    )


def test_old_name_of_track_file_is_only_logged(tmp_path: Path) -> None:
    loaded = read(tmp_path, in_block("vrrp_track_file f", "file /run/a"))
    assert (loaded.test_exit_code, said(loaded)) == (0, [])
    assert [one.message for one in loaded.diagnostics] == [
        '"vrrp_track_file" is deprecated, please use "track_file"'
    ]


@pytest.mark.parametrize("head", ["vrrp_script", "vrrp_track_process", "track_file", "bfd_instance"])
def test_a_name_is_required(tmp_path: Path, head: str) -> None:
    loaded = read(tmp_path, f"{head} {{\n}}\n")
    assert loaded.test_exit_code == 2
    assert [line.partition(":")[0] for line in said(loaded)] == ["1"]


C = "Configuration error: BFD instance b"
RANGE = "(must be in range [1-4294967]), ignoring"
BFD = [
    ("neighbour_ip 10.0.0.300", [f"3: {C} has malformed neighbor address 10.0.0.300, ignoring instance"]),
    ("neighbor_ip fe80::1%eth0", [f"3: {C} has malformed neighbor address fe80::1%eth0, ignoring instance"]),
    ("source_ip x", [f"3: {C} has malformed source address x, ignoring"]),
    (
        "source_ip ::1",
        [
            f"4: {C} source address ::1 and neighbor address ::1 are not of the same family, "
            "disabling instance"
        ],
    ),
    ("min_rx 10.1234", ["3: number '10.1234' has too many decimal places"]),
    (
        "min_tx 0.9999",
        [
            "3: number '0.9999' has too many decimal places",
        ],
    ),
    (
        "min_tx 0.5",
        [
            "3: number '0.5' outside range [1.000, 4294967.000]",
            f"3: {C} min_tx value 0.5 is not valid {RANGE}",
        ],
    ),
    ("min_rx 1.2.3", ["3: invalid number '1.2.3'", f"3: {C} min_rx value 1.2.3 is not valid {RANGE}"]),
    ("min_rx 20000", []),
    (
        "idle_tx 999",
        [
            "3: number '999' outside range [1000.000, 4294967.000]",
            f"3: {C} idle_tx value 999 is not valid (must be in range [1000-4294967]), ignoring",
        ],
    ),
    (
        "multiplier 256",
        [
            "3: number '256' outside range [1, 255]",
            f"3: {C} multiplier value 256 not valid (must be in range [1-255]), ignoring",
        ],
    ),
    (
        "hoplimit 0",
        [
            "3: number '0' outside range [1, 255]",
            f"3: {C} ttl/hoplimit value 0 not valid (must be in range [1-255]), ignoring",
        ],
    ),
    (
        "max_hops -2",
        [
            "3: number '-2' outside range [-1, 255]",
            f"3: {C} max_hops value -2 not valid (must be in range [-1-255]), ignoring",
        ],
    ),
    ("max_hops -1", []),
    ("max_hops -1\nttl 9", ["5: BFD instance b: max_hops exceeds ttl/hoplimit - setting to ttl/hoplimit"]),
    ("ttl 5\nmax_hops 6", ["5: BFD instance b: max_hops exceeds ttl/hoplimit - setting to ttl/hoplimit"]),
    (
        "weight 254",
        [
            "3: number '254' outside range [-253, 253]",
            f"3: {C} weight value 254 not valid (must be in range [-253-253]), ignoring",
        ],
    ),
    ("weight 5 x", [f"3: {C} unknown weight option x"]),
    ("multihop", ["3: Unknown keyword 'multihop'"]),
    ("multihop perhaps", ["3: Unknown keyword 'multihop'"]),
]


@pytest.mark.parametrize(("line", "expected"), BFD)
def test_bfd(tmp_path: Path, line: str, expected: list[str]) -> None:
    loaded = read(tmp_path, in_block("bfd_instance b", f"neighbor_ip 10.0.0.1\n{line}"))
    assert said(loaded) == expected
    assert loaded.test_exit_code == (5 if expected else 0)


def test_an_interval_too_long_to_be_sensible_is_logged(tmp_path: Path) -> None:
    loaded = read(tmp_path, in_block("bfd_instance b", "neighbor_ip 10.0.0.1\nmin_rx 20000"))
    (one,) = loaded.diagnostics
    assert one.logged_only and "larger than max sensible (10000)" in one.message


def test_bfd_without_neighbour(tmp_path: Path) -> None:
    loaded = read(tmp_path, in_block("bfd_instance b", "min_rx 5"))
    assert said(loaded) == [f"3: {C} has no neighbor address set, disabling instance"]
    assert loaded.configuration.bfd_instances == ()


def test_bfd_in_the_model(tmp_path: Path) -> None:
    lines = (
        "neighbor_ip 10.0.0.1/24\nsource_ip 10.0.0.2\nmin_rx 20.5\nmin_tx 30\nidle_tx 2000\nmultiplier 3\n"
        "passive\nttl 200\nmax_hops 4\nmultihop on\nweight -5 reverse\nvrrp"
    )
    text = in_block("bfd_instance b", lines) + in_block("bfd_instance c", "neighbor_ip fe80::1\nchecker")
    full, plain = read(tmp_path, text).configuration.bfd_instances
    assert full == BfdInstance(
        "b",
        IPv4Address("10.0.0.1"),
        IPv4Address("10.0.0.2"),
        min_rx_us=Micros(20_500),
        min_tx_us=Micros(30_000),
        idle_tx_us=Micros(2_000_000),
        multiplier=3,
        passive=True,
        ttl=200,
        max_hops=4,
        multihop=True,
        weight=-5,
        reverse=True,
        checker=False,
    )
    assert plain == BfdInstance("c", IPv6Address("fe80::1"), ttl=64, vrrp=False)


TAKEN = "Configuration error: BFD instance b already configured - ignoring"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Every process knows the name: the second block is skipped unread.
        (
            "bfd_instance b {\nneighbor_ip 10.0.0.1\n}\nbfd_instance b {\nnonsense\n}\n",
            ["4: BFD b already specified", f"4: {TAKEN}"],
        ),
        # BFD has dropped the first and takes the second; the others still know the name.
        (
            "bfd_instance b {\n}\nbfd_instance b {\nneighbor_ip 10.0.0.1\nweight 999\nmin_rx 0\n}\n",
            [
                f"2: {C} has no neighbor address set, disabling instance",
                "3: BFD b already specified",
                "6: number '0' outside range [1.000, 4294967.000]",
                f"6: {C} min_rx value 0 is not valid {RANGE}",
            ],
        ),
        # After a wrong neighbour BFD skips the block, but VRRP reads the weight.
        (
            "bfd_instance b {\nneighbor_ip x\nmin_rx 0\nmin_tx\nweight 5 x\nnonsense\n}\n",
            [
                f"2: {C} has malformed neighbor address x, ignoring instance",
                f"5: {C} unknown weight option x",
                "6: Unknown keyword 'nonsense'",
            ],
        ),
        # Only the checkers want the first, so VRRP takes the second (and its weight is wrong).
        (
            "bfd_instance b {\nneighbor_ip 10.0.0.1\nchecker\n}\nbfd_instance b {\nmin_rx 0\nweight 5 x\n}\n",
            ["5: BFD b already specified", f"5: {TAKEN}", f"7: {C} unknown weight option x"],
        ),
        (
            "bfd_instance b {\nneighbor_ip 10.0.0.1\n}\nbfd_instance c {\nneighbor_ip 10.0.0.1\n}\n",
            [
                "6: Configuration error: BFD instance c has duplicate neighbor address 10.0.0.1, "
                "ignoring instance"
            ],
        ),
        (
            "bfd_instance b {\nneighbor_ip ::1\nsource_ip ::2\n}\n"
            "bfd_instance c {\nneighbor_ip ::1\nsource_ip ::3\n}\n"
            "bfd_instance d {\nneighbor_ip 0::1\nsource_ip ::2\n}\n",
            [
                "12: Configuration error: BFD instance d has duplicate source/neighbor address ::2/::1, "
                "ignoring instance"
            ],
        ),
    ],
)
def test_three_processes_read_a_session(tmp_path: Path, text: str, expected: list[str]) -> None:
    loaded = read(tmp_path, text)
    assert (loaded.test_exit_code, said(loaded)) == (5, expected)


def test_a_long_name_is_only_taken_by_the_checkers(tmp_path: Path) -> None:
    name = "n" * 32
    loaded = read(tmp_path, in_block(f"bfd_instance {name}", "neighbor_ip x\nweight x\nnonsense"))
    assert said(loaded) == [
        f"1: BFD name {name} too long",
        f"1: Configuration error: BFD instance {name} name too long (maximum length is 31 characters)"
        " - ignoring",
        "4: Unknown keyword 'nonsense'",
    ]


def test_a_missing_argument_of_bfd_stops_only_bfd(tmp_path: Path) -> None:
    text = (
        "bfd_instance b {\nneighbor_ip 10.0.0.1\nmin_rx\n}\n"
        "bfd_instance c {\nneighbor_ip x\nweight 5 x\n}\ntrack_file f {\n}\n"
    )
    loaded = read(tmp_path, text)
    assert loaded.test_exit_code == 2
    assert said(loaded) == [
        "3: *** Configuration line starting `min_rx` is missing a parameter after keyword `min_rx` "
        "at word position 2",
        "7: Configuration error: BFD instance c unknown weight option x",
        "10: No file set for track_file f - ignoring",
    ]


def test_reading_what_was_written_gives_the_same(tmp_path: Path) -> None:
    text = (
        SECURE
        + in_block("vrrp_script s", "script \"/bin/true 'a b' x\"\ninterval 5\ntimeout 2\nuser chk")
        + in_block("vrrp_track_process p", 'process a "b c"\nparam_match initial\nquorum 2\ndelay 0.25')
        + in_block("vrrp_track_process q", "process a\nquorum_max 0\nfull_command\nweight -1 reverse")
        + in_block("track_file f", 'file "/run/a b"\nweight 2\ninit_file -7')
        + in_block("bfd_instance b", "neighbor_ip 10.0.0.1\nmin_rx 1.5\nweight 1\nvrrp")
        + INSTANCE
    )
    first = read(tmp_path, text).configuration
    again = read(tmp_path, dump(first)).configuration
    for field in ("scripts", "track_processes", "track_files", "bfd_instances"):
        assert getattr(again, field) == getattr(first, field) != ()


@pytest.mark.parametrize(
    "argv",
    [
        ("/bin/a",),
        ("/a", "b c"),
        ("/a", 'say "x"', "it's"),
        ("/a", "#{}!", "\\", "", "$x @y ~z", "tab\t.", "é"),
    ],
)
def test_a_command_survives_both_splits(argv: tuple[str, ...]) -> None:
    assert split_command(f"script {command_text(argv)}") == (argv, ())


@pytest.mark.parametrize(
    ("word", "strict", "lenient"),
    [
        ("5", 5000, 5000),
        (" +5", 5000, 5000),
        ("0.0015", 2, 2),
        ("1.2345x", 1235, 1235),
        ("-5", None, None),
        (" -5", None, None),
        ("5x", None, 5),
        ("x", None, None),
        ("11", None, None),
        ("9" * 40, None, None),
    ],
)
def test_decimals(word: str, strict: int | None, lenient: int | None) -> None:
    at = Directive(("k", word), f"k {word}", Origin("f", 1))
    assert fixed_point(Run(FakeHost()), at, word, 1, 10_000, 3) == strict
    assert fixed_point(Run(FakeHost()), at, word, 1, 10_000, 3, lenient=True) == lenient
