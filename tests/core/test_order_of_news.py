"""In which order pipes are told of roles, and that nobody is told twice."""

from keepalived_py.base.names import GroupName, InstanceName
from keepalived_py.base.record import replace
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, SyncGroup
from keepalived_py.model.globals import Globals
from tests.core.conftest import Bench, facts


def lines(bench: Bench, since: int = 0) -> list[str]:
    """What the pipes were told."""
    return [effect.line for effect in bench.effects[since:] if isinstance(effect, fx.WriteFifo)]


def two(first: str, second: str) -> tuple[dict[str, object], dict[str, object]]:
    """Two instances on eth0."""
    return {"name": InstanceName(first), "vrid": 1}, {"name": InstanceName(second), "vrid": 2}


def test_equal_timers_end_in_the_order_of_the_file() -> None:
    bench = Bench(*two("Z", "A")).start()
    bench.until(4)
    assert lines(bench)[-2:] == ['INSTANCE "Z" MASTER 100', 'INSTANCE "A" MASTER 100']


def test_of_a_group_the_last_one_that_recovers_goes_first() -> None:
    """keepalived looks at one member after the other; only the last one finds the group healthy."""
    group = SyncGroup(GroupName("G"), (InstanceName("A"), InstanceName("B")))
    bench = Bench(*two("A", "B"), groups=(group,)).start()
    bench.feed(ev.LinkChanged(facts(up=False)), 1)
    since = len(bench.effects)
    bench.feed(ev.LinkChanged(facts()), 2)
    told = ['INSTANCE "B" BACKUP 100', 'INSTANCE "A" BACKUP 100', 'GROUP "G" BACKUP 0']
    assert lines(bench, since) == told


def reloaded(before: Bench, after: Configuration) -> list[str]:
    """What the pipes are told by a reload."""
    before.until(5)
    since = len(before.effects)
    before.feed(ev.SettingsReplaced(after))
    return lines(before, since)


def test_every_state_is_told_once_after_a_reload() -> None:
    """fifo_write_vrrp_states_on_reload: those that go on, and those that begin."""
    first, second = two("A", "B")
    wanted = Globals(fifo_write_states_on_reload=True)
    bench = Bench(first).start()
    after = replace(Bench(first, second).configuration, globals=wanted)
    assert sorted(reloaded(bench, after)) == ['INSTANCE "A" MASTER 100', 'INSTANCE "B" BACKUP 100']


def test_nothing_is_told_after_a_reload_otherwise() -> None:
    first, second = two("A", "B")
    assert reloaded(Bench(first, second).start(), Bench(first, second).configuration) == []
    assert reloaded(Bench(first).start(), Bench(first, second).configuration) == ['INSTANCE "B" BACKUP 100']
