"""Where two daemons differ that were given the same play.

Compared after every step: the table as `ipvsadm -Sn` writes it, the kernel's own order
of each service's destinations (which shows the order of the operations), what the FIFO
said, the lines of the log that tell a decision, and what the step's commands answered.
Notify programs run beside each other and may overtake, so of their calls it is compared
which there were in the whole play, and how often.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Lines of the log that say what was decided; others differ in wording or are about the process.
_DECISIONS = re.compile(
    r"^(Adding|Removing|Enabling|Disabling|Gained quorum|Lost quorum|Starting with quorum|Changing weight"
    r"|Shutting down|VS \[|Activating healthchecker|Deactivating healthchecker|Suspending healthchecker"
    r"|TCP connection to .* success|TCP_CHECK on|Remote (Web|SMTP) server|HTTP_CHECK on|SSL_CHECK on"
    r"|DNS_CHECK on|UDP_CHECK on|UDP connection to .* success|ICMP|Misc check|service .* no longer exist"
    r"|IPVS cmd)"
)
_EACH = ("met", "table", "order", "looks", "did", "exit_code")
Steps = Sequence[Mapping[str, Any]]


# Checks of several servers are under way at once: which of two servers answers first is no decision.
_WELL = re.compile(r"succe(ss|ed)")
# Keepalived 2.2.7 calls the check of a page behind TLS as it calls the other one; newer ones do not.
_PAGE = re.compile(r"^(HTTP|SSL)_CHECK on")


def decisions(log: Sequence[str]) -> list[str]:
    """The lines that tell a decision, in words that all versions of keepalived share.

    At a reload 2.2.7 announces every check again, newer ones only those that have never run.
    """
    reloaded = any("einitializing ipvs" in line for line in log)
    lines = [_PAGE.sub("PAGE_CHECK on", line) for line in log if _DECISIONS.match(line)]
    return [line for line in lines if not (reloaded and line.startswith("Activating"))]


def calls(steps: Steps) -> list[str]:
    """Every call of a notify program."""
    return sorted(note for step in steps for note in step["notes"])


def unmet(result: Mapping[str, Any]) -> list[str]:
    """What did not come to pass in an arena: the laboratory's own faults, conditions that never held."""
    faults = [str(result["fault"])] if "fault" in result else []
    return faults + [f"{step['step']}: not in time" for step in result["steps"] if not step["met"]]


def differences(real: Mapping[str, Any], other: Mapping[str, Any], words: str = "other") -> list[str]:
    """One text for each difference; empty if the two cannot be told apart."""
    found = [f"{who}: {text}" for who, one in (("real", real), (words, other)) for text in unmet(one)]
    if len(real["steps"]) != len(other["steps"]):
        return [*found, f"{len(real['steps'])} steps against {len(other['steps'])}"]
    for left, right in zip(real["steps"], other["steps"], strict=True):
        found += [
            _difference(f"{left['step']}, {what}", expected, seen, words)
            for what, expected, seen in _pairs(left, right)
            if expected != seen
        ]
    expected, seen = calls(real["steps"]), calls(other["steps"])
    if expected != seen:
        found.append(_difference("notify programs", expected, seen, words))
    return found


def _pairs(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    sort = sorted if left["any_order"] else list
    pairs = [(what, left[what], right[what]) for what in _EACH]
    pairs.append(("fifo", sort(left["fifo"]), sort(right["fifo"])))
    told, answered = zip(*(_split(decisions(one["log"])) for one in (left, right)), strict=True)
    pairs.append(("log", sort(told[0]), sort(told[1])))
    pairs.append(("log of checks", sorted(answered[0]), sorted(answered[1])))
    return pairs


def _split(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    return [one for one in lines if not _WELL.search(one)], [one for one in lines if _WELL.search(one)]


def _difference(where: str, expected: Any, seen: Any, words: str) -> str:
    if isinstance(expected, list) and isinstance(seen, list):
        lines = [f"  real only: {line}" for line in expected if line not in seen]
        lines += [f"  {words} only: {line}" for line in seen if line not in expected]
        if lines:
            return "\n".join([f"{where}:", *lines])
    return f"{where}:\n  real: {expected}\n  {words}: {seen}"
