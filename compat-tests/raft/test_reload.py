"""A cluster whose members get another configuration while they run, one after the other, and lives that end badly.

Whatever a file says meanwhile, nobody answers twice, and what a member holds before and after a reload it
holds throughout.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from answers import MS
from cluster_files import OURS, VIP, Cluster, Router, block
from cluster_lab import ClusterLab, cluster_laboratory
from scenarios import Must, Stage

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]

SECOND_VIP = "10.77.0.101"
PREFERS_1 = {1: 150, 2: 120, 3: 100}
STAY, MOVE = Must.STAY, Must.MOVE
GROUP = tuple(block("vrrp_sync_group G1", *block("group", "VI_1", "VI_2")))


def clean(stage: Stage) -> None:
    """No fault in any phase."""
    told = "\n".join(seen.line() for seen in stage.seen)
    assert stage.seen and not any(seen.faults for seen in stage.seen), f"{told}\n{stage.lab.report()}"


def reload(lab: ClusterLab, node: int, cluster: Cluster, said: str = "Reload complete") -> None:
    """Give one member the file; returns when it has said so."""
    since = time.time_ns() - MS
    lab.reload(node, cluster)
    daemon = lab.daemons[node]
    lab.wait(lambda: daemon.logged(said, since), 8, f"n{node} logs: {said}")


def routers(*vips: str, before: Sequence[str] = ()) -> Cluster:
    """A router for each address, all of them preferring the first member."""
    made = [Router(f"VI_{n + 1}", 51 + n, vip, PREFERS_1, ()) for n, vip in enumerate(vips)]
    return Cluster(routers=made, before=before)


def kernel_guards(lab: ClusterLab, node: int, address: str) -> bool:
    """Whether the member's packet filter knows the address."""
    inside = ["nsenter", f"--net=/run/netns/{lab.space.node(node)}", "nft", "list", "ruleset"]
    return address in subprocess.run(inside, capture_output=True, text=True, check=True).stdout


def test_addresses_of_a_held_instance_come_and_go(tmp_path: Path) -> None:
    """The newcomer is guarded before it is there, and no more when it has gone; the other one never blinks."""
    one = routers(VIP)
    (router,) = one.routers
    excluded = block("virtual_ipaddress_excluded", f"{SECOND_VIP}/16")
    both = Cluster(routers=[Router(priorities=PREFERS_1, lines=tuple(excluded))])
    assert router.name == both.routers[0].name
    with cluster_laboratory(tmp_path, one) as lab:
        lab.start()
        lab.settle()
        stage = Stage(lab, lab.wait_holder(1))
        with stage.phase("a second address", STAY):
            for node in lab.nodes:
                reload(lab, node, both)
            lab.wait(lambda: lab.space.holds(1, SECOND_VIP), 3, "it is there")
        assert kernel_guards(lab, 1, SECOND_VIP) and kernel_guards(lab, 1, VIP)
        with stage.phase("it goes", STAY):
            for node in lab.nodes:
                reload(lab, node, one)
            lab.wait(lambda: not kernel_guards(lab, 1, SECOND_VIP), 3, "nobody guards it any more")
        assert not lab.space.holds(1, SECOND_VIP) and kernel_guards(lab, 1, VIP)
        clean(stage)


def test_instances_join_a_group_and_leave_it(tmp_path: Path) -> None:
    """Their lease has another name then; members that have not reloaded yet take nothing meanwhile."""
    apart, together = routers(VIP, SECOND_VIP), routers(VIP, SECOND_VIP, before=GROUP)
    with cluster_laboratory(tmp_path, apart) as lab:
        lab.start()
        lab.settle()
        lab.wait_holder(1, vip=1)
        stage = Stage(lab, lab.wait_holder(1))
        for name, cluster in (("together", together), ("apart", apart)):
            for node in lab.nodes:
                with stage.phase(f"{name}: n{node}", (Must.ONE, Must.ONE)):
                    reload(lab, node, cluster)
        assert lab.wait_holder(1, vip=1) == lab.wait_holder(1)
        clean(stage)


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    """Two members at once, a list with a mistake, a file with one: the running cluster goes on as it is."""
    lasting = routers(VIP)
    bad = Cluster(routers=lasting.routers, options=("node_id n9",))
    two = Cluster(routers=lasting.routers, members=(1, 2, 4, 5))
    with cluster_laboratory(tmp_path, lasting) as lab:
        lab.start()
        lab.settle()
        stage = Stage(lab, lab.wait_holder(1))
        with stage.phase("two at once", STAY, 2):
            reload(lab, 1, two, "one member at a time")
        with stage.phase("a mistake", STAY, 1):
            reload(lab, 1, bad, "New configuration refused, the running one is kept")
        # Members that were to go are members still: it does not depend on the only other one.
        with stage.phase("n2 loses power", STAY, 2):
            lab.power_off(2)
        clean(stage)


def test_a_cluster_that_comes_with_a_reload(tmp_path: Path) -> None:
    """Daemons without a cluster are given one; then it is taken away, and with it all that guarded."""
    with_one = routers(VIP)
    without = Cluster(kind="vrrp", routers=with_one.routers)
    with cluster_laboratory(tmp_path, without) as lab:
        lab.start()
        lab.wait_holder(1)
        for node in (3, 2, 1):
            reload(lab, node, with_one)
        stage = Stage(lab, lab.wait_holder(1))
        with stage.phase("its holder loses power", MOVE):
            lab.power_off(1)
        for node in (3, 2):
            reload(lab, node, without)
        lab.wait_holder(2)
        assert not kernel_guards(lab, 2, VIP)
        clean(stage)


@pytest.mark.parametrize("known", [True, False])
def test_a_life_that_was_killed_before_one_without_a_cluster(tmp_path: Path, known: bool) -> None:
    """An address that the next life knows is taken out, and the guard goes with it; another one stays shut."""
    cluster = routers(VIP)
    with cluster_laboratory(tmp_path, cluster) as lab:
        lab.start()
        lab.settle()
        stage = Stage(lab, lab.wait_holder(1))
        with stage.phase("kill -9", MOVE):
            lab.kill(1)
        assert lab.space.holds(1, VIP) and kernel_guards(lab, 1, VIP)
        # Long enough that it does not take the address by itself, which would be a fault of the operator's.
        patient = Router(vrid=99, vip=VIP if known else SECOND_VIP, lines=("advert_int 10",))
        lab.cluster = Cluster(kind="vrrp", routers=[patient])
        with stage.phase("a life without a cluster", STAY, 2):
            lab.start(1)
            daemon = lab.daemons[1]
            lab.wait(lambda: daemon.logged("Startup complete"), 8, "it has started")
            if known:
                lab.wait(lambda: not kernel_guards(lab, 1, VIP), 5, "the guard goes")
                lab.stop(1)
            else:
                lab.wait(lambda: daemon.logged("they stay shut"), 5, "it says so")
        assert lab.space.holds(1, VIP) is kernel_guards(lab, 1, VIP) is not known
        clean(stage)


def test_a_taken_port_ends_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    """The text says what to do; neither a table nor a process nor an address stays behind."""
    cluster = routers(VIP)
    with cluster_laboratory(tmp_path, cluster) as lab:
        inside = ["nsenter", f"--net=/run/netns/{lab.space.node(1)}"]
        code = (
            "import socket; s = socket.socket(2, 2); s.bind(('10.77.0.1', 7400)); print(flush=True); input()"
        )
        taker = subprocess.Popen(
            [*inside, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert taker.stdout is not None
        taker.stdout.readline()
        lab.start(1)
        daemon = lab.daemons[1]
        lab.wait(lambda: not daemon.alive(), 15, "it ends")
        assert daemon.logged("the port is taken") and daemon.electing() and not lab.space.holds(1, VIP)
        tables = subprocess.run(
            [*inside, "nft", "list", "tables"], capture_output=True, text=True, check=True
        )
        assert "gate" not in tables.stdout
        assert not daemon.logged("Entering BACKUP STATE")
        taker.communicate(b"\n")


def test_processes_that_die_are_replaced(tmp_path: Path) -> None:
    """Any helper of the holder may be killed or stopped: nobody notices.  The one that elects may not."""
    with cluster_laboratory(tmp_path, Cluster(program=OURS, routers=[Router(priorities=PREFERS_1)])) as lab:
        lab.start()
        lab.settle()
        # Whoever was ready first: without preemption it stays there.
        holder = lab.wait_holder()
        stage = Stage(lab, holder)
        daemon = lab.daemons[holder]
        electing = daemon.electing()[0]
        helpers = [pid for pid in daemon.everything() if pid not in (electing, daemon.pid)]
        assert helpers
        with stage.phase("helpers stop for a while", STAY):
            for pid in helpers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1)
            for pid in helpers:
                os.kill(pid, signal.SIGCONT)
        with stage.phase("helpers are killed", STAY, 2):
            for pid in helpers:
                os.kill(pid, signal.SIGKILL)
        assert len(daemon.everything()) == 2 + len(helpers)
        with stage.phase("the one that elects is killed", Must.ONE):
            os.kill(electing, signal.SIGKILL)
        clean(stage)
