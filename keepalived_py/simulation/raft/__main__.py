"""`python -m keepalived_py.simulation.raft`: play many seeds, or one with its trace."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import monotonic

from keepalived_py.simulation.raft.run import Outcome, run_seed

CHUNK = 20


def seed_range(text: str) -> range:
    """`A..B` as the seeds from A up to, not including, B."""
    first, separator, end = text.partition("..")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A..B")
    return range(int(first), int(end))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m keepalived_py.simulation.raft", description=__doc__)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="play this one seed")
    what.add_argument("--seeds", type=seed_range, metavar="A..B", help="play the seeds A to B-1")
    made.add_argument("--trace", action="store_true", help="print every event and effect (with --seed)")
    made.add_argument("--jobs", type=int, default=2, help="processes to use (default 2)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every property held for every seed, else 1."""
    options = parser().parse_args(arguments)
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
    for outcome in _outcomes(seeds, jobs):
        played[outcome.play] += 1
        steps += outcome.steps
        if not outcome.passed:
            broken[outcome.rule] += 1
            print(outcome)
            print(
                f"  again: python -m keepalived_py.simulation.raft --seed {outcome.seed} --trace", flush=True
            )
    took = monotonic() - begun
    kinds = ", ".join(f"{count} {play}" for play, count in sorted(played.items()))
    print(f"{played.total()} seeds ({kinds}), {steps} steps in {took:.1f} s: {broken.total()} broken")
    for rule, count in broken.most_common():
        print(f"  {rule}: {count}")
    return 1 if broken else 0


def _outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_seed, seeds, chunksize=CHUNK)


if __name__ == "__main__":
    sys.exit(main())
