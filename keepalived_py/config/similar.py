"""Which keyword was meant: the nearest one of the block, or the block where the word belongs.

Near means few slips of the finger: a letter left out, doubled, wrong, or two
swapped (Damerau's four, each counting one).  Case, and `-` for `_`, count nothing.
Of equally near words the one that explains the slip without a wrong letter wins:
there are many wrong letters, but only one that can be left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import import_module

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}\Z")
_MOST_PLACES = 3
_SHORTEST = 3  # a shorter word may lack a letter, but with a wrong one it is another word
_SHORTEST_BEGINNING = 6
_LONG = 8
# What other programs, and people, call it.
OTHER_WORDS: dict[str, tuple[str, ...]] = {
    "algorithm": ("lvs_sched",),
    "auth_password": ("auth_pass",),
    "cert": ("certificate",),
    "device": ("interface",),
    "forward": ("lvs_method",),
    "iface": ("interface",),
    "method": ("lvs_method",),
    "nic": ("interface",),
    "on_backup": ("notify_backup",),
    "on_fault": ("notify_fault",),
    "on_master": ("notify_master",),
    "pass": ("auth_pass",),
    "password": ("auth_pass",),
    "peers": ("unicast_peer",),
    "port": ("connect_port",),
    "prio": ("priority",),
    "scheduler": ("lvs_sched",),
    "timeout": ("connect_timeout", "misc_timeout"),
    "type": ("auth_type",),
    "vip": ("virtual_ipaddress",),
    "vips": ("virtual_ipaddress",),
    "vrid": ("virtual_router_id",),
}


def closest(name: str, names: Iterable[str]) -> str:
    """The name most like `name`, or "" if none is near."""
    if not _WORD.match(name):
        return ""
    plain = _plain(name)
    most = _tolerance(plain)
    letters = Counter(plain)
    best = ""
    rank: tuple[int, bool, int, int, str] | None = None
    for candidate in names:
        other = _plain(candidate)
        if abs(len(other) - len(plain)) > most or (letters - Counter(other)).total() > most:
            continue
        slips = distance(plain, other)
        if slips > most or (slips and len(plain) < _SHORTEST and len(other) <= len(plain)):
            continue
        wrong = len(other) == len(plain) and sorted(other) != sorted(plain)
        mine = (slips, wrong, -_common_ends(plain, other), abs(len(other) - len(plain)), candidate)
        if rank is None or mine < rank:
            rank, best = mine, candidate
    return best


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _tolerance(name: str) -> int:
    """How many slips are believed: a short word with many of them is another word."""
    return 1 if len(name) < 5 else 2 if len(name) < 10 else 3


def _common_ends(one: str, other: str) -> int:
    """How many letters agree from the beginning, and from the end: slips are rarer there."""
    begin = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    end = sum(1 for _ in _agreeing(one[::-1], other[::-1]))
    return 2 * begin + end


def _agreeing(one: str, other: str) -> Iterable[str]:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return
        yield a


def distance(one: str, other: str) -> int:
    """The least number of slips that turn one word into the other (no letter changed twice)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        here = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, here[column - 1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            here.append(cost)
        before, last = last, here
    return last[-1]


@cache
def _blocks() -> dict[str, tuple[str, ...]]:
    """For each keyword of the language the names of the blocks that know it ("" is the top level)."""
    places = import_module("keepalived_py.config.table").places  # all blocks: paid for by a mistake only
    found: dict[str, dict[str, None]] = {}
    for place in places():
        if not (place.option or place.keyword.removed):
            found.setdefault(place.keyword.name, {})[place.block.rpartition("/")[2]] = None
    return {name: tuple(blocks) for name, blocks in found.items()}


def belongs(name: str) -> str:
    """Where a keyword may stand, as a note; "" if nowhere."""
    blocks = _blocks().get(name)
    if blocks is None or name.startswith("include"):
        return ""
    inside = [f"inside {block}" if block else "at the top level" for block in blocks[:_MOST_PLACES]]
    more = ", ..." if len(blocks) > _MOST_PLACES else ""
    return f"{name} belongs {' or '.join(inside)}{more}"


def _begun(name: str, names: Iterable[str]) -> str:
    """The keyword of which `name` is the beginning, if all keywords that begin so continue that one."""
    plain = _plain(name)
    if len(plain) < _SHORTEST_BEGINNING or not _WORD.match(name):
        return ""
    found = sorted((one for one in names if _plain(one).startswith(plain)), key=len)
    return found[0] if found and all(one.startswith(found[0]) for one in found) else ""


def _part(name: str, names: Iterable[str]) -> str:
    """The one keyword that has `name` as its end, or that `name` begins with, where a blank is missing."""
    plain = _plain(name)
    if len(plain) < _LONG or not _WORD.match(name):
        return ""
    found = [
        one for one in names if one.endswith("_" + plain) or (len(one) > _LONG and plain.startswith(one))
    ]
    longest = max(found, key=len, default="")
    return longest if all(longest.startswith(one) for one in found) else ""


@cache
def meant(name: str, block: str, names: tuple[str, ...]) -> tuple[str, str]:
    """For an unknown word of a block: the keyword that was meant ("" if none is near), and a note.

    `block` is the block's name, `names` are its keywords.
    """
    near = closest(name, names)
    if near and _plain(near) == _plain(name):
        return near, ""
    other = next((word for word in OTHER_WORDS.get(_plain(name), ()) if word in names), "")
    if other:
        return other, ""
    note = belongs(name)
    if note:
        return "", note
    near = near or _begun(name, names) or _part(name, names)
    if near:
        return near, ""
    elsewhere = "" if name in _blocks() else closest(name, _blocks())
    return elsewhere, belongs(elsewhere) if elsewhere else ""
