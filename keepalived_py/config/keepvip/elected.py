"""What is run for a keep-vip file: one instance whose holder a quorum elects.

keep-vip lets the leader of its Raft cluster hold the address.  Here the address is
what one instance holds, the leader of the log is whoever has the instance's
lease, and the checks are scripts that connect.  A member whose checks fail is
no candidate.
"""

from __future__ import annotations

from keepalived_py.base.names import InstanceName, InterfaceName, LeaseName, MemberId, ScriptName
from keepalived_py.base.record import Record
from keepalived_py.config.host import Host
from keepalived_py.config.raft_files import (
    DATA_ROOT,
    NO_KEY,
    RUN_ROOT,
    default_folder,
    reachable,
    read_key,
    unsendable,
)
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.model.cluster import Cluster, Member, TcpCheck
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Election, Globals
from keepalived_py.model.network import VirtualAddress
from keepalived_py.model.raft import PRESETS, RaftCluster, RaftMember
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.model.tracking import CheckScript, TrackedScript
from keepalived_py.model.vrrp import GratuitousArp, Instance

NAME = "keep-vip"
HOST_SCOPE = 254


class Elected(Record):
    """`member`: this machine is one, and can be started with it."""

    configuration: Configuration
    diagnostics: tuple[Diagnostic, ...]
    member: bool


def elected(cluster: Cluster, host: Host) -> Elected:
    """The whole configuration for `cluster`, as it is run on the machine `host`.

    Where this machine is no member, the configuration is that of the first one.
    """
    known = host.addresses()
    local = [one for one in cluster.members if known is not None and one.address in known]
    said: list[Diagnostic] = []
    if known is not None and len(local) != 1:
        said.append(_nobody(local, reachable(known)))
    own = local[0] if local else cluster.members[0]
    reason = unsendable((str(cluster.vip),), (one.id for one in cluster.members))
    if reason:
        text = f"The members cannot be told of each other: {reason}"
        expected = "at most 64 members, with ids of 1 to 255 characters and no control characters"
        said.append(Diagnostic("invalid-value", text, expected=expected, extension=True))
    key, faults = _key(cluster, host, usable=len(local) == 1)
    raft = _raft(cluster, own, key)
    made = Configuration(
        globals=Globals(router_id=host.host_name()),
        instances=(_instance(cluster, host),),
        scripts=tuple(_script(cluster, name, check) for name, check in _named(cluster.checks)),
        cluster=cluster,
        raft=raft,
    )
    said.extend(faults)
    return Elected(made, tuple(said), len(local) == 1 and not any(map(_stops, said)))


def _stops(one: Diagnostic) -> bool:
    return one.severity is Severity.ERROR


def _nobody(local: list[Member], addresses: str) -> Diagnostic:
    """On the machine of somebody who only looks at the file this is no mistake."""
    if local:
        names = ", ".join(one.id for one in local)
        text = f"Not to be started here: the addresses of the members {names} are all of this machine"
    else:
        text = f"Not to be started here: no member has an address of this machine ({addresses})"
    return Diagnostic("no-member", text, Severity.HINT, None, None, logged_only=True)


def _key(cluster: Cluster, host: Host, *, usable: bool) -> tuple[bytes, tuple[Diagnostic, ...]]:
    """The key and what is to be said about it; only a member is asked for its file."""
    if not cluster.key_file:
        said = Diagnostic(
            "raft-no-key",
            f"{NO_KEY} (keyFile PATH on every member)",
            Severity.WARNING,
            None,
            None,
            logged_only=True,
        )
        return b"", (said,)
    found = read_key(cluster.key_file, host) if usable else b""
    if isinstance(found, bytes):
        return found, ()
    said = Diagnostic(
        found.code,
        found.message,
        Severity.ERROR,
        None,
        found.error_class,
        expected=found.expected,
        extension=True,
    )
    return b"", (said,)


def _raft(cluster: Cluster, own: Member, key: bytes) -> RaftCluster:
    name = cluster.name or NAME
    return RaftCluster(
        id=name,
        own=MemberId(own.id),
        members=tuple(RaftMember(MemberId(one.id), one.endpoint) for one in cluster.members),
        key=key,
        key_file=cluster.key_file,
        timing=PRESETS[cluster.timing],
        directory=cluster.data_directory or default_folder(DATA_ROOT, name, own.id),
        run_directory=default_folder(RUN_ROOT, name, own.id),
        log_lease=LeaseName(str(cluster.vip)),
    )


def _instance(cluster: Cluster, host: Host) -> Instance:
    interface = InterfaceName(cluster.interface)
    scope = HOST_SCOPE if cluster.interface == "lo" or host.interface_is_loopback(cluster.interface) else 0
    return Instance(
        name=InstanceName(str(cluster.vip)),
        interface=interface,
        vrid=0,
        preempt=False,
        addresses=(VirtualAddress(cluster.vip, 32, interface, scope=scope),),
        track_scripts=tuple(TrackedScript(name) for name, _ in _named(cluster.checks)),
        garp=GratuitousArp(refresh_us=cluster.checks_interval_us, refresh_repeat=1),
        election=Election.RAFT,
    )


def _named(checks: tuple[TcpCheck, ...]) -> tuple[tuple[ScriptName, TcpCheck], ...]:
    """Each check with a name of its own: keep-vip lets several have the same, or none."""
    taken: dict[ScriptName, TcpCheck] = {}
    for check in checks:
        base = check.name or str(check.endpoint)
        name, number = base, 1
        while ScriptName(name) in taken:
            number += 1
            name = f"{base}#{number}"
        taken[ScriptName(name)] = check
    return tuple(taken.items())


def _script(cluster: Cluster, name: ScriptName, check: TcpCheck) -> CheckScript:
    return CheckScript(
        name=name,
        command=NO_COMMAND,
        interval_us=cluster.checks_interval_us,
        timeout_us=check.timeout_us,
        connect=check.endpoint,
        ends_program=cluster.exit_on_check_failure,
    )
