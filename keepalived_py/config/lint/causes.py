"""Which diagnostics merely follow from another one, as far as the blocks tell.

An address that cannot be read leaves its list empty, and an empty list is
complained about as well; a script that is dropped is then "not found" by all
who track it.  Each row of `FOLLOWS` names a complaint and the keywords in whose
statements its cause may lie; the cause is looked for in the same block.  What
depends on names, or on a header that was refused, has a function of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from keepalived_py.base.record import Record, replace
from keepalived_py.config.document import Directive, directive_of
from keepalived_py.config.lint.scene import Chain, Scene
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

# Code of the complaint: keywords of the statements whose mistakes lead to it; () are all of the block.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "authentication": ("auth_pass", "auth_type"),
    "empty-group": ("group",),
    "empty-server-group": (),
    "missing-check": (),
    "missing-keyword": ("name", "track_file"),
    "missing-router-id": ("virtual_router_id",),
    "missing-script": ("misc_path", "script"),
    "missing-value": ("neighbor_ip",),
    "no-addresses": ("virtual_ipaddress",),
    "no-lvs-method": ("lb_kind", "lvs_method"),
    "no-protocol": ("protocol",),
    "no-real-servers": ("real_server",),
    "no-scheduler": ("lb_algo", "lvs_sched"),
    "no-unicast-peers": ("unicast_peer",),
    "unknown-interface": ("interface",),
}
# Complaints that name a thing which is not there: what things, in which blocks they are defined.
NAMED = (
    (re.compile(r"track script (?P<name>\S+) not found"), "vrrp_script"),
    (re.compile(r"track check (?P<name>\S+) not found"), "vrrp_check"),
    (re.compile(r"track(?:_| )file (?P<name>\S+) not found"), "track_file"),
    (re.compile(r"track process (?P<name>\S+) not found"), "vrrp_track_process"),
    (re.compile(r"track bfd (?P<name>\S+) not found|BFD (?P<other>\S+) not configured"), "bfd_instance"),
    (re.compile(r"Virtual router (?P<name>\S+) specified in sync group"), "vrrp_instance"),
    (re.compile(r"vrrp instance (?P<name>\S+) specified in track group"), "vrrp_instance"),
    (re.compile(r"Virtual server group (?P<name>\S+) specified but not configured"), "virtual_server_group"),
)
_DROPPED = re.compile(r"removing|removed|ignoring|disabling|[Uu]nable|not found|does not exist|No script")
_OUT_OF_PLACE = frozenset({ErrorClass.UNKNOWN_KEYWORD, ErrorClass.MISSING_BRACE})
_REFUSED = frozenset({"missing-name", "unterminated-quote"})


class Reference(Record):
    """A name that a diagnostic says is not defined, and the keyword of the blocks that define such."""

    name: str
    keyword: str


def reference(one: Diagnostic) -> Reference | None:
    """What the diagnostic misses, if it misses something that has a name."""
    for pattern, keyword in NAMED:
        match = pattern.search(one.message)
        if match is not None:
            return Reference(next(filter(None, match.groups())), keyword)
    return None


def with_causes(found: Sequence[Diagnostic], scene: Scene) -> list[Diagnostic]:
    """The diagnostics, each that follows from another one with its `cause`."""
    chains = [scene.chain(one.place) for one in found]
    inside = _by_block(found, chains)
    headless = _after_refused(found, scene)
    result = []
    for one, chain in zip(found, chains, strict=True):
        cause = None
        if one.cause is None and not one.own and one.spoils is None:
            cause = headless.get(id(one)) or _cause(one, chain, inside, scene, found)
        if cause is None and _is_total(one):
            cause = next((other for other in found if other.code == one.code and other.origin), None)
        result.append(replace(one, cause=cause) if cause is not None else one)
    return result


Inside = dict[int, list[tuple[Diagnostic, Chain]]]  # by the identity of a block


def _by_block(found: Sequence[Diagnostic], chains: Sequence[Chain]) -> Inside:
    """What is said about the inside of each block, with the way from it to the statement."""
    inside: Inside = {}
    for one, chain in zip(found, chains, strict=True):
        if one.own or one.place is None:
            continue
        for depth, block in enumerate(chain):
            if block.body is not None:
                inside.setdefault(id(block), []).append((one, chain[depth + 1 :]))
    return inside


def _is_total(one: Diagnostic) -> bool:
    """keepalived ends its look at interfaces with one line more, which names none."""
    return one.error_class is ErrorClass.BAD_INTERFACE and one.place is None


def _drops(one: Diagnostic) -> bool:
    """Whether a mistake in a definition is a reason to go on without the thing defined."""
    refused = not one.logged_only and one.code != "script-security"
    return refused and _DROPPED.search(one.message) is not None


def _misses(other: Diagnostic, unused: Diagnostic) -> bool:
    """Whether the other complaint misses the script or check that this one calls unused."""
    missed = reference(other)
    return missed is not None and f" {missed.name} is not used" in unused.message


def _cause(
    one: Diagnostic, chain: Chain, inside: Inside, scene: Scene, every: Sequence[Diagnostic]
) -> Diagnostic | None:
    missing = reference(one)
    if missing is not None:
        block = scene.places.block(missing.keyword, missing.name)
        said = inside.get(id(block), ())
        return next((other for other, _ in said if other is not one and _drops(other)), None)
    if one.code in ("unused-script", "unused-check"):
        return next((other for other in every if _misses(other, one)), None)
    words = FOLLOWS.get(one.code)
    block = next((each for each in reversed(chain) if each.body is not None), None)
    if words is None or block is None:
        return None
    for other, way in inside.get(id(block), ()):
        if other is not one and (other.code != one.code or other.origin) and _leads(one, other, way, words):
            return other
    return None


def _leads(one: Diagnostic, other: Diagnostic, way: Chain, words: tuple[str, ...]) -> bool:
    """Whether the other mistake, that many blocks deeper, may have led to this one."""
    if not words or other.suggestion in words or any(each.keyword in words for each in way):
        return True
    opened = other.code == "unknown-keyword" and bool(way) and way[-1].body is not None
    return opened and one.code.startswith("no-")


def _after_refused(found: Sequence[Diagnostic], scene: Scene) -> dict[int, Diagnostic]:
    """What stands behind a header that opened no block is read at the top level, and unknown there."""
    by_line: dict[tuple[str, int], list[Diagnostic]] = {}
    for one in found:
        if one.place is not None:
            by_line.setdefault((one.place.file, one.place.line), []).append(one)
    if not any(one.code in _REFUSED for one in found):
        return {}
    causes: dict[int, Diagnostic] = {}
    cause: Diagnostic | None = None
    for statement in scene.places.directives:
        said = by_line.get(_line(directive_of(statement)), [])
        refused = next((one for one in said if one.code in _REFUSED), None)
        unknown = [one for one in said if one.error_class in _OUT_OF_PLACE]
        if refused is not None:
            cause = refused if directive_of(statement).body is None else None
        elif not unknown:
            cause = None
        elif cause is not None:
            causes.update((id(one), cause) for one in unknown)
    return causes


def _line(one: Directive) -> tuple[str, int]:
    return one.line_origin.file, one.line_origin.line
