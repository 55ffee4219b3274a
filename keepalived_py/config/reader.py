"""Files to logical lines: reads the main file and, at their places, the files it includes.

Most files use nothing but statements and comments; those are cut into lines
in one go.  Only a file with one of `$ @ ~ \\` or `include` in it takes the way
through `expand`, line by line.

Names in an include are relative to the directory of the including file.  An
include of a file that is being read is reported (keepalived goes on until it
has no file descriptors left).  Bytes that are no UTF-8 survive as surrogates.
keepalived has room for 1023 bytes of a line; what is behind them it reads, and
counts, as a line of its own, and so do we, but we say so.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.base.record import replace
from keepalived_py.config.document import Line, Source
from keepalived_py.config.expand import BLANKS, MAX_LINE_BYTES, Expander, open_quote, strip_comment
from keepalived_py.config.include_names import find_names, has_brace
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity

# What only the expander understands.
_SPECIAL = ("$", "@", "~", "\\", "\0", "include")
_INCLUDE = lazy_pattern(r"include([rmwba]?)\s+(.*)", re.DOTALL | re.ASCII)
_CUT = lazy_pattern(r'"[^"]*"?|[^{}"]+|[{}]')
_BEHIND_BRACE = lazy_pattern(r'"[^"]*"?|[{}][ \t]*(?=[@~$]|include)')
_PERHAPS_LONG = MAX_LINE_BYTES // 4  # characters; each has up to four bytes

MAX_INCLUDE_DEPTH = 64
ALL_CHECKS = frozenset({"read", "match", "wildcard_match", "brace_match"})
_UNSEEN = (
    ("nul-byte", "\0", "The line ends for keepalived at its NUL byte; the rest of it is ignored"),
    ("byte-order-mark", "\ufeff", "A byte order mark stands here; to keepalived it is part of the word"),
)
VARIANTS = {
    "": frozenset[str](),
    "r": frozenset({"read"}),
    "m": frozenset({"read", "match"}),
    "w": frozenset({"read", "match", "wildcard_match"}),
    "b": frozenset({"read", "brace_match"}),
    "a": ALL_CHECKS,
}


class Reader:
    """One reading of a configuration; `files`, `diagnostics` and the two flags fill up meanwhile."""

    def __init__(self, config_id: str, all_config: bool = False) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.files: list[str] = []
        self.fatal = False
        self.include_failed = False
        self._checks = ALL_CHECKS if all_config else frozenset[str]()
        self._reading: list[str] = []
        self._place: tuple[Source, int] | None = None
        self._expander = Expander(config_id, self._complain)
        self._depth = 0
        self._header = ""  # the statement in front of the next `{` at top level
        self._outermost = ""  # the keyword of the top-level block that is open

    def read(self, path: str) -> list[Line]:
        """The logical lines of the main file `path` (a glob, as in keepalived)."""
        lines = list(self._files(path, "", self._checks))
        self.fatal = not self.files
        return lines

    def _complain(self, code: str, message: str) -> None:
        self._report(code, message, ErrorClass.GENERAL)

    def _report(self, code: str, message: str, error_class: ErrorClass | None) -> None:
        origin = self._place[0].origin(self._place[1]) if self._place else None
        self.diagnostics.append(Diagnostic(code, message, origin=origin, error_class=error_class))

    def _fail(self, message: str, failed: bool) -> None:
        """Say what an include could not find or read; `failed`: one of its checks forbids that."""
        self._report("include-failed", message, None)
        origin = self.diagnostics[-1].origin  # said by the parent process alone, which counts in its own way
        if origin is not None and origin.unended:
            self.diagnostics[-1] = replace(self.diagnostics[-1], early=origin.unended)
        self.include_failed = self.include_failed or failed

    def _files(self, pattern: str, folder: str, checks: frozenset[str]) -> Iterator[Line]:
        """The lines of all files that match; what is missing fails if a check of this include says so."""
        names, missing, wildcard = find_names(pattern, folder)
        if not names and missing:
            check = "brace_match" if has_brace(pattern) else "match"
            self._fail(f"Config files missing '{pattern}'.", check in checks)
        elif not names and wildcard and "wildcard_match" in checks:
            self._fail(f"No config files matched '{pattern}'.", True)
        elif names and missing:
            self._fail(f'Some config files missing: "{pattern}".', "brace_match" in checks)
        place = self._place
        for name in names:
            yield from self._file(name, folder, "read" in checks)
            self._place = place

    def _file(self, name: str, folder: str, checked: bool) -> Iterator[Line]:
        path = os.path.join(folder, name)
        text = self._load(name, path, checked)
        if text is None:
            return
        parent = self._place
        source = Source(name, text, *(parent if parent else (None, 0)))
        self.files.append(name)
        lines = self._checked(source)
        text = source.text
        self._reading.append(os.path.realpath(path))
        here = os.path.dirname(os.path.abspath(path))
        outer, self._expander.folder = self._expander.folder, here
        if any(mark in text for mark in _SPECIAL):
            yield from self._expanded(source, here)
        else:
            yield from _plain(source, lines)
        self._expander.folder = outer
        self._reading.pop()

    def _load(self, name: str, path: str, checked: bool) -> str | None:
        """The text of a file; None, with a message, if it may not be read as a configuration."""
        if os.path.realpath(path) in self._reading:
            self._complain("include-loop", f"Configuration file '{name}' includes itself - skipping")
            return None
        if len(self._reading) >= MAX_INCLUDE_DEPTH:
            text = f"Configuration file '{name}' is included through {MAX_INCLUDE_DEPTH} others - skipping"
            self._complain("include-too-deep", text)
            return None
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                self._fail(f"Configuration file '{name.rstrip('/')}/' is a directory - skipping", checked)
                return None
            if not stat.S_ISREG(mode) or mode & 0o111:
                text = f"Configuration file '{name}' is not a regular non-executable file - skipping"
                self._fail(text, checked)
                return None
            with open(path, "rb", opener=_without_waiting) as file:
                return file.read().decode("utf-8", "surrogateescape")
        except OSError as error:
            text = f"Configuration file '{name}' open problem ({error.strerror}) - skipping"
            self._fail(text, checked)
            return None

    def _checked(self, source: Source) -> list[str]:
        """The lines of the text, long ones cut as keepalived cuts them; says what a person would not see."""
        lines = source.text.split("\n")
        if max(map(len, lines)) > _PERHAPS_LONG:
            self._cut(source, lines)
            lines = source.text.split("\n")
        for code, character, message in _UNSEEN:
            if character in source.text:
                line = source.text.count("\n", 0, source.text.index(character)) + 1
                self._hint(code, message, source, line)
        if not source.text.isascii():
            odd = re.search("[\udc80-\udcff]", source.text)
            if odd is not None:
                line = source.text.count("\n", 0, odd.start()) + 1
                self._hint(
                    "not-utf8", "These bytes are not UTF-8; keepalived takes them as they are", source, line
                )
        return lines

    def _hint(self, code: str, message: str, source: Source, line: int) -> None:
        self.diagnostics.append(
            Diagnostic(code, message, Severity.WARNING, source.origin(line), error_class=None, own=True)
        )

    def _cut(self, source: Source, lines: list[str]) -> None:
        """Give the source lines of at most 1023 bytes each, and say which ones were longer."""
        cut: list[str] = []
        found: list[tuple[int, int, int]] = []
        for text in lines:
            data = text.encode("utf-8", "surrogateescape")
            parts = [data[at : at + MAX_LINE_BYTES] for at in range(0, len(data) + 1, MAX_LINE_BYTES)]
            if len(parts) > 1:
                found.append((len(cut) + 1, len(cut) + len(parts), len(data)))
                source.cuts += range(len(cut) + 1, len(cut) + len(parts))
            cut += [part.decode("utf-8", "surrogateescape") for part in parts]
        source.text = "\n".join(cut)
        for first, last, size in found:
            self._too_long(source, first, last, size)

    def _too_long(self, source: Source, first: int, last: int, size: int) -> None:
        message = f"This line has {size} bytes, keepalived has room for {MAX_LINE_BYTES}"
        note = (
            "the rest of it is read, and counted, as another line, even inside a comment; "
            "keepalived from 2.4 on ignores the whole line"
        )
        self.diagnostics.append(
            Diagnostic(
                "line-too-long",
                message,
                Severity.WARNING,
                source.origin(first),
                None,
                notes=(note,),
                own=True,
                spoils=(source.name, first, last),
            )
        )

    def _expanded(self, source: Source, folder: str) -> Iterator[Line]:
        for line, text in _joined(source.text):
            self._place = (source, line)
            if '"' in text:
                self._open_quote(text)
            for logical in self._logical(text):
                match = _INCLUDE.match(logical) if logical.startswith("include") else None
                if match is None:
                    self._follow(logical)
                    yield logical, source, line
                    continue
                checks = self._checks | VARIANTS[match.group(1)]
                self._place = (source, line)
                before = self._checks
                yield from self._files(match.group(2), folder, checks)
                self._checks = before

    def _logical(self, text: str) -> Iterator[str]:
        """What is behind a brace is a line of its own: a condition, definition or include if it begins so."""
        waiting = [self._expander.lines(text)]  # a stack: a line may hold more braces than calls may nest
        while waiting:
            logical = next(waiting[-1], None)
            if logical is None:
                waiting.pop()
                continue
            cuts = (cut for cut in _BEHIND_BRACE.finditer(logical) if cut.group()[0] != '"')
            cut = next(cuts, None)
            if cut is None:
                yield logical
            else:
                yield logical[: cut.end()].rstrip(BLANKS)
                waiting.append(self._expander.lines(logical[cut.end() :]))

    def _open_quote(self, text: str) -> None:
        """keepalived looks for an open quote before it expands a line, and again afterwards."""
        start = text.lstrip(BLANKS)
        if (start[:1] in "@$~" or "$" in start or start.startswith("include")) and open_quote(
            strip_comment(start)
        ):
            self._report("unterminated-quote", f"Unterminated quote '{start}'", ErrorClass.UNMATCHED_QUOTE)

    def _follow(self, text: str) -> None:
        """Keep track of the block we are in: `include_check` counts inside `global_defs` only."""
        for piece in _CUT.findall(text):
            if piece == "{":
                self._depth += 1
                if self._depth == 1:
                    self._outermost = self._header
            elif piece == "}":
                self._depth = max(self._depth - 1, 0)
            elif self._depth == 0:
                self._header = piece.split()[0] if piece.split() else self._header
            elif piece.startswith("include_check") and self._depth == 1:
                if self._outermost == "global_defs" and piece.split()[0] == "include_check":
                    self._set_checks(piece.split()[1:])

    def _set_checks(self, words: list[str]) -> None:
        """`include_check`: bare means all; `+word` adds, `-word` removes, one plain word replaces."""
        if not words:
            self._checks = ALL_CHECKS
        for place, word in enumerate(words):
            name = word.lstrip("+-")
            if word[0] not in "+-" and place == 0:
                self._checks = frozenset({"read", name}) & ALL_CHECKS if name in ALL_CHECKS else frozenset()
            elif word[0] in "+-" and name in ALL_CHECKS:
                self._checks = self._checks - {name} if word[0] == "-" else self._checks | {name}


def _plain(source: Source, lines: list[str]) -> list[Line]:
    """Logical lines of a file that has statements and comments only."""
    return [
        (text, source, line)
        for line, raw in enumerate(lines, 1)
        if (text := strip_comment(raw) if "#" in raw or "!" in raw else raw.strip(BLANKS))
    ]


def _without_waiting(path: str, flags: int) -> int:
    """Open so that a pipe put in the place of the file meanwhile cannot hold us up."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Numbered physical lines; the lines of a definition that continues (`\\` at the end) in one."""
    gathered: list[str] = []
    first = 0
    for line, physical in enumerate(text.split("\n"), 1):
        if "\0" in physical:
            physical = physical[: physical.index("\0")]
        start = physical.lstrip(BLANKS)
        if not gathered and not start.startswith(("$", "@", "~")):
            yield line, physical
            continue
        first = first if gathered else line
        content = strip_comment(physical)
        if gathered and not content:
            continue  # blank and comment lines inside a definition do not end it
        if content.endswith("\\") and (gathered or re.match(r"(?:[@~].*)?\$\w+=", start)):
            gathered.append(content[:-1])
        elif gathered:
            yield first, "\n".join([*gathered, content])
            gathered = []
        else:
            yield line, physical
    if gathered:
        yield first, "\n".join(gathered)
