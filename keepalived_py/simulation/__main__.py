"""`python -m keepalived_py.simulation`: play many seeds, or one with its trace."""

import sys
from collections.abc import Sequence
from time import monotonic

from keepalived_py.simulation import seeds as many
from keepalived_py.simulation.run import run_seed

MODULE = "keepalived_py.simulation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every property held for every seed, else 1."""
    parser = many.parser(MODULE, __doc__, jobs=1)
    parser.add_argument("--budget-s", type=float, help="begin no new seeds after this many seconds")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.trace)
    return _many(options.seeds, options.jobs, options.budget_s)


def _one(seed: int, trace: bool) -> int:
    outcome = run_seed(seed, trace=trace)
    for line in outcome.trace:
        print(line)
    print(outcome)
    return 0 if outcome.passed else 1


def _many(seeds: range, jobs: int, budget_s: float | None) -> int:
    begun = monotonic()
    played, broken = 0, 0
    for outcome in many.outcomes(run_seed, seeds, jobs, None if budget_s is None else begun + budget_s):
        played += 1
        if not outcome.passed:
            broken += 1
            print(outcome)
            print(f"  again: python -m {MODULE} --seed {outcome.seed} --trace", flush=True)
    took = max(monotonic() - begun, 1e-9)
    print(f"{played} seeds in {took:.1f} s ({played / took * 3600:.0f} an hour), {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
