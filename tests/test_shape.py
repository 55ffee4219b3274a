"""The shape of the project: lengths, samples, start-up cost, and a wheel that works on its own.

The budgets keep functions readable in one look and files in one sitting.  They
are asserted here, not only promised, because they are lost one line at a time.
"""

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lark
import pytest

from keepalived_py.base.names import Address
from keepalived_py.config.host import FileStatus, RealHost, Secret
from keepalived_py.config.load import Loaded, load
from keepalived_py.diagnostics.report import Severity

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = sorted(path.relative_to(ROOT / "samples") for path in (ROOT / "samples").rglob("*.conf"))
MEDIAN_LINES, P95_LINES, MOST_LINES, FILE_LINES = 10, 45, 70, 600


@dataclass(frozen=True, slots=True)
class Function:
    """Where a function stands and how many lines it has, from `def` to its last line."""

    place: str
    lines: int


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its functions, its lines, and whether its head says anything (an empty file need not)."""

    name: str
    functions: tuple[Function, ...]
    lines: int
    silent: bool


def inside(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function below `node`; only statements can hold one, so no expression is looked into."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        if not isinstance(child, ast.expr):
            yield from inside(child)


def source(path: Path) -> Source:
    name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    found = tuple(
        Function(f"{name}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in inside(tree)
    )
    return Source(name, found, len(text.splitlines()), bool(text.strip()) and not ast.get_docstring(tree))


@cache
def room(name: str) -> tuple[Source, ...]:
    return tuple(source(path) for path in sorted((ROOT / name).rglob("*.py")))


def sources(*rooms: str) -> list[Source]:
    return [each for name in rooms for each in room(name)]


EVERYTHING = ("keepalived_py", "scripts", "tests", "compat-tests")


def test_functions_and_files_are_short() -> None:
    lengths = [function.lines for each in sources("keepalived_py") for function in each.functions]
    assert len(lengths) > 100
    assert statistics.median(lengths) <= MEDIAN_LINES
    assert statistics.quantiles(lengths, n=20)[-1] <= P95_LINES
    everything = sources(*EVERYTHING)
    functions = [function for each in everything for function in each.functions]
    assert not [function for function in functions if function.lines > MOST_LINES]
    assert not {each.name: each.lines for each in everything if each.lines > FILE_LINES}


def test_every_module_states_its_theory() -> None:
    assert not [each.name for each in sources("keepalived_py", "scripts") if each.silent]


class MachineOfTheSamples(RealHost):
    """A machine with the interface and the scripts that the samples name, all of them root's."""

    def interface_exists(self, name: str) -> bool:
        return name in ("eth0", "eth1", "eth2", "lo")

    def interface_mtu(self, name: str) -> int:
        return 1500

    def status(self, path: str) -> FileStatus | None:
        program = path.endswith((".sh", "/test", "/killall", "/ping"))
        return FileStatus(0o100755 if program else 0o040755, 0, 0)

    def real_path(self, path: str) -> str:
        return path

    def addresses(self) -> tuple[Address, ...] | None:
        return None

    def secret(self, path: str, most: int) -> Secret | None:
        return Secret(0o100600, b"k" * 32)


def read_sample(name: Path) -> Loaded:
    return load(str(ROOT / "samples" / name), config_id="", host=MachineOfTheSamples())


# The instance of the first follows its own interface twice; keepalived warns, and any warning gives 5.
# The keyword of the second came after 2.2.7, whose verdict it is.
WARNED = ("dual-master-lvs-fwmark", "auth-hmac")


@pytest.mark.parametrize("name", SAMPLES, ids=str)
def test_sample_loads(name: Path) -> None:
    loaded = read_sample(name)
    assert loaded.start_exit_code is None, loaded.diagnostics
    assert loaded.configuration.instances or name.stem == "witness"
    if name.parts[0] in WARNED:
        assert loaded.test_exit_code == 5
    else:
        assert not [found for found in loaded.diagnostics if found.severity is Severity.ERROR]
        assert loaded.test_exit_code == 0


def test_there_are_two_nodes_of_each_sample() -> None:
    by_folder: dict[str, list[str]] = {}
    for name in SAMPLES:
        by_folder.setdefault(name.parts[0], []).append(name.name)
    assert len(by_folder) == 20
    thirds = {folder: files[2:] for folder, files in by_folder.items() if files[2:]}
    assert thirds == {"raft-three-nodes": ["node3.conf"], "raft-two-and-witness": ["witness.conf"]}
    assert all(files[:2] == ["node1.conf", "node2.conf"] for files in by_folder.values())


@pytest.mark.parametrize("folder", sorted({name.parts[0] for name in SAMPLES}))
def test_nodes_of_a_sample_belong_together(folder: str) -> None:
    """Same routers, same addresses and password on both nodes, different priorities."""
    pair = [read_sample(Path(folder, node)).configuration.instances for node in ("node1.conf", "node2.conf")]
    for one, two in zip(*pair, strict=True):
        assert (one.vrid, one.addresses) == (two.vrid, two.addresses)
        assert (one.auth_data, one.destination) == (two.auth_data, two.destination)
        assert one.base_priority != two.base_priority


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, **environment},
        check=False,
    )


def test_checking_a_file_imports_nothing_heavy() -> None:
    """`--check-config` pays neither for scapy nor for pyroute2 nor for asyncio."""
    program = (
        "import sys\n"
        "from keepalived_py.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "print('HEAVY', sorted({'scapy', 'pyroute2', 'asyncio'} & set(sys.modules)))\n"
    )
    done = run(sys.executable, "-c", program, "-t", "-f", ROOT / "samples/single-master/node1.conf")
    assert "HEAVY []" in done.stdout, done


NOTIFY_CASES = [("master", 0), ("backup", 0), ("fault", 0), ("nonsense", 1), ("$(touch x)", 1)]


@pytest.mark.parametrize(("role", "code"), NOTIFY_CASES)
def test_notify_script_mails_an_alert(role: str, code: int, tmp_path: Path) -> None:
    """With a `mail` of our own in PATH, which keeps what it was given."""
    mail = tmp_path / "mail"
    mail.write_text(f'#!/bin/sh\n{{ printf "<%s>" "$@"; cat; }} >"{tmp_path}/sent"\n')
    mail.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(ROOT / "samples" / "notify.sh", role, PATH=path, CONTACT="someone@example.com")
    assert done.returncode == code
    sent = tmp_path / "sent"
    assert sent.exists() == (code == 0)
    if code == 0:
        assert f"is now {role}" in sent.read_text()
        assert "<someone@example.com>" in sent.read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout so that nothing is left in it."""
    directory = tmp_path_factory.mktemp("wheel")
    copy = directory / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("keepalived_py", "grammar"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, copy)
    assert done.returncode == 0, done.stderr
    return next(directory.glob("*.whl"))


@pytest.mark.slow
def test_wheel_contains_the_grammar_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "keepalived_py/grammar/keepalived.lark" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "samples", "compat-tests"))]


@pytest.mark.slow
def test_installed_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Only the wheel itself is installed anew; the libraries are lent by the environment of the tests."""
    place = tmp_path / "clean"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    installed = run(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel),
    )
    assert installed.returncode == 0, installed.stderr
    # Checking a file needs lark alone; it is linked in, so that the checkout cannot slip in with it.
    packages = next((place / "lib").glob("python*/site-packages"))
    (packages / "lark").symlink_to(Path(lark.__file__).parent)
    program = place / "bin" / "keepalived-py"
    small = tmp_path / "keepalived.conf"
    small.write_text("global_defs {\n    router_id here\n}\n")
    assert run(program, "-t", "-f", small).returncode == 0
    # Whether the machine of the test has the sample's eth0 is unknown; its words must be known.
    sample = run(program, "-t", "-f", ROOT / "samples/ha-ipvs/node1.conf")
    assert sample.returncode in (0, 5), sample
    assert "nknown keyword" not in sample.stderr + sample.stdout
    small.write_text("global_defs {\n    router_idd here\n}\n")
    bad = run(program, "-t", "-f", small)
    assert bad.returncode == 5
    assert "Unknown keyword 'router_idd'" in bad.stderr


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Relative links of the front pages name files that exist."""
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert not [target for target in local if not (ROOT / target).exists()]
