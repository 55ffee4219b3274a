"""`keepalived-py explain PATH`: what a keyword means, from the table that reads it."""

import argparse
import difflib
import sys
from collections.abc import Sequence

from keepalived_py.config.table import Place, found, places, remarks, signature

EXIT_UNKNOWN = 1


def run(words: Sequence[str]) -> int:
    """Print what is asked for; 1 if there is no such keyword."""
    options = parser().parse_args(words)
    hits = found(options.keyword) if options.keyword else []
    if not options.keyword:
        print("\n".join(place.path for place in places()))
        return 0
    if not hits:
        print(f"There is no keyword {options.keyword}.{_near(options.keyword)}", file=sys.stderr)
        return EXIT_UNKNOWN
    print("\n\n".join(explanation(place) for place in hits))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = argparse.ArgumentParser(
        prog="keepalived-py explain", description="Say what a keyword of the configuration means."
    )
    made.add_argument("keyword", nargs="?", help="like vrrp_instance/preempt_delay; without it, list all")
    return made


def explanation(place: Place) -> str:
    """One keyword: where it stands, how it is written, what it does."""
    keyword = place.keyword
    where = f"in {place.block}" if place.block else "at top level"
    head = f"{place.path}\n    {signature(keyword)}    ({'an option ' if place.option else ''}{where})"
    lines = [head, f"    {keyword.help}", *(f"    {remark}" for remark in remarks(keyword))]
    for option in keyword.options:
        lines.append(f"      {signature(option)}: {option.help}")
    if keyword.block is not None:
        inner = keyword.inner()
        if inner.entry_help:
            lines.append(f"    {inner.entry_help}")
        if inner.keywords:
            lines.append(f"    Inside: {', '.join(inner.keywords)}")
    return "\n".join(lines)


def _near(words: str) -> str:
    every = [place.path for place in places()]
    names = {path.rpartition("/")[2] for path in every}
    near = difflib.get_close_matches(words, every, n=3) or difflib.get_close_matches(words, names, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
