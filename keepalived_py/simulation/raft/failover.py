"""How long nobody has the address: `python -m keepalived_py.simulation.raft.failover`.

A holder loses its power, or is stopped as it should, at a random moment, again
and again, in a sound network with delays as on a local one and clocks of ordinary
quality.  The time is from that moment to the instant at which the addresses are in
the new holder's kernel, and its gate lets them pass.
"""

import argparse
import sys
from collections.abc import Sequence
from random import Random
from statistics import median, quantiles

from keepalived_py.base.names import InstanceName, LeaseName
from keepalived_py.model.raft import PRESETS, Lease, RaftCluster
from keepalived_py.simulation.raft.clock import Clock
from keepalived_py.simulation.raft.host import Health, Host, Pace
from keepalived_py.simulation.raft.judge import RuleBroken
from keepalived_py.simulation.raft.scenario import NAMES, Machine, Play, Scenario, list_of
from keepalived_py.simulation.raft.world import World

_ORDINARY_PPM = 100
_LEASE = LeaseName("V0")


def scenario(preset: str, count: int, seed: int) -> Scenario:
    """A sound cluster of `count` members with gates."""
    random = Random(seed)
    cluster = RaftCluster("measured", NAMES[0], list_of(count, 0), timing=PRESETS[preset])
    leases = (Lease(_LEASE, (InstanceName(_LEASE),), preempt=False),)
    machines = tuple(
        Machine(
            name,
            Clock(random.randrange(1, 10**9), random.randint(-_ORDINARY_PPM, _ORDINARY_PPM)),
            guarded=True,
            pace=Pace(kernel_us=2_000, slow_kernel_us=2_000, late_us=1_000),
            health=(Health(100 + place, able=True),),
        )
        for place, name in enumerate(NAMES[:count])
    )
    return Scenario(seed, Play.STEADY, cluster, (cluster.members,), leases, machines)


def gaps(preset: str, count: int, seed: int, times: int, *, graceful: bool) -> list[int]:
    """The gaps of `times` failovers, in microseconds."""
    world = World(scenario(preset, count, seed))
    promise = world.scenario.promise_us
    for name in NAMES[:count]:
        world.boot(name, world.scenario.cluster.members)
    found = []
    for _ in range(times):
        world.advance(world.now() + 8 * promise + world.random.randrange(promise))
        holder = _holder(world)
        begun = world.now()
        if graceful:
            holder.stop()
        else:
            holder.power_off()
        found.append(_gap(world, holder, begun))
        world.advance(world.now() + promise)
        world.boot(holder.id)
    return found


def _holder(world: World) -> Host:
    return next(host for host in world.hosts.values() if host.answers_for(_LEASE))


def _gap(world: World, before: Host, begun: int) -> int:
    """From the last instant at which the old holder answered to the first of the new one."""
    since = begun
    while world.now() < begun + 20 * world.scenario.promise_us:
        world.advance(world.now() + 100)
        answering = [host for host in world.hosts.values() if host.answers_for(_LEASE)]
        if before in answering:
            since = world.now()
        elif answering:
            return world.now() - since
    raise RuleBroken("failover", "nobody took over")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table: preset, members, kind, median, 99th percentile and maximum in milliseconds."""
    made = argparse.ArgumentParser(prog="python -m keepalived_py.simulation.raft.failover")
    made.add_argument("--times", type=int, default=1000)
    times = made.parse_args(arguments).times
    for preset in ("lan", "fast"):
        for count in (3, 5):
            for graceful in (False, True):
                found = gaps(preset, count, 1, times, graceful=graceful)
                kind = "stopped" if graceful else "power loss"
                figures = (median(found), quantiles(found, n=100)[-1], max(found))
                shown = "  ".join(f"{figure / 1000:7.1f}" for figure in figures)
                print(f"{preset:5} {count} {kind:10} n={len(found)}  median, p99, max ms: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
