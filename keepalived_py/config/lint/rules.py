"""All lints, and running them on one configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from keepalived_py.config.lint import addresses, checks, groups, instances, kernel, raft, scripts, servers
from keepalived_py.config.lint.advice import Lint, Subject
from keepalived_py.config.lint.places import Switches
from keepalived_py.diagnostics.report import Diagnostic

LINTS: tuple[Lint, ...] = (
    *instances.LINTS,
    *addresses.LINTS,
    *groups.LINTS,
    *scripts.LINTS,
    *checks.LINTS,
    *servers.LINTS,
    *kernel.LINTS,
    *raft.LINTS,
)
# keepalived only logs these, without a place; a lint of the same code says more.
REPLACED = frozenset(("script-not-found", "script-not-executable", "insecure-script", "raft-no-key"))


def linted(subject: Subject, found: Iterable[Diagnostic], ignored: Collection[str] = ()) -> list[Diagnostic]:
    """The diagnostics `found` with those of the lints, without what is switched off.

    Only what does not decide the exit code can be switched off.
    """
    advice = [one for lint in LINTS if lint.code not in ignored for one in lint.diagnostics(subject)]
    said = {one.code for one in advice}
    kept = [one for one in found if not (one.logged_only and one.code in REPLACED and one.code in said)]
    return list(without_ignored((*kept, *advice), Switches(subject.places.sources()), ignored))


def without_ignored(
    found: Iterable[Diagnostic], switches: Switches | None, ignored: Collection[str]
) -> Iterator[Diagnostic]:
    """What is not switched off, on the command line or by a comment."""
    for one in found:
        optional = one.own or one.logged_only
        if optional and (one.code in ignored or (switches is not None and switches.off(one.code, one.place))):
            continue
        yield one
