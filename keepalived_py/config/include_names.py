"""Which files an include means: glob(7) with braces, and whether something of it is missing.

keepalived distinguishes what a pattern names plainly and is not there (a file,
or the directory of a wildcard) from a wildcard that matches nothing.
"""

from __future__ import annotations

import os
import re
from fnmatch import filter as matching

_BRACES = re.compile(r"([^{}]*)\{([^{}]*)\}(.*)", re.DOTALL)
_MAGIC = re.compile(r"[*?[]")
_MAX_NAMES = 1024
MOST_DIRECTORIES = 2000  # that one include may look into: more is a slip like `/*/*/*`


def has_brace(pattern: str) -> bool:
    """Whether a pattern has alternatives."""
    return re.search(r"(?<!\\)\{", pattern) is not None


def brace_names(pattern: str) -> list[str]:
    """`a{b,c}d` is `abd` and `acd`; several braces multiply, up to a bound."""
    match = _BRACES.fullmatch(pattern)
    if match is None:
        return [pattern]
    before, inside, after = match.groups()
    tails = brace_names(after)
    return [before + part + tail for part in inside.split(",") for tail in tails][:_MAX_NAMES]


def find_names(pattern: str, folder: str) -> tuple[list[str], bool, bool]:
    """The names in `folder` that match, in keepalived's order; is any missing; was there a wildcard.

    A pattern that leads into more than MOST_DIRECTORIES directories counts as missing something.
    """
    names: list[str] = []
    missing = False
    looked: list[str] = []
    for part in brace_names(pattern):
        found, incomplete = _matches(part, folder, looked)
        names += found
        missing = missing or incomplete
    return names, missing, _MAGIC.search(pattern) is not None


def _matches(pattern: str, folder: str, looked: list[str]) -> tuple[list[str], bool]:
    if "\\" in pattern:  # it only hides what follows, and makes keepalived miss nothing
        pattern = re.sub(r"\\(.?)", r"\1", pattern, flags=re.DOTALL)
        return ([pattern] if os.path.lexists(os.path.join(folder, pattern)) else []), False
    if not _MAGIC.search(pattern):
        there = os.path.lexists(os.path.join(folder, pattern))
        return ([pattern] if there else []), not there
    head, slash, tail = pattern.rpartition("/")
    parents = [head]
    missing = False
    if _MAGIC.search(head):
        found, missing = _matches(head, folder, looked)
        parents = [name for name in found if os.path.isdir(os.path.join(folder, name))]
    names: list[str] = []
    for parent in parents:
        looked.append(parent)
        if len(looked) > MOST_DIRECTORIES:
            return names, True
        inside, incomplete = _inside(os.path.join(folder, parent + slash) or ".", tail)
        names += [parent + slash + name for name in inside]
        missing = missing or incomplete
    return names, missing


def _inside(directory: str, tail: str) -> tuple[list[str], bool]:
    if not _MAGIC.search(tail):
        there = os.path.lexists(os.path.join(directory, tail))
        return ([tail] if there else []), not there
    try:
        entries = os.listdir(directory)
    except OSError:
        return [], True
    return sorted(name for name in matching(entries, tail) if name[0] != "." or tail[0] == "."), False
