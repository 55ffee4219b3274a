"""`python -m keepalived_py.simulation.raft`: play many seeds, or one with its trace."""

import sys
from collections import Counter
from collections.abc import Sequence
from time import monotonic

from keepalived_py.simulation import seeds as many
from keepalived_py.simulation.raft.run import run_seed

MODULE = "keepalived_py.simulation.raft"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every property held for every seed, else 1."""
    options = many.parser(MODULE, __doc__, jobs=2).parse_args(arguments)
    if options.seed is None:
        return _many(options.seeds, options.jobs)
    outcome = run_seed(options.seed, trace=options.trace)
    for line in outcome.trace:
        print(line)
    print(outcome)
    return 0 if outcome.passed else 1


def _many(seeds: range, jobs: int) -> int:
    begun, played, steps = monotonic(), Counter[str](), 0
    broken = Counter[str]()
    for outcome in many.outcomes(run_seed, seeds, jobs):
        played[outcome.play] += 1
        steps += outcome.steps
        if not outcome.passed:
            broken[outcome.rule] += 1
            print(outcome)
            print(f"  again: python -m {MODULE} --seed {outcome.seed} --trace", flush=True)
    took = monotonic() - begun
    kinds = ", ".join(f"{count} {play}" for play, count in sorted(played.items()))
    print(f"{played.total()} seeds ({kinds}), {steps} steps in {took:.1f} s: {broken.total()} broken")
    for rule, count in broken.most_common():
        print(f"  {rule}: {count}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
