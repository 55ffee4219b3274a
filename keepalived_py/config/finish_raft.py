"""What is checked of `raft_cluster` and `election raft` when everything has been read.

keepalived has none of it, so there is nobody to be like: whatever is wrong here
keeps the program from starting, because members that go by different rules
could be two holders of one address.  `finish` completes the draft: which member
this machine is, where it listens, its key, its folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, MemberId
from keepalived_py.base.record import replace
from keepalived_py.config import script_security
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.raft_cluster import Agent, wrong
from keepalived_py.config.correct import DEFAULT_PRIORITY, OWNER_PRIORITY
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.raft_files import (
    DATA_ROOT,
    NO_KEY,
    RUN_ROOT,
    default_folder,
    local_address,
    reachable,
    read_key,
    unsendable,
)
from keepalived_py.config.schema import Run
from keepalived_py.config.similar import closest
from keepalived_py.config.written import Written, by_quorum
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import (
    CLOCK_ALLOWANCE_PERCENT,
    LOG_LEASE,
    PRESETS,
    FenceAgent,
    Fencing,
    NoQuorum,
    RaftCluster,
    RaftMember,
    RaftTiming,
    Takeover,
)
from keepalived_py.model.scripts import Command
from keepalived_py.model.vrrp import Instance

Cluster = Draft[RaftCluster]
AGENT_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def finish(run: Run) -> bool:
    """Check and complete what the quorum needs; False if nothing may be started."""
    written = run.written
    cluster = written.raft
    if cluster is not None:
        _complete(run, cluster)
    _instances(run, written)
    _leases(run, written)
    return not written.raft_failed


# The cluster -----------------------------------------------------------------


def _complete(run: Run, cluster: Cluster) -> None:
    _identity(run, cluster)
    _times(run, cluster)
    _losses(run, cluster)
    _programs(run, cluster)
    if cluster.written("key_file"):
        cluster.key = _key(run, cluster.key_file, cluster.at("key_file"))
    else:
        run.log(NO_KEY, cluster.header, code="raft-no-key")
    for field, folder in (("directory", DATA_ROOT), ("run_directory", RUN_ROOT)):
        _folder(run, cluster, field, folder)


def _identity(run: Run, cluster: Cluster) -> None:
    """Who the members are, and which of them this machine is."""
    header, members = cluster.header, tuple(cluster.members)
    if cluster.id is None:
        wrong(run, header, "cluster_id is missing", 0, expected="cluster_id NAME, the same on every member")
    if not members:
        wrong(run, header, "there are no members", 0, expected="member NAME ADDRESS:PORT, for each of them")
        return
    if all(one.witness for one in members):
        text = "all members are witnesses: nobody could hold anything"
        wrong(run, cluster.at("members"), text, expected="at least one member that is no witness")
    known = run.host.addresses()
    bound: Endpoint | None = cluster.bind
    if cluster.own is None:
        cluster.own = _found_own(run, cluster, members, known)
    else:
        _check_own(run, cluster, members, known)
    if bound is not None:
        _check_bind(run, cluster, bound, members, known)


def _found_own(
    run: Run, cluster: Cluster, members: tuple[RaftMember, ...], known: tuple[Address, ...] | None
) -> MemberId:
    """The one member whose address is one of this machine; without a machine the first one stands for it."""
    if known is None:
        return members[0].id
    local = [one for one in members if local_address(one.endpoint.host) in known]
    if len(local) == 1:
        return local[0].id
    if local:
        text = f"the addresses of {_listed(one.id for one in local)} are all of this machine"
        wrong(run, cluster.header, text, 0, expected="node_id NAME: which of them this is")
    else:
        text = f"no member has an address of this machine ({reachable(known)})"
        expected = "a member line with one of these, or node_id NAME if members are given by name"
        wrong(run, cluster.header, text, 0, expected=expected)
    return members[0].id


def _check_own(
    run: Run, cluster: Cluster, members: tuple[RaftMember, ...], known: tuple[Address, ...] | None
) -> None:
    at = cluster.at("own")
    own = next((one for one in members if one.id == cluster.own), None)
    if own is None:
        names = [str(one.id) for one in members]
        text = f"node_id '{cluster.own}' is no member: they are {_listed(names)}"
        wrong(run, at, text, 1, suggestion=closest(str(cluster.own), names), expected="the name of a member")
        return
    address = local_address(own.endpoint.host)
    if cluster.bind is None and address is not None and known is not None and address not in known:
        text = f"member {own.id} is this machine by its node_id, but {address} is not one of its addresses"
        expected = (
            f"one of {reachable(known)}, another node_id, or bind ADDRESS if others reach it through NAT"
        )
        wrong(run, cluster.lines[own.id], text, 2, expected=expected)


def _check_bind(
    run: Run,
    cluster: Cluster,
    bound: Endpoint,
    members: tuple[RaftMember, ...],
    known: tuple[Address, ...] | None,
) -> None:
    """A bind without a port has that of the own member."""
    own = next((one for one in members if one.id == cluster.own), members[0])
    cluster.bind = Endpoint(bound.host, bound.port or own.endpoint.port)
    address = local_address(bound.host)
    everywhere = address is not None and address.is_unspecified
    if known is not None and not everywhere and address not in known:
        text = f"bind {bound.host} is not an address of this machine"
        wrong(run, cluster.at("bind"), text, 1, expected=f"one of {reachable(known)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _times(run: Run, cluster: Cluster) -> None:
    """A promise must outlast lost heartbeats and, after all that is taken off it, the next renewal."""
    preset = PRESETS[cluster.preset]
    timing = RaftTiming(
        *(
            Micros(getattr(preset, field) if getattr(cluster, field) is None else getattr(cluster, field))
            for field in RaftTiming.fields
        )
    )
    cluster.timing = timing
    promise, heartbeat, margin = (value // 1000 for value in _three(timing))
    if 3 * timing.heartbeat_us > timing.promise_us:
        text = f"a promise of {promise} ms is too short for a heartbeat every {heartbeat} ms"
        at = cluster.at("heartbeat_us" if cluster.promise_us is None else "promise_us")
        wrong(run, at, text, expected=f"promise_time {3 * heartbeat} or more, or a shorter heartbeat_time")
    allowance_us = timing.promise_us * CLOCK_ALLOWANCE_PERCENT // 100
    rest_us = timing.promise_us - timing.heartbeat_us - allowance_us
    if timing.margin_us >= rest_us:
        text = (
            f"nothing is left of a promise of {promise} ms less a heartbeat of {heartbeat} ms, "
            f"a margin of {margin} ms and {CLOCK_ALLOWANCE_PERCENT} % for clocks"
        )
        wrong(run, cluster.at("margin_us"), text, expected="a longer promise_time or a smaller margin")


def _three(timing: RaftTiming) -> tuple[int, int, int]:
    return timing.promise_us, timing.heartbeat_us, timing.margin_us


def _losses(run: Run, cluster: Cluster) -> None:
    """Fencing and what depends on it."""
    fencing: Any = cluster.fencing
    takeover: Takeover = fencing.takeover
    if takeover is not Takeover.LEASE and fencing.script is None and not cluster.agents:
        text = f"takeover {takeover.value} needs something that shoots a member"
        wrong(run, fencing.at("takeover"), text, expected="fence_script or fence_agent")
    if cluster.no_quorum is NoQuorum.KEEP and takeover is not Takeover.FENCE_FIRST:
        text = "no_quorum keep is safe only where nobody takes over without shooting first"
        wrong(run, cluster.at("no_quorum"), text, expected="takeover fence_first, or no_quorum drop")
    names = [str(one.id) for one in cluster.members]
    for agent in cluster.agents:
        if agent.member and agent.member not in names:
            text = f"fence_agent for '{agent.member}', which is no member: they are {_listed(names)}"
            near = closest(agent.member, names)
            wrong(run, agent.at, text, 2, suggestion=near, expected="the name of a member")


# Programs and files ------------------------------------------------------------


def _programs(run: Run, cluster: Cluster) -> None:
    """Scripts and agents are judged as all other scripts are."""
    before = run.written.scripts_run
    fencing: Any = cluster.fencing
    if fencing.script is not None:
        judged = _judged(run, fencing.script, fencing.at("script"), "fence_script")
        values.part(cluster, "fencing", Fencing).script = judged
    found = [(agent.member, made) for agent in cluster.agents if (made := _agent(run, agent)) is not None]
    if cluster.agents:
        values.part(cluster, "fencing", Fencing).agents = tuple(found)
    if run.written.scripts_run and not before and not run.written.globals.script_security:
        script_security.report_violation(run, insecure=run.written.scripts_insecure)


def _agent(run: Run, agent: Agent) -> FenceAgent | None:
    command = agent.command
    if command is None:
        wrong(run, agent.at, "fence_agent: there is no user to run it as", expected="script_user USER")
        return None
    name = command.argv[0]
    if "/" not in name:  # their folder is not in the PATH of everybody
        full = next((f"{folder}/{name}" for folder in AGENT_FOLDERS if _there(run, f"{folder}/{name}")), name)
        command = replace(command, argv=(full,))
    judged = _judged(run, command, agent.at, "fence_agent")
    return None if judged is None else FenceAgent(judged, tuple(agent.options.items()))


def _there(run: Run, path: str) -> bool:
    return run.host.status(path) is not None


def _judged(run: Run, command: Command, at: Directive, what: str) -> Command | None:
    judged = script_security.judge(run, command)
    run.written.scripts_run |= judged.runs
    run.written.scripts_insecure |= judged.insecure
    if judged.command is None:
        text = f"{what} {command.argv[0]} cannot be run: {judged.access.value}"
        expected = "the full path of a program that only root may change"
        wrong(run, at, text, 1, code="script-not-found", expected=expected)
    return judged.command


def _key(run: Run, path: str, at: Directive) -> bytes:
    """The key; b"" after a complaint."""
    found = read_key(path, run.host)
    if isinstance(found, bytes):
        return found
    wrong(run, at, found.message, 1, code=found.code, expected=found.expected, error_class=found.error_class)
    return b""


def _folder(run: Run, cluster: Cluster, field: str, root: str) -> None:
    if not cluster.written(field):
        setattr(cluster, field, default_folder(root, str(cluster.id), str(cluster.own)))
    elif not getattr(cluster, field).startswith("/"):
        at = cluster.at(field)
        text = f"{at.keyword} '{getattr(cluster, field)}' is no absolute path"
        wrong(run, at, text, 1, expected="a path that begins with /")


# What is elected -----------------------------------------------------------------


def _instances(run: Run, written: Written) -> None:
    elected = [one for one in written.instances.values() if by_quorum(written, one)]
    if elected and written.raft is None:
        one = elected[0]
        at = one.at("election") if one.written("election") and one.election else one.header
        text = f"({one.name}) election raft needs a raft_cluster, and there is none"
        _refuse(run, at, text, expected="a raft_cluster block with cluster_id and the members")
    for one in elected:
        _instance(run, one)


def _instance(run: Run, one: Draft[Instance]) -> None:
    if one.base_priority == OWNER_PRIORITY:
        text = (
            f"({one.name}) priority {OWNER_PRIORITY} is for the owner of an address, and a quorum knows none"
        )
        _refuse(run, one.at("base_priority"), text, expected="a priority from 1 to 254")
    if one.base_priority is None:
        one.base_priority = DEFAULT_PRIORITY
    if one.vrid is not None:
        return
    if one.vmac is not None or one.vmac_addresses or any(entry.use_vmac for entry in _entries(one)):
        text = f"({one.name}) use_vmac needs a virtual_router_id, which the MAC address is made of"
        _refuse(run, one.header, text, expected="virtual_router_id, from 1 to 255")
    one.vrid = 0


def _entries(one: Draft[Instance]) -> Iterable[Any]:
    return (*one.addresses, *one.excluded_addresses)


def _refuse(run: Run, at: Directive, text: str, *, expected: str) -> None:
    run.written.raft_failed = True
    run.error(text, code="raft-instance", expected=expected, about=at, extension=True)


def _leases(run: Run, written: Written) -> None:
    """A group has one way to elect, and no two leases one name."""
    taken = {str(LOG_LEASE): "the log of the cluster"}
    grouped: dict[str, list[str]] = {}
    for name, group in written.groups.items():
        members = [written.instances[each] for each in group.members]
        ways = {by_quorum(written, one) for one in members}
        if len(ways) > 1:
            others = _listed(one.name for one in members if not by_quorum(written, one))
            text = f"sync group {name} has members with election raft, and {others} with election vrrp"
            _refuse(run, group.header, text, expected="the same election in all members of a group")
        if True in ways:
            _lease(run, taken, name, "a sync group", group.header)
            grouped[name] = [str(one.name) for one in members]
    for name, one in written.instances.items():
        if by_quorum(written, one) and one.__dict__.get("group") is None:
            _lease(run, taken, name, "an instance", one.header)
    cluster = written.raft
    if cluster is not None and not written.raft_failed:
        reason = unsendable(taken, [str(one.id) for one in cluster.members], grouped)
        if reason:
            expected = "fewer instances, sync groups of them, shorter names; names without control characters"
            _refuse(run, cluster.header, f"raft_cluster: {reason}", expected=expected)


def _lease(run: Run, taken: dict[str, str], name: str, what: str, at: Directive) -> None:
    if name in taken:
        text = f"'{name}' is the name of {taken[name]} and of {what}: both would be one lease"
        _refuse(run, at, text, expected="a name of its own for each group and instance with election raft")
    taken[name] = what
