"""A seed is a whole run: same plan, same trace, whatever ran before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.simulation.run import run_seed
from keepalived_py.simulation.scenario import draw

SEEDS = st.integers(min_value=0, max_value=2**63)


@given(seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    """Line by line; and watching a run does not change it."""
    first, second = run_seed(seed, trace=True), run_seed(seed, trace=True)
    assert first == second
    unwatched = run_seed(seed)
    assert (unwatched.rule, unwatched.worked) == (first.rule, first.worked)


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_plan_is_sound(seed: int) -> None:
    """Equal plans for equal seeds, every router in one part, and no trouble outlives the healing."""
    scenario = draw(seed)
    assert scenario == draw(seed)
    names = [plan.name for plan in scenario.routers]
    assert sorted(name for part in scenario.parts for name in part) == sorted(names)
    spans = [(fault.begin_us, fault.end_us) for fault in scenario.link_faults]
    spans += [(fault.begin_us, fault.end_us) for fault in scenario.router_faults]
    assert all(reload.when_us < scenario.chaos_us for reload in scenario.reloads)
    for begin, end in spans:
        assert begin <= end <= scenario.heal_us
        assert end <= scenario.chaos_us or end == scenario.heal_us


def test_every_line_of_a_trace_is_one_line() -> None:
    """Events and effects have a one-line form, and every line has its instant and router."""
    lines = run_seed(1, trace=True).trace
    assert len(lines) > 100
    for line in lines:
        assert "\n" not in line
        instant, router, mark, _what = line.split(maxsplit=3)
        assert float(instant) >= 0
        assert router == "wire" or router[0] == "r"
        assert mark in "<>!"
