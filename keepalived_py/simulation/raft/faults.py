"""What goes wrong in a time of chaos, and what the operator does meanwhile."""

from collections.abc import Callable

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.simulation.raft.host import Health
from keepalived_py.simulation.raft.world import World

Fault = Callable[[World], None]


def _one(world: World) -> MemberId:
    return world.random.choice(list(world.hosts))


def _lease(world: World) -> LeaseName:
    return world.random.choice(world.scenario.leases).name


def _holder(world: World) -> MemberId:
    """Mostly somebody who holds something, since that is where it hurts."""
    holding = [host.id for host in world.running() for lease in host.health if host.relies_on(lease)]
    return world.random.choice(holding) if holding and world.random.random() < 0.6 else _one(world)


def _while(world: World, longest_promises: float, undo: Callable[[], None]) -> None:
    """It ends again after a while."""
    longest = int(longest_promises * world.scenario.promise_us)
    world.at(world.now() + 1_000 + world.random.randrange(longest), undo)


def cut_link(world: World) -> None:
    """Two members do not hear each other, or one does not hear the other."""
    one, other = _holder(world), _one(world)
    world.network.part({one}, {other}, one_way=world.random.random() < 0.4)


def isolate(world: World) -> None:
    """One is cut off, or is not heard, or hears nobody."""
    one = _holder(world)
    rest = set(world.hosts) - {one}
    ones, others = world.random.choice((({one}, rest), (rest, {one})))
    world.network.part(ones, others, one_way=world.random.random() < 0.4)


def split(world: World) -> None:
    """The network falls into two parts."""
    ones = {id for id in world.hosts if world.random.random() < 0.5}
    world.network.part(ones, set(world.hosts) - ones)


def heal(world: World) -> None:
    """Everybody hears everybody for a while."""
    world.network.heal()


def disturb(world: World) -> None:
    """Messages are lost, doubled, or take up to several promises' time."""
    network, promise = world.network, world.scenario.promise_us
    network.loss_percent = world.random.choice((0, 10, 30))
    network.double_percent = world.random.choice((0, 10))
    network.slow_percent = world.random.choice((0, 10, 40))
    network.slow_us = (1_000, int(promise * world.random.choice((0.3, 1, 4))))


def pause(world: World) -> None:
    """A process is stopped for a while; what arrives meanwhile waits or is lost."""
    host = world.hosts[_holder(world)]
    host.pause()
    keep = world.random.random() < 0.7
    _while(world, world.random.choice((0.5, 6)), lambda: host.resume(keep=keep))


def kill(world: World) -> None:
    """A process is killed and begins again, where the kernel ends its leases."""
    host = world.hosts[_holder(world)]
    if host.guarded:
        host.kill()
        _while(world, world.random.choice((0.05, 3)), lambda: world.boot(host.id))


def power_loss(world: World) -> None:
    """A machine is off for a while."""
    host = world.hosts[_holder(world)]
    host.power_off()
    _while(world, world.random.choice((0.5, 3)), lambda: world.boot(host.id))


def forget(world: World) -> None:
    """The only one that still hears a holder restarts, just when the holder is cut off from it too."""
    holder, witness = _holder(world), _one(world)
    rest = set(world.hosts) - {holder, witness}
    world.network.heal()
    if holder == witness or not (world.hosts[witness].guarded or not world.hosts[witness].present):
        return
    world.network.part({holder}, rest)

    def restart() -> None:
        if world.calm:
            return
        world.network.part({holder}, {witness})
        world.hosts[witness].kill()
        world.boot(witness)

    _while(world, 3, restart)


def linger(world: World) -> None:
    """A holder is cut off while answers that were given long before are still on their way to it."""
    holder, network, promise = _holder(world), world.network, world.scenario.promise_us
    network.heal()
    network.slow_percent, network.slow_us = 50, (promise // 4, promise * 3 // 2)

    def cut() -> None:
        if not world.calm:
            network.part({holder}, set(world.hosts) - {holder})
            network.slow_percent = 0

    world.at(world.now() + promise, cut)


def stop(world: World) -> None:
    """The program ends as it should, and is started again."""
    host = world.hosts[_holder(world)]
    host.stop()
    _while(world, 4, lambda: world.boot(host.id))


def sicken(world: World) -> None:
    """What an instance follows fails, or is well again."""
    host, lease = world.hosts[_holder(world)], _lease(world)
    host.change(lease, host.health[lease]._replace(able=world.random.random() < 0.5))


def weigh(world: World) -> None:
    """A priority changes."""
    host, lease = world.hosts[_one(world)], _lease(world)
    host.change(lease, Health(world.random.choice((50, 100, 150, 200)), host.health[lease].able))


def order(world: World) -> None:
    """The operator pins a lease, or drains a member, or takes such an order back."""
    pinned, drained = dict(world.orders.pinned), set(world.orders.drained)
    if world.random.random() < 0.5:
        drained ^= {_one(world)}
        drained = drained if len(drained) <= 1 else set()
    elif world.random.random() < 0.6:
        pinned[_lease(world)] = _one(world)
    else:
        pinned.clear()
    world.order(replace(world.orders, pinned=pinned, drained=frozenset(drained)))


FAULTS: tuple[tuple[Fault, int], ...] = (
    (cut_link, 4),
    (isolate, 4),
    (split, 3),
    (heal, 7),
    (disturb, 3),
    (pause, 4),
    (kill, 3),
    (power_loss, 3),
    (forget, 3),
    (linger, 2),
    (stop, 2),
    (sicken, 3),
    (weigh, 3),
    (order, 3),
)
