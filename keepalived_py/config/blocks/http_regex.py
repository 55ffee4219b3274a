"""The `regex...` keywords of a page of HTTP_GET and SSL_GET.

keepalived hands the pattern to PCRE2.  Mistakes here never change its verdict:
it only logs them, and so do we.  Whether a pattern can be compiled is asked of
Python's `re`, whose language is nearly that of PCRE2; only those complaints of
its are repeated that PCRE2 would have as well.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.commands import read_command_line
from keepalived_py.config.command_words import split_quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.model.checks import JitStack

OPTIONS = {
    "allow_empty_class": "[] is a class that nothing matches",
    "alt_bsux": "\\U, \\u and \\x mean what they mean in ECMAScript",
    "auto_callout": "call-outs before each item",
    "caseless": "capital and small letters are the same",
    "dollar_endonly": "$ is only the very end",
    "dotall": "a dot is also a line end",
    "dupnames": "groups may share a name",
    "extended": "white space and comments in the pattern do not count",
    "firstline": "a match must begin in the first line",
    "match_unset_backref": "a reference to a group that has not matched is empty",
    "multiline": "^ and $ are also begin and end of a line",
    "never_ucp": "the pattern may not turn ucp on",
    "never_utf": "the pattern may not turn utf on",
    "no_auto_capture": "plain parentheses do not capture",
    "no_auto_possess": "repetitions are not made possessive",
    "no_dotstar_anchor": ".* at the start does not anchor",
    "no_start_optimize": "no shortcuts at the start of a match",
    "ucp": "classes follow Unicode",
    "ungreedy": "repetitions are short unless a ? follows",
    "utf": "pattern and page are UTF-8",
    "never_backslash_c": "\\C is not allowed",
    "alt_circumflex": "with multiline, ^ also matches behind the last line end",
    "alt_verbnames": "escapes in the names of verbs",
    "use_offset_limit": "a match may have a limit for its start",
}

_ALSO_PCRE = (
    "missing ), unterminated subpattern",
    "unbalanced parenthesis",
    "unterminated character set",
    "nothing to repeat",
    "bad character range",
    "bad escape (end of pattern)",
    "min repeat greater than max repeat",
)
_ONLY_PCRE = re.compile(r"\(\*|\\[QEKRXNGgHhVvZzpPCkoc]|\(\?[|R&+\-0-9'C@>]|\[\]|[*+?}]\+")
_NUMBER = re.compile(r"[ \t\v\f\r\n]*[+-]?[0-9]+\Z")
LONGEST = 2**64 - 1


def _regex(run: Run, url: object, at: Directive) -> object:
    """The pattern: one word by the rule for command lines, in which escapes have been undone."""
    words = split_quoted(at.raw)
    if words is None:
        read_command_line(run, at)  # it knows how to say that a quote is open
        return FAILED
    if len(words) != 2:
        run.log("regex missing or too many fields", at, code="regex-ignored")
        return FAILED
    return words[1]


def _show_regex(pattern: str | None) -> Iterable[str]:
    if pattern is None:
        return ()
    escaped = "".join(
        char if re.match(r"[\w ^$.|?*+()\[\]<>=:,/-]", char, re.ASCII) else _escape(char) for char in pattern
    )
    return (f'"{escaped}"',)


def _escape(char: str) -> str:
    return f"\\{ord(char):03o}" if ord(char) < 0x80 else char


def _options(run: Run, url: Any, at: Directive) -> object:
    """Options are added to those of other lines; words that are none are ignored."""
    given = {*url.regex_options, *at.words[1:]}
    for word in at.words[1:]:
        if word not in OPTIONS:
            run.log(f"'{word}' is no option of regex_options and is ignored", at, code="regex-ignored")
    return tuple(name for name in OPTIONS if name in given)


def _offset(name: str, attribute: str, kind: str, help: str, default: str) -> Keyword[Any]:
    def convert(run: Run, url: object, at: Directive) -> object:
        """keepalived takes 0 for what it does not understand."""
        if len(at.words) != 2:
            run.log(f"Missing or too may options for regex_{kind}_offset", at, code="regex-ignored")
            return 0
        found = _unsigned(at.words[1])
        if found is None:
            run.log(f"Invalid regex_{kind}_offset {at.words[1]} specified", at, code="regex-ignored")
        return found or 0

    return Keyword(
        name,
        convert=convert,
        arguments="<INT>",
        unit="bytes",
        default=default,
        help=help,
        attribute=attribute,
        show=lambda found: () if found is None else (str(found),),
        schema={"type": "integer", "minimum": 0},
    )


def _unsigned(word: str) -> int | None:
    """A number as C reads an unsigned one; None if anything is behind it."""
    if not word:
        return 0
    if _NUMBER.match(word) is None:
        return None
    value = int(word)
    return min(value, LONGEST) if value >= 0 else value % (LONGEST + 1)


def _stack(run: Run, url: object, at: Directive) -> object:
    if len(at.words) != 3:
        complaint = "regex_stack requires start and max values"
    else:
        start, maximum = _unsigned(at.words[1]), _unsigned(at.words[2])
        if start is not None and maximum is not None and start <= maximum:
            return JitStack(start, maximum)
        complaint = "regex stack start cannot exceed max value"
        if start is None or maximum is None:
            complaint = f"regex_stack invalid {'start' if start is None else 'max'} value"
    run.log(complaint, at, code="regex-ignored")
    return FAILED


def _show_stack(found: JitStack | None) -> Iterable[str]:
    return () if found is None else (f"{found.start} {found.maximum}",)


def pattern_faults(run: Run, url: Any) -> None:
    """At the end of the page: is there a pattern where there are options for one, and can it be compiled?"""
    if url.regex is None:
        if any(url.written(keyword.attribute) for keyword in REGEX):
            run.log("regex parameters specified without regex", url.header, code="regex-ignored")
            for keyword in REGEX:
                url.__dict__.pop(keyword.attribute, None)
        return
    _compile(run, url)
    low, high = url.regex_min_offset, url.regex_max_offset
    if high is not None and low > high:
        run.log(
            f"regex min offset {low} > regex_max_offset {high} - ignoring",
            url.at("regex_max_offset"),
            code="regex-ignored",
        )
        url.regex_min_offset, url.regex_max_offset = 0, None


def _compile(run: Run, url: Any) -> None:
    if _ONLY_PCRE.search(url.regex):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(url.regex, re.VERBOSE if "extended" in url.regex_options else 0)
    except re.error as error:
        if error.msg.startswith(_ALSO_PCRE):
            place = error.pos if error.pos is not None else 0
            run.log(
                f"Invalid regex: '{url.regex}' at offset {place}: {error.msg}",
                url.at("regex"),
                code="invalid-regex",
            )


REGEX: list[Keyword[Any]] = [
    values.converted(
        "regex",
        "regex",
        _regex,
        "<QUOTED PATTERN>",
        help="a pattern (PCRE2) that the page must match; escapes are undone first",
        required=False,
        show=_show_regex,
        schema={"type": "string"},
        pure=False,
    ),
    values.flag("regex_no_match", "regex_no_match", help="the page must not match the pattern"),
    values.converted(
        "regex_options",
        "regex_options",
        _options,
        "<OPTION> ...",
        help="options of the pattern, with their names in PCRE2",
        required=False,
        show=values.show_words,
        schema={"type": "array", "items": {"enum": list(OPTIONS)}},
        options=tuple(values.option(name, help=help, default="off") for name, help in OPTIONS.items()),
        pure=False,
    ),
    _offset("regex_min_offset", "regex_min_offset", "min", "where matching begins", "0"),
    _offset("regex_max_offset", "regex_max_offset", "max", "where a match must begin at the latest", "none"),
    values.converted(
        "regex_stack",
        "regex_stack",
        _stack,
        "<START> <MAX>",
        unit="bytes",
        help="first and largest stack of the compiled pattern",
        required=False,
        show=_show_stack,
        schema={"type": "string"},
        pure=False,
    ),
]
