"""One line of a list of addresses, routes or rules: words in almost any order, as `ip` takes them.

Each word that may stand there is declared once, as a `Keyword` whose reader
gets the line (`Keyword.read(run, line, at)`).  A line that cannot be used is
dropped; the rest of its block is still read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Generic, NoReturn, TypeVar

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.base.record import Record
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.kernel_names import UNSIGNED, unsigned
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Keyword, Run
from keepalived_py.model.network import Prefix

R = TypeVar("R", bound=Record)

FAMILIES = {"inet": 4, "inet6": 6}
EVERYTHING = ("default", "any", "all")
ANYTHING = {4: Prefix(IPv4Address(0), 0), 6: Prefix(IPv6Address(0), 0)}


class Dropped(Exception):
    """The line cannot be used; why was said already."""


class Line(Generic[R]):
    """The words still to come, and the draft of what was read.

    `family` is 4 or 6 once something on the line has decided it, else 0.
    `ended`: nothing more is to be read, what is left is a mistake.
    `destination` is a route's, as it was written.
    """

    def __init__(self, run: Run, at: Directive, draft: Draft[R]) -> None:
        self.run = run
        self.at = at
        self.words = at.words
        self.draft: Any = draft
        self.position = 0
        self.family = 0
        self.ended = False
        self.destination = ""

    def argument(self) -> str:
        """The next word; keepalived ends at once where there is none."""
        self.position += 1
        return self.word()

    def word(self) -> str:
        """The word at the current position."""
        if self.position < len(self.words):
            return self.words[self.position]
        self.run.missing_parameter(self.at, self.words[self.position - 1], self.position + 1)
        raise Dropped

    def error(self, message: str, code: str = "invalid-value", expected: str = "") -> None:
        """Report a mistake at the current word."""
        word = min(self.position, len(self.words) - 1)
        self.run.error(message, self.at, word=word, code=code, expected=expected)

    def drop(self, message: str, code: str = "invalid-value", expected: str = "") -> NoReturn:
        """Report a mistake that makes the line unusable."""
        self.error(message, code, expected)
        raise Dropped

    def agree(self, family: int, message: str) -> None:
        """Let `family` be that of the line; `message` is said if it is another one already."""
        if self.family == 0:
            self.family = family
        elif self.family != family:
            self.drop(message, "mixed-families", f"only IPv{self.family} on this line")

    def number(self, high: int = UNSIGNED, **more: Any) -> int | None:
        """The whole number at the current position; None after a complaint."""
        return unsigned(self.run, self.at, self.position, self.word(), high, **more)

    def interface(self, message: str) -> InterfaceName:
        """The next word as an interface; `message` names it as {word}."""
        name = self.argument()
        if not known_interface(self.run, self.at, name):
            self.drop(message.format(word=name), "unknown-interface", "an interface of this machine")
        return InterfaceName(name)

    def address(self) -> Address | None:
        """The current word as an address without a prefix length."""
        return plain_address(self.run, self.at, self.word(), self.position)

    def prefix(self) -> tuple[int, Prefix] | None:
        """The current word as a destination: the family it fixes (0: none) and the prefix."""
        word = self.word()
        if word in EVERYTHING:
            return 0, ANYTHING[4]
        if word == "default6":
            self.run.log("'default6' is deprecated - please replace with 'inet6 default'", self.at)
            return 6, ANYTHING[6]
        found = address_with_length(self.run, self.at, word, self.position)
        return None if found is None else (found.family, found)


def read_words(
    line: Line[Any], options: Mapping[str, Keyword[Any]], other: Callable[[Line[Any]], None]
) -> None:
    """Read all words of the line; those that are no option go to `other`."""
    words = line.words
    while line.position < len(words) and not line.ended:
        option = options.get(words[line.position])
        if option is None or option.read is None:
            other(line)
        else:
            option.read(line.run, line, line.at)
        line.position += not line.ended


def known_interface(run: Run, at: Directive, name: str) -> bool:
    """Whether the interface is there; with `dynamic_interfaces` it may also come later."""
    if run.host.interface_exists(name):
        return True
    if run.written.globals.dynamic_interfaces:
        run.log(
            f"Configuration specifies interface {name} which doesn't currently exist - will use if created",
            at,
        )
        return True
    run.written.missing_interface = True
    return False


def plain_address(run: Run, at: Directive, word: str, position: int) -> Address | None:
    """An address without a prefix length; None after having said that it is none."""
    found = None if "%" in word else values.address(word)
    if found is None:
        _no_address(run, at, word, position)
    return found


def address_with_length(run: Run, at: Directive, word: str, position: int) -> Prefix | None:
    """`ADDRESS[/LENGTH]`; a wrong length is reported and the full one used."""
    text, slash, length_text = word.partition("/")
    longest = 128 if ":" in word else 32
    length = longest
    if slash:
        read = unsigned(run, at, position, length_text, longest)
        if read is None:
            run.error(
                f"Invalid address prefix len {length_text} for address {word} - using {longest}",
                at,
                word=position,
                code="invalid-prefix-length",
                expected=f"a length from 0 to {longest}",
            )
        else:
            length = read
    found = None if "%" in text else values.address(text)
    if found is None or found.max_prefixlen != longest:
        _no_address(run, at, word, position)
        return None
    return Prefix(found, length)


def _no_address(run: Run, at: Directive, word: str, position: int) -> None:
    run.error(
        f"VRRP parsed invalid IP {word}. skipping IP...",
        at,
        word=position,
        code="invalid-address",
        expected="an IPv4 or IPv6 address",
    )


# Making keywords of the words on a line --------------------------------------


def option(
    name: str,
    read: Callable[[Run, Any, Directive], None],
    arguments: str,
    help: str,
    **more: Any,
) -> Keyword[Any]:
    """A word that may stand on the line, with its reader."""
    return Keyword(name, read, arguments, help=help, **more)


def mark(name: str, attribute: str, help: str, value: object = True, **more: Any) -> Keyword[Any]:
    """A word without argument that stores `value`."""

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        setattr(line.draft, attribute, value)

    more.setdefault("default", "off")
    return Keyword(name, read, help=help, **more)


def family_word(name: str, what: str) -> Keyword[Any]:
    """`inet` or `inet6`, the family of a route or rule."""
    family = FAMILIES[name]
    message = f"{name} specified for IPv{10 - family} {what}"

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        line.agree(family, message)
        line.position += 1  # keepalived passes over the word behind it

    return Keyword(
        name,
        read,
        default="by the addresses",
        help=f"an IPv{family} {what}; keepalived passes over the next word",
    )


def _track_group(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    if line.draft.track_group is not None:
        line.error(f"track_group {word} is a duplicate", "duplicate")
        line.ended = True
    elif word not in run.written.track_groups:
        line.error(f"track_group {word} not found", "undefined", "a track_group defined above this block")
    else:
        line.draft.track_group = word


TRACK_GROUP: Keyword[Any] = Keyword(
    "track_group",
    _track_group,
    "<NAME>",
    default="none",
    help="the group whose instances fail while this is lost",
)


def table_of(options: Iterable[Keyword[Any]]) -> Mapping[str, Keyword[Any]]:
    """The options by their words."""
    return {one.name: one for one in options}


def append(target: Any, name: str, found: Draft[Any]) -> None:
    """Put an entry at the end of the list `name` of a block's draft."""
    if isinstance(target, Draft):
        target.add(name, found, found.header)
    else:
        getattr(target, name).append(found)
