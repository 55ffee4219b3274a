"""`keepalived-py explain PATH`: what a keyword means, from the table that reads it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from textwrap import wrap
from typing import Any

from keepalived_py.cli.words import Parser
from keepalived_py.config.schema import Keyword
from keepalived_py.config.similar import belongs, closest
from keepalived_py.config.table import ENTRY, Place, default_of, found, places, remarks, sentence, signature

EXIT_UNKNOWN = 1
INDENT = "    "
_WIDTH = 96
_MOST_TEXTS = 6  # more meanings than this are listed by their paths only
_LONGEST_TERM = 28
_LONGEST_PATH = 44


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py explain",
        description="Say what a keyword of the configuration means, how it is written, and its default.",
    )
    made.add_argument(
        "keyword",
        nargs="?",
        help="like preempt_delay, or with its block: vrrp_instance/preempt_delay; without it, all are listed",
    )
    return made


def run(words: Sequence[str]) -> int:
    """Print what is asked for; 1 if there is no such keyword."""
    options = parser().parse_args(words)
    if not options.keyword:
        print("\n".join(place.path for place in places()))
        return 0
    hits = found(options.keyword)
    if not hits:
        print(f"There is no keyword {options.keyword}.{_near(options.keyword)}", file=sys.stderr)
        return EXIT_UNKNOWN
    print("\n".join(_texts(hits)))
    return 0


def _texts(hits: Sequence[Place]) -> Iterator[str]:
    """One text for each meaning, with all places that have it."""
    meanings: dict[tuple[object, ...], list[Place]] = {}
    for place in hits:
        keyword = place.keyword
        key = (signature(keyword), keyword.help, *remarks(keyword), *_inside(keyword))
        meanings.setdefault(key, []).append(place)
    if len(meanings) > _MOST_TEXTS:
        yield f"{len(hits)} keywords have this name; give the path of one:"
        yield from _columns(((place.path, place.keyword.help) for place in hits), _LONGEST_PATH)
        return
    for number, group in enumerate(meanings.values()):
        yield from ([""] if number else [])
        yield from explanation(group)


def explanation(group: Sequence[Place]) -> Iterator[str]:
    """One meaning: where it stands, how it is written, what it does."""
    keyword = group[0].keyword
    yield from (place.path for place in group)
    yield ""
    yield f"{INDENT}{signature(keyword)}"
    yield ""
    yield from _paragraph(sentence(keyword))
    said = remarks(keyword)
    if said:
        yield ""
        yield from chain.from_iterable(map(_paragraph, said))
    yield from _part("Words behind it:", map(_line, keyword.options))
    if keyword.block is None:
        return
    inner = keyword.inner()
    if inner.entry_help:
        arguments, _, meaning = inner.entry_help.partition(": ")
        yield from _part("Each line in it:", [(arguments, meaning)])
    if inner.keywords:
        title = "Inside it:" if inner.entry is None else "Words of a line:"
        yield from _part(title, map(_line, inner.keywords.values()))


def _inside(keyword: Keyword[Any]) -> tuple[str, ...]:
    """The names of what belongs to it."""
    inner = keyword.inner().keywords if keyword.block is not None else ()
    return (*(one.name for one in keyword.options), *inner)


def _line(keyword: Keyword[Any]) -> tuple[str, str]:
    """A keyword among others of its block."""
    default = "" if keyword.default in ("", "off", "none") else f" (default: {default_of(keyword)})"
    return signature(keyword), (keyword.help or f"another name of {keyword.alias}") + default


def _paragraph(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)


def _part(title: str, lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(_columns(lines))
    if listed:
        yield from ("", f"{INDENT}{title}", *(f"{INDENT}{line}" for line in listed))


def _columns(pairs: Iterable[tuple[str, str]], longest: int = _LONGEST_TERM) -> Iterator[str]:
    """Terms and their texts beside each other, or below each other where the term is long."""
    listed = list(pairs)
    short = [len(term) for term, _ in listed if len(term) <= longest]
    column = max(short, default=0) + 2
    for term, text in listed:
        if len(term) + 2 > column:
            yield f"  {term}"
            yield f"  {'':<{column}}{text}"
        else:
            yield f"  {term:<{column}}{text}"


def _near(words: str) -> str:
    """What may have been meant."""
    head, _, last = words.strip("/").rpartition("/")
    around = [place for place in places() if place.block == head or place.block.endswith(f"/{head}")]
    near = (
        closest(last, (place.keyword.name for place in around if place.keyword.name != ENTRY)) if head else ""
    )
    if near:
        meant = [place.path for place in around if place.keyword.name == near]
        return f" Did you mean {' or '.join(meant[:3])}?"
    names = {place.keyword.name for place in places()}
    if last in names:
        return f" {belongs(last).rstrip('., ')}." if belongs(last) else f" Try: keepalived-py explain {last}."
    near = closest(last, sorted(names))
    return f" Did you mean {near}?" if near else ""
