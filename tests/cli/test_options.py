"""The command line is read as getopt_long reads keepalived's."""

import pytest

from keepalived_py.cli.options import SPECS, Action, Options, Value, c_number, parse


@pytest.mark.parametrize(
    "words",
    [
        ["-nlD", "-f", "a.conf"],
        ["-n", "-l", "-D", "-fa.conf"],
        ["--dont-fork", "--log-console", "--log-detail", "--use-file=a.conf"],
        ["--dont-f", "--log-c", "--log-d", "--use", "a.conf"],
        ["-nlDfa.conf"],
    ],
)
def test_the_ways_to_write_an_option(words: list[str]) -> None:
    parsed = parse(words)
    assert parsed.options == Options(foreground=True, console=True, detail=1, file="a.conf")
    assert not parsed.failed


@pytest.mark.parametrize(
    ("words", "file", "unexpected"),
    [
        (["-t"], None, ()),
        (["-tout.log"], "out.log", ()),
        (["--config-test=out.log"], "out.log", ()),
        (["--check-config=out.log"], "out.log", ()),
        (["--check-config"], None, ()),
        (["-t", "out.log"], None, ("out.log",)),
        (["-XVtf"], "f", ()),
    ],
)
def test_the_value_of_the_check_option_is_only_ever_glued(
    words: list[str], file: str | None, unexpected: tuple[str, ...]
) -> None:
    parsed = parse(words)
    assert parsed.options.action is Action.CHECK
    assert parsed.options.test_file == file
    assert parsed.unexpected == unexpected


@pytest.mark.parametrize(
    ("words", "errors"),
    [
        (["--bogus"], ["Unknown option --bogus"]),
        (["-Z"], ["Unknown option -Z"]),
        (["-nZl"], ["Unknown option -Z"]),
        (["-f"], ["Missing parameter for option -f"]),
        (["--use-file"], ["Missing parameter for option --use-file"]),
        (["--c"], ["Unknown option --c"]),
        (["--conf"], ["Unknown option --conf"]),
        (["--vrrp=3"], ["Unknown option --vrrp=3"]),
        (["-g"], ["-g requires configure option --enable-log-file"]),
        (
            ["--bogus", "-Z", "-f"],
            ["Unknown option --bogus", "Unknown option -Z", "Missing parameter for option -f"],
        ),
        (["--diagnostics=loud"], ["Invalid --diagnostics option loud: keepalived, full, json or sarif"]),
    ],
)
def test_bad_options_are_all_named(words: list[str], errors: list[str]) -> None:
    parsed = parse(words)
    assert list(parsed.errors) == errors
    assert parsed.failed


def test_exact_names_win_over_longer_ones() -> None:
    assert parse(["--check"]).options.left_out == {"vrrp"}
    assert parse(["--vrrp"]).options.left_out == {"checkers"}


@pytest.mark.parametrize(
    ("words", "left_out"),
    [("-B", {"bfd"}), ("-PC", {"checkers", "vrrp"}), ("-P --all", set()), ("--all -P", {"checkers"})],
)
def test_processes_that_are_not_to_run(words: str, left_out: set[str]) -> None:
    assert parse(words.split()).options.left_out == left_out


def test_the_first_question_ends_the_reading() -> None:
    assert parse(["-v", "--bogus"]).errors == ()
    assert parse(["--signum=STOP", "--signum=DATA"]).options.signal_function == "STOP"


def test_everything_after_two_dashes_is_no_option() -> None:
    assert parse(["-n", "--", "-l"]).unexpected == ("-l",)


@pytest.mark.parametrize(
    ("text", "facility", "complaint"),
    [
        ("3", 19, ""),
        ("local3", 19, "invalid number 'local3'"),
        ("user", 1, "invalid number 'user'"),
        ("9", 3, "number '9' outside range [0, 7]"),
    ],
)
def test_log_facilities(text: str, facility: int, complaint: str) -> None:
    options = parse(["-S", text]).options
    assert (options.facility, options.facility_complaint) == (facility, complaint)


def test_a_bad_facility_or_mask_is_reported_and_the_program_goes_on() -> None:
    parsed = parse(["-S", "9", "-u", "zz"])
    assert parsed.errors == ("Invalid log facility '9'", "Invalid --umask option zz")
    assert not parsed.failed
    assert parsed.options.umask is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("077", 63),
        ("0x1F", 31),
        ("18", 18),
        ("0", 0),
        ("-5", -5),
        ("+7", 7),
        ("08", None),
        ("", None),
        ("1_0", None),
        ("0x", None),
        ("zz", None),
    ],
)
def test_numbers_are_read_as_c_reads_them(text: str, number: int | None) -> None:
    assert c_number(text) == number


def test_options_without_effect_are_collected_for_the_log() -> None:
    assert parse(["-nIx", "-A/run/agentx"]).options.without_effect == ("-x", "-A")


def test_every_option_is_accepted_in_each_form() -> None:
    for spec in SPECS:
        value = ["0"] if spec.value is Value.REQUIRED else []
        value = {"diagnostics": ["full"], "compat": ["2.2.7"]}.get(spec.long, value)
        for shown in ([f"-{spec.short}"] if spec.short else []) + [f"--{spec.long}"]:
            parsed = parse([shown, *value])
            assert not parsed.failed, shown
            assert not parsed.unexpected, shown


def test_no_two_options_share_a_name() -> None:
    shorts = [spec.short for spec in SPECS if spec.short]
    longs = [spec.long for spec in SPECS]
    assert len(set(shorts)) == len(shorts)
    assert len(set(longs)) == len(longs)
