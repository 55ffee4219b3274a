"""What the commands of the simulations share: ranges of seeds, their options, and playing many seeds."""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from time import monotonic
from typing import TypeVar

CHUNK = 20
T = TypeVar("T")


def seed_range(text: str) -> range:
    """`A..B` as the seeds from A up to, not including, B."""
    first, separator, end = text.partition("..")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A..B")
    return range(int(first), int(end))


def parser(module: str, description: str | None, *, jobs: int) -> argparse.ArgumentParser:
    """The command line of `python -m MODULE`; `jobs` is the default."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="play this one seed")
    what.add_argument("--seeds", type=seed_range, metavar="A..B", help="play the seeds A to B-1")
    made.add_argument("--trace", action="store_true", help="print every event and effect (with --seed)")
    made.add_argument("--jobs", type=int, default=jobs, help=f"processes to use (default {jobs})")
    return made


def outcomes(run: Callable[[int], T], seeds: range, jobs: int, until: float | None = None) -> Iterator[T]:
    """How each seed ended, in order; no new ones begin after `until` (seconds of the monotonic clock)."""
    chunks = [seeds[start : start + CHUNK * jobs] for start in range(0, len(seeds), CHUNK * jobs)]
    if jobs == 1:
        for chunk in chunks:
            if until is not None and monotonic() >= until:
                return
            yield from map(run, chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for chunk in chunks:
            if until is not None and monotonic() >= until:
                return
            yield from pool.map(run, chunk, chunksize=max(CHUNK // 4, 1))
