"""Each rule of virtual servers is taken out in turn; the simulation must notice, and by the right rule."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from keepalived_py.base.record import replace
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks import pool_reload
from keepalived_py.core.checks.pool import Effects, Pool, ServerState
from keepalived_py.core.checks.services import destination_settings
from keepalived_py.core.checks.verdicts import CheckerVerdict
from keepalived_py.model.ipvs import DestinationSettings
from keepalived_py.model.virtual_server import RealServer
from keepalived_py.simulation.checks import __main__ as command
from keepalived_py.simulation.checks import run
from keepalived_py.simulation.checks.run import run_seed

SEEDS = 120
judged, wanted, begun, verdict = pools._judged, pools._wanted, pools.begun, pools.verdict
sorry_settled, all_settled, dissolved = pools.sorry_settled, pools.all_settled, pools.dissolved
removed_server, ended = pools.removed_server, pools._ended
carried_over = pool_reload.carried_over


def _hysteresis_the_wrong_way(pool: Pool, out: Effects, *, first: bool = False) -> Pool:
    other = pool._replace(settings=replace(pool.settings, hysteresis=-pool.settings.hysteresis))
    return judged(other, out, first=first)._replace(settings=pool.settings)


def _quorum_too_high(pool: Pool, out: Effects, *, first: bool = False) -> Pool:
    other = pool._replace(settings=replace(pool.settings, quorum=pool.settings.quorum + 1))
    return judged(other, out, first=first)._replace(settings=pool.settings)


def _sorry_server_left_in(pool: Pool, out: Effects) -> Pool:
    return sorry_settled(pool, out) if pool.sorry_alive else pool


def _configured_weight_for_ever(server: RealServer, weight: int) -> DestinationSettings:
    return destination_settings(server, server.weight if weight else 0)


def _not_taken_out_for_the_sorry_server(pool: Pool, out: Effects) -> Pool:
    return pool if pool.withheld else all_settled(pool, out)


def _not_put_back_after_it(pool: Pool, out: Effects) -> Pool:
    return all_settled(pool, out) if pool.withheld else pool


def _one_good_check_is_enough(pool: Pool, index: int, said: CheckerVerdict, out: Effects) -> Pool:
    server = pool.servers[index]
    if said.up and server.failed > 1:
        servers = list(pool.servers)
        servers[index] = server._replace(failed=1)
        pool = pool._replace(servers=tuple(servers))
    return verdict(pool, index, said, out)


def _first_failures_untold(pool: Pool, index: int, said: CheckerVerdict, out: Effects) -> Pool:
    return verdict(pool, index, said._replace(had_run=True), out)


def _alpha_means_nothing(settings: Any, group: Any, place: int, failed: Sequence[int], *rest: Any) -> Pool:
    return begun(settings, group, place, [0 for _ in failed], *rest)


def _inhibit_means_nothing(pool: Pool, index: int, server: ServerState) -> DestinationSettings | None:
    found = wanted(pool, index, server)
    return found if server.alive and not pool.withheld else None


def _added_beside_the_sorry_server(pool: Pool, index: int, server: ServerState) -> DestinationSettings | None:
    return wanted(pool._replace(withheld=False), index, server)


def _places_forgotten(old: Pool, new: Pool, heirs: Any) -> Pool:
    return new


def _quorum_forgotten(old: Pool, new: Pool, out: Effects, **shared: Any) -> Pool:
    return carried_over(old, new, out, **shared)._replace(quorum_up=False)


def _services_of_others_removed(pool: Pool, out: Effects, *, stopping: bool, shared: Any) -> Pool:
    return dissolved(pool, out, stopping=stopping)


def _always_omega(pool: Pool, out: Effects, stopping: bool) -> Pool:
    return ended(pool._replace(settings=replace(pool.settings, omega=True)), out, stopping)


def _removal_untold(pool: Pool, index: int, out: Effects, **how: bool) -> ServerState:
    quiet = pool._replace(settings=replace(pool.settings, omega=False))
    return removed_server(quiet, index, out, **{**how, "stopping": True})


def _new_services_empty(pool: Pool, out: Effects) -> Pool:
    return pool._replace(fresh=(), additions=())


def _weight_without_quorum(pool: Pool, index: int, weight: int, out: Effects) -> Pool:
    server = pools._weighed(pool, index, pool.servers[index], weight, out)
    return pools._with(pool, index, server)


class Planted(NamedTuple):
    """What stands in whose place, and the rules that may notice."""

    module: Any
    name: str
    part: Callable[..., Any]
    rules: tuple[str, ...]


TABLE, TOLD, BOTH = ("table",), ("told",), ("table", "told")
STRICT = ("strict kernel", "table")
PLANTED = (
    Planted(pools, "_judged", _hysteresis_the_wrong_way, BOTH),
    Planted(pools, "_judged", _quorum_too_high, BOTH),
    Planted(pools, "sorry_settled", _sorry_server_left_in, TABLE),
    Planted(pools, "destination_settings", _configured_weight_for_ever, TABLE),
    Planted(pools, "all_settled", _not_taken_out_for_the_sorry_server, TABLE),
    Planted(pools, "all_settled", _not_put_back_after_it, TABLE),
    Planted(pools, "verdict", _one_good_check_is_enough, BOTH),
    Planted(pools, "verdict", _first_failures_untold, TOLD),
    Planted(pools, "begun", _alpha_means_nothing, BOTH),
    Planted(pools, "_wanted", _inhibit_means_nothing, TABLE),
    Planted(pools, "_wanted", _added_beside_the_sorry_server, TABLE),
    Planted(pool_reload, "_places_taken", _places_forgotten, STRICT),
    Planted(run, "carried_over", _quorum_forgotten, TOLD),
    Planted(pools, "dissolved", _services_of_others_removed, ("strict kernel", "services")),
    Planted(pools, "_ended", _always_omega, TOLD),
    Planted(pool_reload, "removed_server", _removal_untold, TOLD),
    Planted(pools, "_filled", _new_services_empty, STRICT),
    Planted(pools, "weight_changed", _weight_without_quorum, BOTH),
    Planted(pools, "turned_server", lambda pool, index, server, *ignored: server, BOTH),
    Planted(pool_reload, "service_settings", lambda virtual: None, ("services",)),
    Planted(pools, "shared_services", lambda pool, others: (), ("strict kernel", "services", "disturbed")),
    Planted(pool_reload, "withdrawn", lambda *ignored: None, STRICT),
    Planted(pool_reload, "_sorry_compared", lambda old, new, *ignored: new, STRICT),
)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.name}-{planted.part.__name__}")
def test_a_planted_bug_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted.module, planted.name, planted.part)
    found: set[str] = set()
    for seed in range(SEEDS):
        found.add(run_seed(seed).rule)
        if found & set(planted.rules):
            break
    assert found & set(planted.rules), f"found only {found}"
    assert "exception" not in found


def test_a_broken_seed_says_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pools, "all_settled", _not_put_back_after_it)
    assert command.main(["--seeds", "0..60", "--jobs", "1"]) == 1
    assert "--trace" in capsys.readouterr().out
