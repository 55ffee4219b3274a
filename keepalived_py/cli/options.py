"""keepalived's command line, read the way getopt_long(3) reads it.

Options may stand anywhere; short ones may be bundled (`-nlD`) and carry their
value glued or as the next word; long ones may be shortened while that is
unambiguous and carry their value after `=` or as the next word.  The values of
`-t` and `-M` are optional and therefore only ever glued, which the standard
library's getopt cannot do.  The first `-v`, `-h` or `--signum` met ends the
reading with its answer; a bad option is reported, the rest is still read, and
the exit code is 1 in the end, all as keepalived 2.2.7 does it.

Nothing here prints or exits: `parse` returns values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Literal

from keepalived_py.base.record import Record, Struct, fresh, replace

Style = Literal["keepalived", "full", "json", "sarif"]
STYLES: dict[str, Style] = {"keepalived": "keepalived", "full": "full", "json": "json", "sarif": "sarif"}

DEFAULT_CONFIGURATION = "/etc/keepalived/keepalived.conf"

# syslog(3) facilities by keepalived's names; the numbers 0-7 mean local0-7
_FACILITIES = {"user": 1, "daemon": 3} | {f"local{n}": 16 + n for n in range(8)}


class Value(Enum):
    """Whether an option takes a value."""

    NONE = auto()
    REQUIRED = auto()
    OPTIONAL = auto()


class OptionSpec(Record):
    """One option.  `without_effect`: accepted, and said plainly at start to do nothing yet."""

    short: str
    long: str
    value: Value = Value.NONE
    metavar: str = ""
    help: str = ""
    without_effect: bool = False
    hidden: bool = False


def _spec(short: str, long: str, metavar: str, text: str, **more: bool) -> OptionSpec:
    value = Value.NONE if not metavar else Value.OPTIONAL if metavar.startswith("[") else Value.REQUIRED
    name = metavar[len("[=") : -len("]")] if value is Value.OPTIONAL else metavar
    return OptionSpec(short, long, value, name, text, **more)


SPECS: tuple[OptionSpec, ...] = (
    _spec("f", "use-file", "FILE", f"Read this configuration (default {DEFAULT_CONFIGURATION})"),
    _spec("P", "vrrp", "", "Run only the VRRP process"),
    _spec("C", "check", "", "Run only the checker process"),
    _spec("B", "no_bfd", "", "Do not run the BFD process"),
    _spec("", "all", "", "Run all processes, even without configuration for them"),
    _spec("l", "log-console", "", "Also print log messages on the console (with -n)"),
    _spec("D", "log-detail", "", "More detailed log messages"),
    _spec("S", "log-facility", "0-7|local0-7|user|daemon", "Facility for syslog (default daemon)"),
    _spec("G", "no-syslog", "", "Do not log to syslog"),
    _spec("u", "umask", "MASK", "Mask for the modes of new files (a number)"),
    _spec("X", "release-vips", "", "Drop addresses on a transition caused by a signal"),
    _spec("V", "dont-release-vrrp", "", "Keep virtual addresses and routes at stop"),
    _spec("I", "dont-release-ipvs", "", "Keep the IPVS table at stop"),
    _spec("R", "dont-respawn", "", "Do not restart a child that dies"),
    _spec("n", "dont-fork", "", "Stay in the foreground"),
    _spec("d", "dump-conf", "", "Write the configuration to the log"),
    _spec("p", "pid", "FILE", "Pid file of the parent"),
    _spec("r", "vrrp_pid", "FILE", "Pid file of the VRRP process"),
    _spec("T", "genhash", "", "Act as genhash, with the options behind this one", hidden=True),
    _spec("c", "checkers_pid", "FILE", "Pid file of the checker process"),
    _spec("a", "address-monitoring", "", "Log every change of an address"),
    _spec("b", "bfd_pid", "FILE", "Pid file of the BFD process"),
    _spec("x", "snmp", "", "Enable SNMP", without_effect=True),
    _spec("A", "snmp-agent-socket", "FILE", "Socket of the SNMP master agent", without_effect=True),
    _spec("s", "namespace", "NAME", "Run in this network namespace (before the configuration's)"),
    _spec("m", "core-dump", "", "Lift the limit on the size of a core dump"),
    _spec("M", "core-dump-pattern", "[=PATN]", "Also set the kernel's core_pattern", without_effect=True),
    _spec("e", "all-config", "", "A missing configuration file is an error"),
    _spec("i", "config-id", "ID", "Id compared with lines that begin with @ (default: node name)"),
    _spec("", "signum", "SIGFUNC", "Print the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON"),
    _spec("t", "config-test", "[=FILE]", "Check the configuration, report on stderr or append to FILE"),
    _spec("", "check-config", "[=FILE]", "The same as --config-test"),
    _spec("", "diagnostics", "keepalived|full|json|sarif", "How --config-test writes its findings"),
    _spec("", "facts", "FILE", "With --config-test: the machine described in FILE, not this one"),
    _spec("", "no-host", "", "With --config-test: leave out what depends on the machine"),
    _spec("", "ignore", "CODE[,CODE]", "With --config-test: leave out these warnings and hints"),
    _spec("", "compat", "VERSION", "With --config-test: the keepalived whose verdict counts (2.2.7)"),
    _spec("", "config-fd", "FD", "Used inside keepalived only", without_effect=True, hidden=True),
    _spec("", "ignore-sigint", "", "Do not stop on SIGINT"),
    _spec("v", "version", "", "Print the version"),
    _spec("h", "help", "", "Print this list"),
)
# Options of keepalived that its Debian build refuses; said in its words.
_REFUSED = {"g": "-g requires configure option --enable-log-file"}


class Action(Enum):
    """What the command line asks for."""

    RUN = auto()
    CHECK = auto()
    VERSION = auto()
    HELP = auto()
    SIGNUM = auto()
    GENHASH = auto()


class Options(Record):
    """A command line, read.  None means not given; `detail` counts -D.

    `left_out`: kinds of child process that are not to run, by the names of their pid files.
    `facility_complaint`: what keepalived says about the value of -S under -t, if anything.
    """

    action: Action = Action.RUN
    file: str = DEFAULT_CONFIGURATION
    left_out: frozenset[str] = frozenset()
    all_processes: bool = False
    console: bool = False
    detail: int = 0
    facility: int = _FACILITIES["daemon"]
    facility_complaint: str = ""
    syslog: bool = True
    umask: int | None = None
    keep_addresses: bool = False
    keep_services: bool = False
    release_addresses: bool = False
    dump_configuration: bool = False
    respawn: bool = True
    foreground: bool = False
    pid_file: str | None = None
    vrrp_pid_file: str | None = None
    checkers_pid_file: str | None = None
    bfd_pid_file: str | None = None
    address_monitoring: bool = False
    namespace: str | None = None
    core_dump: bool = False
    all_config: bool = False
    config_id: str | None = None
    ignore_sigint: bool = False
    test_file: str | None = None
    diagnostics: Style = "keepalived"
    facts: str | None = None
    no_host: bool = False
    ignore: tuple[str, ...] = ()
    compat: str | None = None
    signal_function: str = ""
    without_effect: tuple[str, ...] = ()


class Parsed(Record):
    """`errors` go to stderr, `unexpected` are words that are no options; `failed` means exit 1."""

    options: Options
    errors: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    failed: bool = False


class _Found(Record):
    spec: OptionSpec
    value: str | None


class _Bad(Record):
    text: str


class _Word(Record):
    text: str


_Item = _Found | _Bad | _Word
_BY_SHORT = {spec.short: spec for spec in SPECS if spec.short}


class _Scanner(Struct):
    words: Sequence[str]
    at: int = 0
    pending: list[_Item] = fresh(list)

    def items(self) -> Iterator[_Item]:
        """The options and words of the command line, in order."""
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word == "--":
                yield from map(_Word, self.words[self.at :])
                return
            if word.startswith("--"):
                yield self._long(word)
            elif word.startswith("-") and word != "-":
                yield from self._bundle(word)
            else:
                yield _Word(word)

    def _long(self, word: str) -> _Item:
        name, equals, glued = word[2:].partition("=")
        spec = _long_option(name)
        if spec is None or (equals and spec.value is Value.NONE):
            return _Bad(f"Unknown option {word}")
        if equals or spec.value is not Value.REQUIRED:
            return _Found(spec, glued if equals else None)
        return self._with_next(spec, f"--{spec.long}")

    def _bundle(self, word: str) -> Iterator[_Item]:
        for place, letter in enumerate(word[1:], start=2):
            spec = _BY_SHORT.get(letter)
            if spec is None:
                yield _Bad(_REFUSED.get(letter, f"Unknown option -{letter}"))
            elif spec.value is Value.NONE:
                yield _Found(spec, None)
            else:
                glued = word[place:]
                alone = not glued and spec.value is Value.REQUIRED
                yield self._with_next(spec, f"-{letter}") if alone else _Found(spec, glued or None)
                return

    def _with_next(self, spec: OptionSpec, shown: str) -> _Item:
        if self.at >= len(self.words):
            return _Bad(f"Missing parameter for option {shown}")
        self.at += 1
        return _Found(spec, self.words[self.at - 1])


def _long_option(name: str) -> OptionSpec | None:
    """The option called `name`, or the only one beginning so."""
    beginning = [spec for spec in SPECS if name and spec.long.startswith(name)]
    exact = [spec for spec in beginning if spec.long == name]
    return exact[0] if exact else beginning[0] if len(beginning) == 1 else None


_Change = Callable[[Options, str], Options]


def _flag(name: str, value: object = True) -> _Change:
    return lambda options, _: replace(options, **{name: value})


def _text(name: str) -> _Change:
    return lambda options, text: replace(options, **{name: text})


def _without(kind: str) -> _Change:
    return lambda options, _: replace(options, left_out=options.left_out | {kind})


def _check(options: Options, text: str) -> Options:
    return replace(options, action=Action.CHECK, test_file=text or None)


_CHANGES: dict[str, _Change] = {
    "use-file": _text("file"),
    # -P and -C together leave out both, and the last of these options wins, as in keepalived 2.2.7.
    "vrrp": _without("checkers"),
    "check": _without("vrrp"),
    "no_bfd": _without("bfd"),
    "all": lambda options, _: replace(options, all_processes=True, left_out=frozenset()),
    "log-console": _flag("console"),
    "log-detail": lambda options, _: replace(options, detail=options.detail + 1),
    "no-syslog": _flag("syslog", False),
    "dont-release-vrrp": _flag("keep_addresses"),
    "dont-release-ipvs": _flag("keep_services"),
    "release-vips": _flag("release_addresses"),
    "dump-conf": _flag("dump_configuration"),
    "dont-respawn": _flag("respawn", False),
    "dont-fork": _flag("foreground"),
    "pid": _text("pid_file"),
    "vrrp_pid": _text("vrrp_pid_file"),
    "checkers_pid": _text("checkers_pid_file"),
    "bfd_pid": _text("bfd_pid_file"),
    "genhash": _flag("action", Action.GENHASH),
    "address-monitoring": _flag("address_monitoring"),
    "namespace": _text("namespace"),
    "core-dump": _flag("core_dump"),
    "core-dump-pattern": _flag("core_dump"),
    "all-config": _flag("all_config"),
    "config-id": _text("config_id"),
    "ignore-sigint": _flag("ignore_sigint"),
    "facts": _text("facts"),
    "no-host": _flag("no_host"),
    "ignore": lambda options, text: replace(options, ignore=(*options.ignore, *code_list(text))),
    "signum": lambda options, text: replace(options, action=Action.SIGNUM, signal_function=text),
    "config-test": _check,
    "check-config": _check,
    "version": _flag("action", Action.VERSION),
    "help": _flag("action", Action.HELP),
}
_ENDS_READING = {Action.VERSION, Action.HELP, Action.SIGNUM, Action.GENHASH}


class _Reading(Struct):
    """The command line so far."""

    options: Options = Options()
    errors: list[str] = fresh(list)
    unexpected: list[str] = fresh(list)
    failed: bool = False

    def take(self, item: _Item) -> None:
        if isinstance(item, _Word):
            self.unexpected.append(item.text)
        elif isinstance(item, _Bad):
            self.errors.append(item.text)
            self.failed = True
        else:
            self._option(item.spec, item.value or "")

    def _option(self, spec: OptionSpec, text: str) -> None:
        if spec.without_effect:
            shown = f"-{spec.short}" if spec.short else f"--{spec.long}"
            self.options = replace(self.options, without_effect=(*self.options.without_effect, shown))
        match spec.long:
            case "log-facility":
                self._facility(text)
            case "umask":
                self._umask(text)
            case "diagnostics":
                self._diagnostics(text)
            case "compat":
                self._compat(text)
            case name if name in _CHANGES:
                self.options = _CHANGES[name](self.options, text)

    def _facility(self, text: str) -> None:
        """Every form but 0-7 also counts as a configuration error under -t, as in keepalived 2.2.7."""
        number = c_number(text)
        if number is not None and 0 <= number <= 7:
            self.options = replace(self.options, facility=_FACILITIES[f"local{number}"])
            return
        reason = f"invalid number '{text}'" if number is None else f"number '{text}' outside range [0, 7]"
        self.options = replace(self.options, facility_complaint=reason)
        named = _FACILITIES.get(text.lower())
        if named is None:
            self.errors.append(f"Invalid log facility '{text}'")
        else:
            self.options = replace(self.options, facility=named)

    def _umask(self, text: str) -> None:
        mask = c_number(text)
        if mask is None or not 0 <= mask <= 0o777:
            self.errors.append(f"Invalid --umask option {text}")
        else:
            self.options = replace(self.options, umask=mask)

    def _diagnostics(self, text: str) -> None:
        style = STYLES.get(text)
        if style is None:
            self.errors.append(f"Invalid --diagnostics option {text}: keepalived, full, json or sarif")
            self.failed = True
        else:
            self.options = replace(self.options, diagnostics=style)

    def _compat(self, text: str) -> None:
        if is_version(text):
            self.options = replace(self.options, compat=text)
        else:
            self.errors.append(f"Invalid --compat option {text}: a version such as 2.2.7")
            self.failed = True


def code_list(text: str) -> tuple[str, ...]:
    """The codes of an `--ignore` option: parted by commas."""
    return tuple(code for code in (part.strip() for part in text.split(",")) if code)


def is_version(text: str) -> bool:
    """Whether `text` is a version: three numbers with dots between."""
    parts = text.split(".")
    return len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts)


def parse(arguments: Sequence[str]) -> Parsed:
    """Read a command line (without the program's name)."""
    reading = _Reading()
    for item in _Scanner(arguments).items():
        reading.take(item)
        if reading.options.action in _ENDS_READING:
            break
    return Parsed(reading.options, tuple(reading.errors), tuple(reading.unexpected), reading.failed)


def c_number(text: str) -> int | None:
    """A number as strtol(3) with base 0 reads it (010 is eight); None if `text` is none."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    base = 16 if digits[:2].lower() == "0x" else 8 if digits.startswith("0") else 10
    digits = digits[2:] if base == 16 else digits
    try:
        return sign * int(digits, base) if digits.isalnum() and digits.isascii() else None
    except ValueError:
        return None
