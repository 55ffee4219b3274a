"""`raft_cluster`: the members that elect by quorum who holds what.

keepalived has no such block.  A member is a name and the address at which the
others reach it; a majority of the members decides.  What is wrong in here is
never passed over: a machine that reads the list of members otherwise than the
others do could be the second holder of an address, so nothing is started.

What can only be judged once everything is read stands in `config.finish_raft`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.commands import read_program
from keepalived_py.config.blocks.notify import SCHEMA as COMMAND_SCHEMA
from keepalived_py.config.blocks.notify import show_command
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block, entries
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import (
    PRESETS,
    FenceAgent,
    FencePolicy,
    Fencing,
    NoQuorum,
    RaftCluster,
    RaftMember,
    RaftTiming,
    Takeover,
)
from keepalived_py.model.scripts import Command

MILLISECOND = 1000
SECOND = 1_000_000
MOST_MEMBERS = 31
MOST_PORT = 65535
PROMISE_MS = (50, 60_000)
HEARTBEAT_MS = (5, 20_000)
MARGIN_MS = (1, 10_000)
FENCE_TIMEOUT_S = (1, 3600)
FENCE_DELAY_S = (0, 600)
MOST_OPTIONS = 64

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}\Z")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\](?::([0-9]{1,5}))?\Z")
_PLAIN = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?\Z")
_HOST = re.compile(r"(?!.{255})(?!(?:.*[.])?[0-9]+\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?[.]?\Z")

Cluster = Draft[RaftCluster]
Read = Callable[[Run, Any, Directive], None]


def wrong(
    run: Run,
    at: Directive | None,
    text: str,
    word: int | None = None,
    *,
    expected: str = "",
    code: str = "raft-cluster",
    **more: Any,
) -> None:
    """Report what makes the cluster unusable; nothing is started with it."""
    run.written.raft_asked = run.written.raft_failed = True
    message = f"raft_cluster: {text}"
    run.error(message, at, word=word, expected=expected, code=code, extension=True, **more)


# Words -----------------------------------------------------------------------


def parse_endpoint(text: str, default_port: int = 0) -> Endpoint | None:
    """`ADDRESS:PORT`, `[IPV6]:PORT` or `NAME:PORT`; without a port `default_port`, if that is not 0."""
    found = _BRACKETED.match(text) or _PLAIN.match(text)
    host, port = (found[1], found[2]) if found is not None else (text, None)
    if port is None and not default_port:
        return None
    number = default_port if port is None else int(port)
    return Endpoint(host, number) if _host(host) and 0 < number <= MOST_PORT else None


def _host(text: str) -> bool:
    try:
        return bool(IPv6Address(text) if ":" in text else IPv4Address(text))
    except AddressValueError:
        return _HOST.match(text) is not None


def _name(run: Run, at: Directive, what: str) -> str | None:
    word = at.words[1]
    if _NAME.match(word):
        return word
    expected = "1 to 64 of a-z A-Z 0-9 . _ : -"
    wrong(run, at, f"'{word}' cannot be a {what}", 1, expected=expected)
    return None


def _number(run: Run, at: Directive, word: int, low: int, high: int, unit: str) -> int | None:
    text = at.words[word]
    if text.isascii() and text.isdecimal() and low <= int(text) <= high:
        return int(text)
    expected = f"a whole number from {low} to {high} ({unit})"
    what = at.keyword if word == 1 else at.words[word - 1]
    wrong(run, at, f"{what} '{text}' is out of range", word, expected=expected)
    return None


def _put(target: Any, attribute: str, value: Any, at: Directive) -> None:
    setattr(target, attribute, value)
    target.given[attribute] = at


def _fencing(target: Cluster) -> Draft[Any]:
    return values.part(target, "fencing", Fencing)


# Who ---------------------------------------------------------------------------


def _cluster_id(run: Run, target: Cluster, at: Directive) -> None:
    name = _name(run, at, "cluster_id")
    if name is not None:
        _put(target, "id", name, at)


def _node_id(run: Run, target: Cluster, at: Directive) -> None:
    name = _name(run, at, "node_id")
    if name is not None:
        _put(target, "own", MemberId(name), at)


def _member(run: Run, target: Cluster, at: Directive) -> None:
    name = _name(run, at, "name of a member")
    endpoint = parse_endpoint(at.words[2]) if len(at.words) > 2 else None
    if name is None:
        return
    if endpoint is None:
        shown = f"member {name} needs ADDRESS:PORT, which '{' '.join(at.words[2:3])}' is not"
        expected = "IPV4:PORT, [IPV6]:PORT or NAME:PORT"
        wrong(run, at, shown, min(2, len(at.words) - 1), expected=expected)
        return
    address = values.address(endpoint.host.partition("%")[0])
    if address is not None and (address.is_unspecified or address.is_multicast):
        text = f"{address} is no address of a machine, so it cannot be that of member {name}"
        wrong(run, at, text, 2, expected="the address at which the other members reach it")
        return
    options = _options(run, at)
    if options is None or not _unused(run, target, name, endpoint, at):
        return
    if len(target.members) == MOST_MEMBERS:
        wrong(run, at, f"more than {MOST_MEMBERS} members", expected="3 or 5 members")
        return
    witness, delay_us = options
    target.add("members", RaftMember(MemberId(name), endpoint, witness, delay_us))
    target.lines[name] = at


def _options(run: Run, at: Directive) -> tuple[bool, Micros] | None:
    """What stands behind the address: whether it is a witness, and its fence_delay."""
    witness, delay_us, place = False, Micros(0), 3
    while place < len(at.words):
        word = at.words[place]
        if word == "witness":
            witness = True
        elif word == "fence_delay" and place + 1 < len(at.words):
            place += 1
            seconds = _number(run, at, place, *FENCE_DELAY_S, "seconds")
            if seconds is None:
                return None
            delay_us = Micros(seconds * SECOND)
        else:
            text = f"unknown option '{word}' of member {at.words[1]}"
            wrong(run, at, text, place, expected="witness or fence_delay SECONDS")
            return None
        place += 1
    return witness, delay_us


def _unused(run: Run, target: Cluster, name: str, endpoint: Endpoint, at: Directive) -> bool:
    for other in target.members:
        if other.id == name:
            text = f"member {name} is there twice"
            wrong(run, at, text, 1, expected="a name of its own for each member", code="duplicate")
            return False
        if same_place(other.endpoint, endpoint):
            text = f"members {other.id} and {name} have the same address {endpoint}"
            wrong(run, at, text, 2, expected="an address of its own for each member", code="duplicate")
            return False
    return True


def same_place(one: Endpoint, other: Endpoint) -> bool:
    """Whether both are the same port of the same host, however it is written."""
    return one.port == other.port and _canonical(one.host) == _canonical(other.host)


def _canonical(host: str) -> str:
    found = values.address(host)
    return host.lower().rstrip(".") if found is None else str(found)


def _show_member(members: tuple[RaftMember, ...]) -> Iterable[str]:
    return tuple(_member_words(one) for one in members)


def _member_words(one: RaftMember) -> str:
    delay = f" fence_delay {one.fence_delay_us // SECOND}" if one.fence_delay_us else ""
    return f"{one.id} {one.endpoint}{' witness' if one.witness else ''}{delay}"


def _bind(run: Run, target: Cluster, at: Directive) -> None:
    """Without a port, that of the own member is meant, which is not known yet: 0."""
    text = at.words[1]
    with_port = parse_endpoint(text)
    bare = parse_endpoint(text if ":" not in text or text.startswith("[") else f"[{text}]", 1)
    host = with_port or bare
    if host is None or values.address(host.host.partition("%")[0]) is None:
        expected = "an address of this machine, with or without :PORT ([IPV6]:PORT)"
        wrong(run, at, f"bind '{text}' is no address", 1, expected=expected)
        return
    _put(target, "bind", host if with_port is not None else Endpoint(host.host, 0), at)


# When --------------------------------------------------------------------------


def _timing(run: Run, target: Cluster, at: Directive) -> None:
    word = at.words[1]
    if word not in PRESETS:
        wrong(run, at, f"timing '{word}' is not known", 1, expected=" or ".join(PRESETS))
        return
    _put(target, "preset", word, at)


def _duration(name: str, low_ms: int, high_ms: int) -> Read:
    def read(run: Run, target: Cluster, at: Directive) -> None:
        found = _number(run, at, 1, low_ms, high_ms, "milliseconds")
        if found is not None:
            _put(target, name, Micros(found * MILLISECOND), at)

    return read


def _show_preset(timing: RaftTiming) -> Iterable[str]:
    return tuple(name for name, found in PRESETS.items() if found == timing)[:1]


def _show_duration(attribute: str) -> Callable[[RaftTiming], Iterable[str]]:
    def show(timing: RaftTiming) -> Iterable[str]:
        """Only where no preset says it all."""
        known = timing in PRESETS.values()
        return () if known else (str(getattr(timing, attribute) // MILLISECOND),)

    return show


def _milliseconds(name: str, attribute: str, limits: tuple[int, int], help: str) -> Keyword[Any]:
    low, high = limits
    return values.custom(
        name,
        _duration(attribute, low, high),
        f"<INT {low}..{high}>",
        default="that of timing",
        unit="ms",
        help=help,
        attribute="timing",
        show=_show_duration(attribute),
        schema={"type": "integer", "minimum": low, "maximum": high},
        extension=True,
    )


# Fencing -------------------------------------------------------------------------


def _choice(
    name: str,
    attribute: str,
    choices: dict[str, Any],
    *,
    fencing: bool,
    **more: Any,
) -> Keyword[Any]:
    """One word of a fixed set; another one makes the cluster unusable."""

    def read(run: Run, target: Cluster, at: Directive) -> None:
        word = at.words[1]
        if word in choices:
            _put(_fencing(target) if fencing else target, attribute, choices[word], at)
        else:
            wrong(run, at, f"{name} '{word}' is not known", 1, expected=" or ".join(choices))

    return values.custom(
        name,
        read,
        "|".join(choices),
        attribute=f"fencing.{attribute}" if fencing else attribute,
        show=lambda found: tuple(word for word, value in choices.items() if value == found)[:1],
        schema={"enum": list(choices)},
        extension=True,
        **more,
    )


def _script(run: Run, target: Cluster, at: Directive) -> None:
    command = read_program(run, at, "fence")
    if command is None:
        wrong(run, at, "fence_script cannot be used", expected='"PROGRAM ARGUMENT ..." [USER [GROUP]]')
        return
    _put(_fencing(target), "script", command, at)


def _fence_timeout(run: Run, target: Cluster, at: Directive) -> None:
    seconds = _number(run, at, 1, *FENCE_TIMEOUT_S, "seconds")
    if seconds is not None:
        _put(_fencing(target), "timeout_us", Micros(seconds * SECOND), at)


class Agent:
    """A `fence_agent` block while it is read; `member` "": it shoots every member."""

    def __init__(self, command: Command | None, member: MemberId, at: Directive) -> None:
        self.command = command
        self.member = member
        self.at = at
        self.options: dict[str, str] = {}


def _open_agent(run: Run, target: Cluster, at: Directive) -> Agent:
    from keepalived_py.config.blocks.script_users import owner  # few clusters have an agent

    name, member = at.words[1], MemberId(at.words[2] if len(at.words) > 2 else "")
    found = owner(run, at, ())
    command = None if found is None else Command((name,), found.uid, found.gid, found.user, found.group)
    agent = Agent(command, member, at)
    if any(other.member == member for other in target.agents):
        whom = f"member {member}" if member else "every member"
        text = f"there is a fence_agent for {whom} already"
        wrong(run, at, text, expected="one for each member", code="duplicate")
    target.agents.append(agent)
    return agent


def _agent_option(run: Run, target: Agent, at: Directive) -> None:
    """The value is all that stands behind the name; quotes keep blanks."""
    name, value = at.words[0], " ".join(at.words[1:])
    if not name.replace("_", "").replace("-", "").isalnum() or len(at.words) < 2:
        wrong(run, at, f"fence_agent: '{name}' is no NAME VALUE", 0, expected="an option of the agent")
    elif name in target.options:
        wrong(run, at, f"fence_agent: {name} is there twice", 0, code="duplicate")
    elif len(target.options) == MOST_OPTIONS:
        wrong(run, at, f"fence_agent: more than {MOST_OPTIONS} options", 0)
    else:
        target.options[name] = value


def _agent_header(pair: tuple[MemberId, FenceAgent]) -> str:
    member, agent = pair
    return " ".join(filter(None, (values.quoted(agent.command.argv[0]), str(member))))


def _agent_options(pair: tuple[MemberId, FenceAgent]) -> Iterable[tuple[str, str]]:
    return pair[1].options


FENCE_AGENT: Block[Any] = entries(
    "raft_cluster/fence_agent",
    _agent_option,
    show_header=_agent_header,
    show_entry=lambda pair: f"{pair[0]} {values.quoted(pair[1])}",
    listed=_agent_options,
    entry_help="<OPTION> <VALUE>: given to the agent on its standard input as OPTION=VALUE",
)

# The block -------------------------------------------------------------------------

_MEMBERS: tuple[Keyword[Any], ...] = (
    values.custom(
        "cluster_id",
        _cluster_id,
        "<NAME>",
        help="name of the cluster; members of other clusters are not listened to",
        attribute="id",
        show=values.show_text,
        schema={"type": "string"},
        extension=True,
    ),
    values.custom(
        "node_id",
        _node_id,
        "<NAME>",
        default="the member whose address is one of this machine",
        help="which of the members this machine is",
        attribute="own",
        show=values.show_text,
        schema={"type": "string"},
        extension=True,
    ),
    values.custom(
        "member",
        _member,
        "<NAME> <ADDRESS>:<PORT> [witness] [fence_delay <INT 0..600>]",
        help="one of those that elect, this machine included; the same lines on every member",
        attribute="members",
        show=_show_member,
        schema={"type": "array", "items": {"type": "string"}},
        extension=True,
        options=(
            values.option("witness", "", "it votes and never holds anything", default="off", extension=True),
            values.option(
                "fence_delay",
                "<INT 0..600>",
                "how long it waits before it shoots, so that two members do not shoot each other",
                default="0",
                unit="s",
                extension=True,
            ),
        ),
    ),
    values.custom(
        "bind",
        _bind,
        "<ADDRESS>[:<PORT>]",
        default="the address of the own member",
        help="where messages are received and sent from",
        attribute="bind",
        show=values.show_text,
        schema={"type": "string"},
        extension=True,
    ),
    values.path(
        "key_file",
        "key_file",
        default="none: only addresses are checked",
        help="32 to 1024 bytes that all members share and that sign every message; mode 0600",
        extension=True,
    ),
)

_TIMES: tuple[Keyword[Any], ...] = (
    values.custom(
        "timing",
        _timing,
        "|".join(PRESETS),
        default="lan",
        help="the three times below, for a kind of network",
        attribute="timing",
        show=_show_preset,
        schema={"enum": list(PRESETS)},
        extension=True,
    ),
    _milliseconds(
        "promise_time",
        "promise_us",
        PROMISE_MS,
        "how long a member supports nobody but the holder; a takeover needs about as long",
    ),
    _milliseconds("heartbeat_time", "heartbeat_us", HEARTBEAT_MS, "how often the promises are renewed"),
    _milliseconds("margin", "margin_us", MARGIN_MS, "how much before its end the holder gives up"),
)

_PLACES: tuple[Keyword[Any], ...] = (
    values.path(
        "data_directory",
        "directory",
        default="/var/lib/keepalived-py/<cluster>/<member>",
        help="where the log of the cluster is kept",
        extension=True,
    ),
    values.path(
        "run_directory",
        "run_directory",
        default="/run/keepalived-py/<cluster>/<member>",
        help="where the control socket and the status for readers are",
        extension=True,
    ),
)

_LOSSES: tuple[Keyword[Any], ...] = (
    _choice(
        "no_quorum",
        "no_quorum",
        {one.value: one for one in NoQuorum},
        fencing=False,
        default="drop",
        help="what a holder does that cannot reach a majority; keep needs takeover fence_first",
    ),
    _choice(
        "takeover",
        "takeover",
        {one.value: one for one in Takeover},
        fencing=True,
        default="lease",
        help="what must have happened before an address is taken from a member that did not give it up",
    ),
    values.custom(
        "fence_script",
        _script,
        '"<CMD>" [<USER> [[:]<GROUP>]]',
        help="run to shoot a member; exit code 0: it is off for certain",
        attribute="fencing.script",
        show=show_command,
        schema=COMMAND_SCHEMA,
        extension=True,
    ),
    values.custom(
        "fence_timeout",
        _fence_timeout,
        f"<INT {FENCE_TIMEOUT_S[0]}..{FENCE_TIMEOUT_S[1]}>",
        default="20",
        unit="s",
        help="after this time the fencing has failed",
        attribute="fencing.timeout_us",
        show=lambda found: (str(found // SECOND),),
        schema={"type": "integer", "minimum": FENCE_TIMEOUT_S[0], "maximum": FENCE_TIMEOUT_S[1]},
        extension=True,
    ),
    _choice(
        "fence_failure",
        "on_failure",
        {one.value: one for one in FencePolicy},
        fencing=True,
        default="wait",
        help="after a fencing that failed: try again and wait, or take over all the same",
    ),
    Keyword(
        "fence_agent",
        arguments="<NAME>|<PATH> [<MEMBER>]",
        help="one of ClusterLabs' fence agents, for one member or for all",
        required=True,
        block=FENCE_AGENT,
        open=_open_agent,
        attribute="fencing.agents",
        extension=True,
        secret=True,
    ),
)

BLOCK: Block[Any] = block("raft_cluster", [*_MEMBERS, *_TIMES, *_PLACES, *_LOSSES], record=RaftCluster)


def opened(run: Run, written: Written, at: Directive) -> Cluster:
    """The draft; there can be but one."""
    values.list_block(run, at)
    draft = Draft(
        RaftCluster,
        at,
        members=[],
        lines={},
        agents=[],
        preset="lan",
        said=len(run.diagnostics),
        promise_us=None,
        heartbeat_us=None,
        margin_us=None,
    )
    written.raft_asked = True
    if written.raft is not None:
        wrong(run, at, "there is one already", 0, expected="one raft_cluster", code="duplicate")
        return draft
    written.raft = draft
    return draft


def closed(run: Run, cluster: Cluster, at: Directive) -> None:
    """A word that nobody knows may be the misspelt one that matters: then nothing is started either."""
    found = run.diagnostics[cluster.said :]
    if any(one.severity is Severity.ERROR and not one.logged_only for one in found):
        run.written.raft_failed = True
