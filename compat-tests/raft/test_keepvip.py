"""keep-vip's own file: the five cuts of its README, its checks, its metrics, and a killed or frozen leader."""

import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest
from cluster_files import VIP, Cluster
from cluster_lab import ClusterLab
from kept_lab import KeptLab
from scenarios import Must, Scenario, Stage, named
from space import inside

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]

CHECKED_PORT = 8099
METRICS_PORT = 9195
PLAYED = named(
    "keepvip-1", "keepvip-2", "keepvip-3", "keepvip-4", "keepvip-5", "kill", "stop-all", "graceful"
)
CLUSTER = Cluster(
    kind="keepvip",
    checks={"served": f"127.0.0.1:{CHECKED_PORT}"},
    options=("prometheus:", "  enabled: true", f"  address: 0.0.0.0:{METRICS_PORT}"),
)


class Servers:
    """What the checks look for: a listening socket on every member, until it is taken away."""

    def __init__(self, lab: ClusterLab) -> None:
        self._lab = lab
        self._open: dict[int, socket.socket] = {}

    def open(self, node: int) -> None:
        """Let the member's check succeed; nothing when it does already."""
        if node in self._open:
            return
        with inside(self._lab.space.node(node)):
            server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", CHECKED_PORT))
        # Connections need not be accepted to succeed; more than this many checks no test lives to see.
        server.listen(4096)
        self._open[node] = server

    def close(self, node: int) -> None:
        """Let the member's check fail."""
        self._open.pop(node).close()

    def close_all(self) -> None:
        """Nothing listens any more."""
        for node in list(self._open):
            self.close(node)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    """Three members with keep-vip's file."""
    with KeptLab(tmp_path_factory.mktemp("keepvip"), CLUSTER) as made:
        yield made


@pytest.fixture
def servers(kept: KeptLab) -> Iterator[Servers]:
    """All checks succeed."""
    made = Servers(kept.lab)
    for node in kept.lab.nodes:
        made.open(node)
    yield made
    made.close_all()


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name)
def test_what_its_readme_promises(kept: KeptLab, servers: Servers, scenario: Scenario) -> None:
    """The leader does not move in 1, 4 and 5, it does in 2, and there is none in 3."""
    kept.check(scenario)


def _check_fails(servers: Servers) -> Scenario:
    def play(stage: Stage) -> None:
        with stage.phase("the leader's check fails", Must.MOVE):
            servers.close(stage.holder)
        with stage.phase("it succeeds again", Must.STAY, 2.5):
            servers.open(stage.holder)

    return Scenario("check", "the service beside the leader ends", play)


def test_a_leader_whose_check_fails_gives_up(kept: KeptLab, servers: Servers) -> None:
    """Another one leads, and goes on when the service is back."""
    kept.check(_check_fails(servers))


def test_a_followers_check_does_not_matter(kept: KeptLab, servers: Servers) -> None:
    """Only the leader gives up."""

    def play(stage: Stage) -> None:
        with stage.phase("a follower's check fails", Must.STAY, 2.5):
            servers.close(stage.others[0])

    kept.check(Scenario("check-follower", "the service beside a follower ends", play))


def test_the_address_is_announced_in_every_interval(kept: KeptLab, servers: Servers) -> None:
    """Gratuitous ARP by the leader alone, every ChecksInterval (1 s), and the address is a /32."""
    lab = kept.lab
    leader = lab.restore()
    since = time.time_ns()
    lab.wait(lambda: len(lab.answers.announced(0, since)) >= 3, 5, "three announcements")
    assert {node for _, node in lab.answers.announced(0, since)} == {leader}
    assert any(f" {VIP}/32 " in f"{line} " for line in lab.space.addresses(leader))


def _metrics(lab: ClusterLab, node: int) -> dict[str, str]:
    """By name with labels: the value of each of keep-vip's metrics on this node."""
    with inside(lab.space.node(node)):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
    parts = [line.rpartition(" ") for line in lines if line.startswith("keep_vip_")]
    return {name: value for name, _, value in parts}


def test_its_metrics_say_who_leads(kept: KeptLab, servers: Servers) -> None:
    """One leader (state 2), two followers (0), every check good, in keep-vip's names and labels."""
    lab = kept.lab
    leader = lab.restore()

    def told(node: int) -> bool:
        who = f'keep_vip_cluster="lab",server_address="{lab.space.address(node)}:7400",server_id="n{node}"'
        leads = node == leader
        found = _metrics(lab, node)
        return (
            float(found.get(f'keep_vip_member_is_leader{{{who},vip="{VIP}"}}', -1)) == leads
            and float(found.get(f'keep_vip_member_state{{{who},vip="{VIP}"}}', -1)) == (2 if leads else 0)
            and [float(v) for k, v in found.items() if k.startswith("keep_vip_check_port{")] == [1]
        )

    for node in lab.nodes:
        lab.wait(lambda node=node: told(node), 6, f"n{node} says who leads: {_metrics(lab, node)}")  # type: ignore[misc]
