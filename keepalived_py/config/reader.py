"""Files to logical lines: reads the main file and, at their places, the files it includes.

Most files use nothing but statements and comments; those are cut into lines
in one go.  Only a file with one of `$ @ ~ \\` or `include` in it takes the way
through `expand`, line by line.

Names in an include are relative to the directory of the including file.  An
include of a file that is being read is reported (keepalived goes on until it
has no file descriptors left).  Bytes that are no UTF-8 survive as surrogates.
"""

import os
import re
import stat
from collections.abc import Iterator
from glob import glob, has_magic

from keepalived_py.config.document import Line, Source
from keepalived_py.config.expand import BLANKS, MAX_LINE_BYTES, Expander, strip_comment
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

_SPECIAL = re.compile(r"[$@~\\\0]|include")
_INCLUDE = re.compile(r"include([rmwba]?)\s+(.*)", re.DOTALL | re.ASCII)
_BRACES = re.compile(r"([^{}]*)\{([^{}]*)\}(.*)", re.DOTALL)
_MAX_NAMES = 1024

ALL_CHECKS = frozenset({"read", "match", "wildcard_match", "brace_match"})
VARIANTS = {
    "": frozenset[str](),
    "r": frozenset({"read"}),
    "m": frozenset({"match"}),
    "w": frozenset({"match", "wildcard_match"}),
    "b": frozenset({"brace_match"}),
    "a": ALL_CHECKS,
}


def brace_names(pattern: str) -> list[str]:
    """`a{b,c}d` is `abd` and `acd`; several braces multiply, up to a bound."""
    match = _BRACES.fullmatch(pattern)
    if match is None:
        return [pattern]
    before, inside, after = match.groups()
    tails = brace_names(after)
    return [before + part + tail for part in inside.split(",") for tail in tails][:_MAX_NAMES]


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
        self.include_failed = self.include_failed or failed

    def _files(self, pattern: str, folder: str, checks: frozenset[str]) -> Iterator[Line]:
        names, missing = self._find(pattern, folder, checks)
        if missing is not None:
            alone = has_magic(pattern) and "{" not in pattern
            said = "No config files matched" if alone else "Config files missing"
            self._fail(f"{said} '{pattern}'.", missing)
        place = self._place
        for name in names:
            if self.include_failed:
                return
            yield from self._file(name, folder, bool(checks))
            self._place = place

    def _find(self, pattern: str, folder: str, checks: frozenset[str]) -> tuple[list[str], bool | None]:
        """Names that exist, and whether something missing is an error (None: nothing to say)."""
        names: list[str] = []
        parts = brace_names(pattern)
        missing: bool | None = None
        for part in parts:
            found = sorted(glob(os.path.join(glob_escaped(folder), part)))
            names.extend(
                os.path.relpath(name, folder or ".") if folder and part[:1] != "/" else name for name in found
            )
            if found or (has_magic(part) and "wildcard_match" not in checks):
                continue
            missing = bool(missing) or ("brace_match" in checks and len(parts) > 1)
            missing = missing or (has_magic(part) and "wildcard_match" in checks)
        if missing is not None and not names and "match" in checks:
            missing = True
        return names, missing

    def _file(self, name: str, folder: str, checked: bool) -> Iterator[Line]:
        path = os.path.join(folder, name)
        text = self._load(name, path, checked)
        if text is None:
            return
        parent = self._place
        source = Source(name, text, *(parent if parent else (None, 0)))
        self.files.append(name)
        self._reading.append(os.path.realpath(path))
        here = os.path.dirname(os.path.abspath(path))
        outer, self._expander.folder = self._expander.folder, here
        if _SPECIAL.search(text):
            yield from self._expanded(source, here)
        else:
            yield from self._plain(source)
        self._expander.folder = outer
        self._reading.pop()

    def _load(self, name: str, path: str, checked: bool) -> str | None:
        """The text of a file; None, with a message, if it may not be read as a configuration."""
        if os.path.realpath(path) in self._reading:
            self._complain("include-loop", f"Configuration file '{name}' includes itself - skipping")
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
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                return file.read()
        except OSError as error:
            self._fail(f"Unable to open configuration file '{name}' - {error.strerror}", checked)
            return None

    def _plain(self, source: Source) -> Iterator[Line]:
        """Lines of a file that has statements and comments only."""
        for line, text in enumerate(source.text.split("\n"), 1):
            if len(text) > 255 and self._too_long(text, source, line):
                continue
            if "#" in text or "!" in text:
                text = strip_comment(text)
            else:
                text = text.strip(BLANKS)
            if text:
                yield text, source, line

    def _too_long(self, text: str, source: Source, line: int) -> bool:
        if len(text.encode("utf-8", "surrogateescape")) <= MAX_LINE_BYTES:
            return False
        self._place = (source, line)
        self._complain("line-too-long", f"Line is longer than {MAX_LINE_BYTES} bytes - ignoring it")
        return True

    def _expanded(self, source: Source, folder: str) -> Iterator[Line]:
        for line, text in _joined(source.text):
            self._place = (source, line)
            if len(text) > 255 and "\n" not in text and self._too_long(text, source, line):
                continue
            for logical in self._expander.lines(text):
                match = _INCLUDE.match(logical) if logical.startswith("include") else None
                if match is None:
                    if logical.startswith("include_check"):
                        self._set_checks(logical.split()[1:])
                    yield logical, source, line
                    continue
                checks = self._checks | VARIANTS[match.group(1)]
                self._place = (source, line)
                yield from self._files(match.group(2), folder, checks)
                if self.include_failed:
                    return

    def _set_checks(self, words: list[str]) -> None:
        """`include_check`: bare means all; `+word` adds, `-word` removes, plain words replace."""
        if not words:
            self._checks = ALL_CHECKS
        elif words[0][0] not in "+-":
            self._checks = frozenset()
        for word in words:
            name = word.lstrip("+-")
            if name in ALL_CHECKS:
                self._checks = self._checks - {name} if word[0] == "-" else self._checks | {name}


def glob_escaped(folder: str) -> str:
    """A folder's own name is no pattern, whatever characters it has."""
    return re.sub(r"([*?[])", r"[\1]", folder)


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
