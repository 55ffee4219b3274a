"""`python -m keepalived_py.simulation`: play many seeds, or one with its trace."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import monotonic

from keepalived_py.simulation.run import Outcome, run_seed

CHUNK = 20


def seed_range(text: str) -> range:
    """`A..B` as the seeds from A up to, not including, B."""
    first, separator, end = text.partition("..")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A..B")
    return range(int(first), int(end))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m keepalived_py.simulation", description=__doc__)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="play this one seed")
    what.add_argument("--seeds", type=seed_range, metavar="A..B", help="play the seeds A to B-1")
    made.add_argument("--trace", action="store_true", help="print every event and effect (with --seed)")
    made.add_argument("--jobs", type=int, default=1, help="processes to use (default 1)")
    made.add_argument("--budget-s", type=float, help="begin no new seeds after this many seconds")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every property held for every seed, else 1."""
    options = parser().parse_args(arguments)
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
    for outcome in _outcomes(seeds, jobs, None if budget_s is None else begun + budget_s):
        played += 1
        if not outcome.passed:
            broken += 1
            print(outcome)
            print(f"  again: python -m keepalived_py.simulation --seed {outcome.seed} --trace", flush=True)
    took = max(monotonic() - begun, 1e-9)
    print(f"{played} seeds in {took:.1f} s ({played / took * 3600:.0f} an hour), {broken} broken")
    return 1 if broken else 0


def _outcomes(seeds: range, jobs: int, until: float | None) -> Iterator[Outcome]:
    chunks = [seeds[start : start + CHUNK * jobs] for start in range(0, len(seeds), CHUNK * jobs)]
    if jobs == 1:
        for chunk in chunks:
            if until is not None and monotonic() >= until:
                return
            yield from map(run_seed, chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for chunk in chunks:
            if until is not None and monotonic() >= until:
                return
            yield from pool.map(run_seed, chunk)


if __name__ == "__main__":
    sys.exit(main())
