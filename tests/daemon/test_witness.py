"""A witness as whoever starts it sees it: in the foreground, for any user, and out with a reason."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.cli.main import main
from keepalived_py.election.raft import control
from keepalived_py.status import raft_snapshot

LIMIT_S = 15.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def text(directory: Path, port: int, witness: str = "witness") -> str:
    """The other members do not exist; 127.0.0.1 is an address of any machine."""
    return (
        "raft_cluster {\n cluster_id c1\n node_id w\n"
        f" member w 127.0.0.1:{port} {witness}\n"
        f" member a 192.0.2.1:{port}\n member b 192.0.2.2:{port}\n"
        f" data_directory {directory}/data\n run_directory {directory}/run\n}}\n"
    )


class Witness:
    """A running one."""

    def __init__(self, directory: Path, port: int, *program: str) -> None:
        self.file = directory / "w.conf"
        self.file.write_text(text(directory, port))
        self.control = str(directory / "run" / control.FILE)
        begin = program or ("-m", "keepalived_py", "witness")
        command = [sys.executable, *begin, "-f", str(self.file)]
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def logged(self, text: str) -> None:
        end = time.monotonic() + LIMIT_S
        while text not in self.log.read_text():
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)

    def status(self) -> raft_snapshot.Snapshot:
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                reply = control.ask(self.control, {"do": "status"}, LIMIT_S)
            except control.NotRunning:
                reply = {"ok": False}
            if reply["ok"]:
                return raft_snapshot.from_json(reply)
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path, free_port())
    yield made
    made.process.kill()
    made.process.wait(LIMIT_S)


def test_it_answers_reloads_and_ends(witness: Witness, tmp_path: Path) -> None:
    witness.logged("Witness w of cluster c1 at 127.0.0.1:")
    known = witness.status()
    assert (known.own, known.witness, known.gate, known.leases) == ("w", True, False, ())
    assert [(each.id, each.live) for each in known.members] == [("w", True), ("a", False), ("b", False)]
    assert all(isinstance(count, int) for _, count in known.counters)
    witness.file.write_text(witness.file.read_text().replace(" member w", "membre w"))
    witness.process.send_signal(signal.SIGHUP)
    witness.logged("New configuration refused, the running one is kept")
    witness.file.write_text(text(tmp_path, free_port()).replace("192.0.2.2", "192.0.2.3"))
    witness.process.send_signal(signal.SIGHUP)
    witness.logged("Reload complete")
    witness.process.send_signal(signal.SIGTERM)
    assert witness.process.wait(LIMIT_S) == 0
    witness.logged("Witness stopped")


def test_ctrl_c_ends_it(witness: Witness) -> None:
    witness.logged("Witness w of cluster")
    witness.process.send_signal(signal.SIGINT)
    assert witness.process.wait(LIMIT_S) == 0


Out = pytest.CaptureFixture[str]


def test_a_member_that_is_no_witness_is_told_what_to_do(tmp_path: Path, capfd: Out) -> None:
    (tmp_path / "w.conf").write_text(text(tmp_path, 7000, witness=""))
    assert main(["witness", "-f", str(tmp_path / "w.conf")]) == 2
    assert "write `witness` behind its member line (on every member)" in capfd.readouterr().err


def test_files_that_are_of_no_use(tmp_path: Path, capfd: Out) -> None:
    assert main(["witness", "-f", str(tmp_path / "missing")]) == 1
    (tmp_path / "vrrp.conf").write_text("global_defs {\n}\n")
    assert main(["witness", "-f", str(tmp_path / "vrrp.conf")]) == 2
    (tmp_path / "broken.conf").write_text(text(tmp_path, 7000).replace("127.0.0.1", "192.0.2.9"))
    assert main(["witness", "-f", str(tmp_path / "broken.conf")]) == 2
    err = capfd.readouterr().err
    assert f"{tmp_path}/missing: cannot be read" in err
    assert "vrrp.conf configures no cluster that elects by quorum" in err
    assert "broken.conf cannot be used: see above" in err


def test_a_port_that_is_taken(tmp_path: Path, capfd: Out) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        (tmp_path / "w.conf").write_text(text(tmp_path, taken.getsockname()[1]))
        assert main(["witness", "-f", str(tmp_path / "w.conf")]) == 1
    assert "choose another port" in capfd.readouterr().err


def test_it_loads_nothing_that_touches_the_network() -> None:
    program = (
        "import sys, keepalived_py.daemon.witness, keepalived_py.cli.witness_command\n"
        "print(sorted({'scapy', 'pyroute2', 'prometheus_client', 'pysyncobj', 'lark'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_any_user_may_be_one(tmp_path: Path) -> None:
    """The interpreter may be root's own: everything is imported before root is given up."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_mode & 0o001 == 0:
            each.chmod(0o711)
    for name in ("data", "run"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 65534, 65534)
    program = (
        "import encodings.idna, os, sys\nfrom keepalived_py.cli import members, witness_command\n"
        "from keepalived_py.daemon import witness\nfrom keepalived_py.election.raft import log_process\n"
        "members.load_here(sys.argv[2])\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(witness_command.run(sys.argv[1:]))\n"
    )
    witness = Witness(tmp_path, free_port(), "-c", program)
    try:
        assert witness.status().own == "w"
        assert Path(f"/proc/{witness.process.pid}/status").read_text().count("\t65534") >= 8
        assert (tmp_path / "run" / control.FILE).stat().st_uid == 65534
        witness.process.send_signal(signal.SIGTERM)
        assert witness.process.wait(LIMIT_S) == 0
    finally:
        witness.process.kill()
        witness.process.wait(LIMIT_S)
