"""What the shell of a member asks of the rest of the program; tests replace each by a recorder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.election.ports import GatePort, LogPort
from keepalived_py.election.raft.views import Holding, View
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.events import LeaseGranted, LeaseLost
from keepalived_py.model.raft import Fencing, LogPart, RaftCluster, RaftMessage
from keepalived_py.model.raft_events import Candidate, Fence


class LinksPort(Protocol):
    """The frames to and from the other members; what gets lost is lost."""

    def send(self, to: MemberId, message: RaftMessage) -> None: ...

    def replace(self, cluster: RaftCluster) -> None: ...

    def close(self) -> None: ...


class KeeperPort(Protocol):
    """The replicated log, in a process of its own."""

    def heard(self, member: MemberId, part: LogPart) -> None: ...

    def follow(self, view: View) -> None: ...

    def record(self, entry: Holding) -> None: ...

    def replace(self, cluster: RaftCluster) -> None: ...

    def close(self) -> None: ...


class FencePort(Protocol):
    """Shoots a member; True: it is certainly off, or cut off."""

    async def shoot(self, order: Fence, fencing: Fencing) -> bool: ...

    def close(self) -> None: ...


class NodePort(Protocol):
    """The instances of this machine.

    `held` are the addresses that come with a lease; `checks` tells of its checks: name, address, good.
    """

    def candidates(self) -> Mapping[LeaseName, Candidate]: ...

    def held(self, instances: Sequence[InstanceName]) -> Sequence[VirtualAddress]: ...

    def feed(self, event: LeaseGranted | LeaseLost) -> None: ...

    def checks(self) -> Sequence[tuple[str, str, bool]]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts that the shell of a member works with.

    `now` is CLOCK_BOOTTIME.  A witness has neither a node nor a gate.  `keepvip`: the address that
    a keep-vip file names.
    """

    links: LinksPort
    keeper: KeeperPort
    fences: FencePort
    log: LogPort
    now: Callable[[], Micros]
    node: NodePort | None = None
    gate: GatePort | None = None
    keepvip: str | None = None
    counters: Callable[[], Mapping[str, int]] = field(default=dict)
