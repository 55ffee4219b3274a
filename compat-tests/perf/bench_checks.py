"""Health checks of ours beside those of the real keepalived: their rate, cost, punctuality, and what they disturb.

    python compat-tests/perf/bench_checks.py [--only native,kernel,adverts] [--seconds 5] [--repeat 1] [--json FILE]

Needs root, nginx and, for the real program natively, a C compiler.  Values of several repetitions are medians.

  native   on this machine's kernel, with a table that takes everything: our shell and probes by
           themselves, and the real program with `taken_table.c`.  Checks on one processor, the
           servers on another one
  kernel   in User-mode Linux, which has IPVS, both daemons as they are; all on one processor, and a system call costs
           many times what it costs otherwise, so look at the ratio only
  adverts  intervals of an instance at 100 ms beside 2,000 HTTP checks a second, and without
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "netns"), str(_HERE.parent / "ipvs")]

import uml  # noqa: E402  the path above must be set first
from check_rounds import Job, Round  # noqa: E402
from lab import Lab  # noqa: E402
from measure import spread  # noqa: E402
from scene import Routers, key_of, laboratories, live_adverts, masters  # noqa: E402

# What a round found, by its name and the program.
Found = dict[tuple[str, str], dict[str, object]]
PROGRAMS = ("real", "ours")
_BEGINNING = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
_PYTHON = sys.executable
_DAEMON = ["-n", "-l", "-D", "-G", "-C", "-f"]


def _rounds(kinds: Iterable[str], sizes: Iterable[tuple[int, float]], template: Round) -> tuple[Round, ...]:
    return tuple(
        replace(template, program=program, kind=kind, servers=servers, delay_s=delay_s)
        for servers, delay_s in sizes
        for kind in kinds
        for program in PROGRAMS
    )


def _of_lines(text: str) -> Found:
    found: Found = {}
    for line in text.splitlines():
        if line.startswith("{"):
            read = json.loads(line)
            found[read["name"], read["program"]] = read["figures"]
    return found


# -- on this machine --------------------------------------------------------------


@contextmanager
def _native_job(rounds: tuple[Round, ...]) -> Iterator[Job]:
    """With a library for the real program, if it can be made; else without the real program."""
    commands = {"ours": [_PYTHON, str(_HERE / "checks_alone.py")], "real": ["keepalived", *_DAEMON]}
    with tempfile.TemporaryDirectory(prefix="checks-") as place:
        library = Path(place) / "taken_table.so"
        words = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_HERE / "taken_table.c"), "-ldl"]
        try:
            subprocess.run(words, check=True, timeout=60, capture_output=True)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"the real program is not measured natively: {error}", file=sys.stderr)
            rounds = tuple(one for one in rounds if one.program != "real")
        yield Job(rounds, commands, ("0", "1"), {"real": {"LD_PRELOAD": str(library)}})


def _isolated(job: Job) -> list[str]:
    """The words that play a job in namespaces of its own, which end with it."""
    space = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*space, "sh", "-c", _BEGINNING, "sh", _PYTHON, str(_HERE / "check_rounds.py"), job.text()]


def native(options: argparse.Namespace) -> Found:
    """Rates, costs and lateness; and how late a death is noticed."""
    template = Round("", "", 0, 0, options.seconds)
    rounds = _rounds(("tcp", "http"), ((200, 1), (2_000, 1), (10_000, 5), (10_000, 1)), template)
    rounds += _rounds(("tcp",), ((200, 1),), replace(template, deaths=3))
    with _native_job(rounds) as job:
        limit_s = sum(30 + one.seconds + 2 * one.delay_s + 30 * one.deaths for one in job.rounds)
        done = subprocess.run(_isolated(job), stdout=subprocess.PIPE, text=True, timeout=limit_s)
    return _of_lines(done.stdout)


# -- in a kernel with IPVS -----------------------------------------------------------


def kernel(options: argparse.Namespace) -> Found:
    """The daemons as they are; few rounds a boot, because the time of each boot is bounded."""
    template = Round("", "", 0, 0, options.seconds)
    boots = (
        _rounds(("tcp", "http"), ((200, 1),), template),
        _rounds(("tcp",), ((50, 1),), replace(template, deaths=2)),
        _rounds(("http",), ((2_000, 10),), template),
        _rounds(("http",), ((10_000, 50),), replace(template, first=True)),
    )
    commands = {"real": ["keepalived", *_DAEMON], "ours": [_PYTHON, "-m", "keepalived_py", *_DAEMON]}
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="checks-") as place:
        for number, rounds in enumerate(boots):
            words = [_PYTHON, str(_HERE / "check_rounds.py"), Job(rounds, commands).text()]
            boot = uml.boot(uml.Job(program=words), Path(place) / str(number))
            lines = _of_lines(str(boot.program.get("out")))
            if not lines:
                print(f"boot {number} brought nothing: {boot.program.get('err')}", file=sys.stderr)
            found |= lines
    return found


# -- beside adverts ------------------------------------------------------------------


@contextmanager
def _checks_beside(seconds: float) -> Iterator[None]:
    """2,000 HTTP checks a second; what is inside begins when they are under way."""
    with _native_job((Round("ours", "http", 2_000, 1, seconds + 4),)) as job:
        process = subprocess.Popen(_isolated(job), stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(5)
            yield
            said = _of_lines(process.communicate(timeout=60)[0])
        finally:
            process.terminate()
            process.wait(10)
    for figures in said.values():
        print(f"beside adverts: {figures.get('checks per s', 0):.0f} checks/s", file=sys.stderr)


def adverts(options: argparse.Namespace) -> Found:
    """Windows with and without checks in turn; both programs, with and without real-time priority, at once."""
    kinds = {f"{word}, {program}": program for word in ("ordinary", "real-time") for program in PROGRAMS}
    errors: dict[tuple[str, str], list[float]] = {}
    with laboratories(list(kinds), nodes=1) as labs:
        for name, lab in labs.items():
            general = ("vrrp_rt_priority 50",) if name.startswith("real-time") else ()
            routers = Routers(1, 0.1, general=general)
            lab.start(1, kinds[name], routers.text(200))
            lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 20, "node 1 is MASTER")  # noqa: B023
        time.sleep(2)

        def window(words: str) -> None:
            for one in labs.values():
                one.capture.frames.clear()
            time.sleep(2 * options.seconds)
            for name, one in labs.items():
                errors.setdefault((name, words), []).extend(_errors_of(one))

        for _ in range(2):
            window("quiet")
            with _checks_beside(2 * options.seconds):
                window("beside checks")
    found: Found = {}
    for (name, words), values in errors.items():
        sizes = spread([abs(value) for value in values])
        priority, _, program = name.partition(", ")
        figures: dict[str, object] = {
            "p50": sizes.p50,
            "p99": sizes.p99,
            "worst": sizes.worst,
            "intervals": sizes.count,
        }
        found[f"{priority}, {words}", program] = figures
    return found


def _errors_of(lab: Lab) -> list[float]:
    times = [frame.time_ns for frame in live_adverts(list(lab.capture.frames), 1) if key_of(frame) == (0, 1)]
    return [(b - a) / 1e6 - 100 for a, b in itertools.pairwise(times)]


# -- the whole -----------------------------------------------------------------------


def _median(found: list[Found]) -> Found:
    """Of every figure the median of the repetitions."""
    whole: Found = {}
    for key in dict.fromkeys(itertools.chain(*found)):
        mine = [one[key] for one in found if key in one]
        good = [one for one in mine if "fault" not in one] or mine[:1]
        whole[key] = {name: _middle([one[name] for one in good if name in one]) for name in good[0]}
    return whole


def _middle(values: list[object]) -> object:
    numbers = [value for value in values if isinstance(value, int | float)]
    return statistics.median(numbers) if len(numbers) == len(values) else values[0]


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(title: str, found: Found) -> str:
    """A row for each figure of each round: the real program, ours, and the ratio."""
    lines = [f"| {title} | figure | keepalived | keepalived-py | ratio |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in found):
        both = [found.get((name, program), {}) for program in PROGRAMS]
        for figure in dict.fromkeys(itertools.chain(*both)):
            real, ours = (one.get(figure) for one in both)
            if figure == "fault":
                lines.append(f"| {name} | not measured | {real or ''} | {ours or ''} | |")
                continue
            numbers = (
                isinstance(real, int | float) and isinstance(ours, int | float) and real > 0 and ours > 0
            )
            ratio = f"{ours / real:.2f}" if numbers else ""  # type: ignore[operator]
            lines.append(f"| {name} | {figure} | {_number(real)} | {_number(ours)} | {ratio} |")
    return "\n".join(lines)


MEASURES: dict[str, Callable[[argparse.Namespace], Found]] = {
    "native": native, "kernel": kernel, "adverts": adverts,
}  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, separated by commas")
    parser.add_argument("--seconds", type=float, default=5, help="how long each round is measured")
    parser.add_argument("--repeat", type=int, default=1, help="how often each measure is made")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser.parse_args()


def main() -> int:
    """Make the chosen measures; 1 if one of them, or a round of one, could not be made."""
    options = _options()
    kept: dict[str, dict[str, dict[str, object]]] = {}
    failed = 0
    for name in options.only.split(","):
        try:
            found = _median([MEASURES[name](options) for _ in range(options.repeat)])
        except (AssertionError, RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            failed = 1
            continue
        failed |= any("fault" in figures for figures in found.values()) or not found
        kept[name] = {f"{row}: {program}": figures for (row, program), figures in found.items()}
        print(table(name, found), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(kept, indent=2))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
