"""The quorums of several configurations: every member must go by the same list, and be one of its own.

Members that count differently could grant one lease twice, so what differs in the list is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from keepalived_py.config.lint.advice import Subject
from keepalived_py.config.lint.places import inside, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.model.raft import RaftCluster, RaftMember

CODE = "cluster-raft"
KEY = "cluster-raft-key"  # whose lines are not shown
_BLOCK = "raft_cluster"
ERROR, WARNING = Severity.ERROR, Severity.WARNING


def raft_findings(first: Subject, second: Subject) -> Iterator[Diagnostic]:
    """What contradicts between the quorums of two files."""
    ours: RaftCluster | None = first.configuration.raft
    theirs: RaftCluster | None = second.configuration.raft
    if ours is None and theirs is None:
        return
    if ours is None or theirs is None:
        has, lacks = (first, second) if ours is not None else (second, first)
        text = f"raft_cluster only in {has.file}, not in {lacks.file}"
        yield _finding(WARNING, text, _place(has))
        return
    if ours.id != theirs.id:
        text = (
            f"cluster_id {ours.id} in {first.file}, {theirs.id} in {second.file}: they never hear each other"
        )
        yield _finding(ERROR, text, _place(second, "cluster_id"))
    yield from _members(first, second, ours, theirs)
    yield from _own(first, second)
    if ours.key and theirs.key and ours.key != theirs.key:
        text = f"{first.file} and {second.file} have different keys: each refuses the messages of the other"
        yield _finding(ERROR, text, _place(second, "key_file"), code=KEY)
    elif bool(ours.key_file) != bool(theirs.key_file):
        with_key = first if ours.key_file else second
        text = f"key_file only in {with_key.file}: the others' messages are refused"
        yield _finding(ERROR, text, _place(second, "key_file"), code=KEY)
    yield from _rules(first, second, ours, theirs)


def is_witness(subject: Subject) -> bool:
    """Whether the file is that of a member that holds nothing."""
    raft: RaftCluster | None = subject.configuration.raft
    return raft is not None and raft.member(raft.own).witness


def _finding(severity: Severity, message: str, at: Origin | None, code: str = CODE) -> Diagnostic:
    return Diagnostic(code, message, severity, at, None, own=True)


def _place(subject: Subject, *paths: str) -> Origin | None:
    return nearest(subject.places.block(_BLOCK), *paths)


def _members(first: Subject, second: Subject, ours: RaftCluster, theirs: RaftCluster) -> Iterator[Diagnostic]:
    """The same members with the same address and part; their order decides between equals."""
    mine, others = ({one.id: one for one in each.members} for each in (ours, theirs))
    place = _place(second, "member")
    only = [f"{name} only in {first.file}" for name in mine if name not in others]
    only += [f"{name} only in {second.file}" for name in others if name not in mine]
    if only:
        yield _finding(ERROR, f"raft_cluster has different members: {', '.join(only)}", place)
    for name, one in mine.items():
        other = others.get(name)
        if other is not None and (one.endpoint, one.witness) != (other.endpoint, other.witness):
            text = f"member {name} is {_shown(one)} in {first.file}, {_shown(other)} in {second.file}"
            yield _finding(ERROR, text, place)
    if not only and list(mine) != list(others):
        text = f"the members stand in another order in {second.file}: the first of equals comes first"
        yield _finding(WARNING, text, place)


def _shown(one: RaftMember) -> str:
    return f"{one.endpoint}{' witness' if one.witness else ''}"


def _own(first: Subject, second: Subject) -> Iterator[Diagnostic]:
    """Only what the files say: by its addresses one machine is one member, whichever file it reads."""
    here, there = (inside(each.places.block(_BLOCK), "node_id") for each in (first, second))
    if here is not None and there is not None and here.words[1:2] == there.words[1:2]:
        text = f"node_id {there.words[1]} in {first.file} and in {second.file}: two machines, one member"
        yield _finding(ERROR, text, there.line_origin)


def _rules(first: Subject, second: Subject, ours: RaftCluster, theirs: RaftCluster) -> Iterator[Diagnostic]:
    """Times and what happens at a loss work best, or only, if all do the same."""
    for same, name, path in (
        (ours.timing == theirs.timing, "times", "timing"),
        (ours.fencing.takeover is theirs.fencing.takeover, "takeover", "takeover"),
        (ours.no_quorum is theirs.no_quorum, "no_quorum", "no_quorum"),
    ):
        if not same:
            text = f"raft_cluster: {first.file} and {second.file} differ in {name}"
            yield _finding(WARNING, text, _place(second, path))
