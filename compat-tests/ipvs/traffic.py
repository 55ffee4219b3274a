"""Clients who ask through a director while an administrator works on it; runs inside the laboratory's kernel.

    traffic.py COMMAND...       the daemon's command

Four machines (network namespaces) hang on one wire: a client, the director, and two real
servers behind it; a third one is the sorry server.  A client opens connection after
connection, each with a request of its own, and notes what came of it; another one keeps a
single connection and asks again and again.  The output is JSON: for each stage of the play
what both have seen, and what the kernel has counted.

NAT: real servers answer through the director.  DR: they have the virtual address
themselves and answer the client directly.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VIP = "10.7.0.1"
SERVERS = {"one": "10.6.0.11", "two": "10.6.0.12", "sorry": "10.6.0.13"}
PORT = 80
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

CONFIGURATION = """global_defs {{
    enable_script_security
    script_user root
}}
virtual_server {vip} 80 {{
    delay_loop 1
    warmup 0
    lb_algo wrr
    lb_kind {kind}
    protocol TCP
    sorry_server 10.6.0.13 80
    real_server 10.6.0.11 80 {{
        weight {one}
        TCP_CHECK {{
            connect_timeout 5
        }}
    }}
    real_server 10.6.0.12 80 {{
        weight 10
        HTTP_GET {{
            url {{
                path /
                status_code 200
            }}
            connect_timeout 5
        }}
        MISC_CHECK {{
            misc_path "/bin/sh {script}"
            misc_dynamic
            misc_timeout 20
        }}
    }}
}}
"""


# -- machines -----------------------------------------------------------------------


def sh(line: str) -> str:
    """A command that must succeed; its output."""
    return subprocess.run(line.split(), check=True, capture_output=True, text=True, timeout=30).stdout


def lay_wire(kind: str) -> None:
    """Machines `client`, `director`, `one`, `two`, `sorry`; the director's virtual address is its client side."""
    sh("ip link add wire type dummy")
    sh("ip link set wire up")
    nets = {"client": "10.7.0.2", "director": "10.6.0.1", **SERVERS}
    for name, address in nets.items():
        sh(f"ip netns add {name}")
        sh(f"ip link add link wire name to-{name} type macvlan mode bridge")
        sh(f"ip link set to-{name} netns {name} name eth0")
        for line in ("link set lo up", "link set eth0 up", f"addr add {address}/24 dev eth0"):
            sh(f"ip -n {name} {line}")
    sh(f"ip -n director addr add {VIP}/24 dev eth0")
    sh("ip netns exec director sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0")
    for name in SERVERS:
        if kind == "NAT":
            sh(f"ip -n {name} route add default via 10.6.0.1")
        else:
            sh(
                f"ip netns exec {name} sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
            )
            sh(f"ip -n {name} addr add {VIP}/32 dev lo")
            sh(f"ip -n {name} route add 10.7.0.0/24 dev eth0")


def take_down_wire() -> None:
    """All machines are gone."""
    for name in ("client", "director", *SERVERS):
        sh(f"ip netns del {name}")
    sh("ip link del wire")


def inside(name: str, work: Callable[[], object]) -> int:
    """A process on machine `name` that does `work`; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with open(f"/run/netns/{name}") as place:
            if _libc.setns(place.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        work()
    finally:
        os._exit(1)


def end(pid: int) -> None:
    """SIGKILL, as a machine that loses its power."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def serve(name: str) -> None:
    """A web server that answers with its machine's name and keeps connections open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    Server(("0.0.0.0", PORT), Handler).serve_forever()


# -- clients ------------------------------------------------------------------------


def ask(connection: socket.socket) -> str:
    """One request over it; who answered.  OSError or ValueError if nobody did as they should."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: virtual\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2]:
        more = connection.recv(4096)
        if not more:
            raise ValueError("closed without an answer")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise ValueError(head.decode(errors="replace"))
    return body.decode()


def connect() -> socket.socket:
    """A connection to the virtual service.  Its time limit is long enough for one lost packet."""
    return socket.create_connection((VIP, PORT), timeout=8)


def ask_for_ever(path: str) -> None:
    """Connection after connection, a line for each: who answered, or what went wrong."""
    with open(path, "a", buffering=1) as notes:
        while True:
            began = time.monotonic()
            try:
                with connect() as connection:
                    said = ask(connection)
            except (OSError, ValueError) as fault:
                said = f"failed: {fault!r}"
            notes.write(f"{began:.3f} {said}\n")
            time.sleep(0.01)


def keep_asking(path: str) -> None:
    """One connection for as long as it holds, and then another one."""
    with open(path, "a", buffering=1) as notes:
        while True:
            try:
                with connect() as connection:
                    while True:
                        notes.write(f"{time.monotonic():.3f} {ask(connection)}\n")
                        time.sleep(0.1)
            except (OSError, ValueError) as fault:
                notes.write(f"{time.monotonic():.3f} failed: {fault!r}\n")
                time.sleep(0.2)


# -- the play -----------------------------------------------------------------------


class Play:
    """The director, and what is done to it."""

    def __init__(self, kind: str, command: list[str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="traffic-"))
        self._command, self._kind = command, kind
        self._servers = {name: inside(name, partial(serve, name)) for name in SERVERS}
        self.script = self.directory / "misc.sh"
        self.script.write_text("exit 0\n")
        self.configure()
        self._log = (self.directory / "log").open("w")
        self._daemon = subprocess.Popen(
            ["ip", "netns", "exec", "director", *command, "-n", "-l", "-D", "-f", str(self._file)],
            stdout=self._log,
            stderr=self._log,
        )
        self._clients: list[int] = []
        self.stages: dict[str, Any] = {}

    @property
    def _file(self) -> Path:
        return self.directory / "keepalived.conf"

    def configure(self, one: int = 10) -> None:
        """Write the configuration; `one`: the weight of that server."""
        self._file.write_text(CONFIGURATION.format(vip=VIP, kind=self._kind, one=one, script=self.script))

    def table(self) -> dict[str, str]:
        """Weight of each real server, by name."""
        found = {}
        for line in sh("ip netns exec director ipvsadm -Sn").splitlines():
            words = line.split()
            if words[0] == "-a":
                host = words[words.index("-r") + 1].partition(":")[0]
                name = next(name for name, address in SERVERS.items() if address == host)
                found[name] = words[words.index("-w") + 1]
        return found

    def until(self, **weights: int) -> float:
        """Wait until exactly these servers have these weights; how long that took, in seconds."""
        began = time.monotonic()
        wanted = {name: str(weight) for name, weight in weights.items()}
        while self.table() != wanted:
            if time.monotonic() - began > 15:
                raise TimeoutError(f"the table is {self.table()}, not {wanted}:\n{self.log()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def log(self) -> str:
        """What the daemon has said."""
        return (self.directory / "log").read_text()

    def until_said(self, words: str, times: int = 1) -> None:
        """Wait until the daemon has said this so often."""
        began = time.monotonic()
        while self.log().count(words) < times:
            if time.monotonic() - began > 15:
                raise TimeoutError(f"{words!r} is not in the log:\n{self.log()}")
            time.sleep(0.05)

    def connections(self) -> int:
        """How many connections the kernel has counted for the service since it was made."""
        shown = sh("ip netns exec director ipvsadm -Ln --stats --exact").splitlines()
        return next(int(line.split()[2]) for line in shown if line.startswith("TCP"))

    def rs(self, *words: str) -> None:
        """`keepalived-py rs`."""
        done = subprocess.run(
            ["ip", "netns", "exec", "director", *self._command, "rs", *words],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)

    def reload(self, times: int) -> None:
        """SIGHUP, and wait until all of it is done."""
        self._daemon.send_signal(signal.SIGHUP)
        self.until_said("Reload complete", times)

    def clients(self) -> None:
        """They begin."""
        for name, work in (("short", ask_for_ever), ("kept", keep_asking)):
            path = str(self.directory / name)
            Path(path).touch()
            self._clients.append(inside("client", partial(work, path)))

    def stage(self, name: str, do: Callable[[], object], for_s: float = 0.7) -> None:
        """Do it, go on for a while, and note what clients saw from its beginning on, and after it was done."""
        before = {which: self._noted(which) for which in ("short", "kept")}
        began = time.monotonic()
        did = do()
        done = time.monotonic()
        time.sleep(for_s)
        found: dict[str, Any] = {"did": did if isinstance(did, float) else round(done - began, 2)}
        for which, count in before.items():
            lines = [line.split(" ", 1) for line in self._lines(which)[count:]]
            found[which] = Counter(said for _, said in lines)
            found[f"{which}_after"] = Counter(said for at, said in lines if float(at) > done)
        found["connections"] = self.connections()
        self.stages[name] = found

    def _lines(self, which: str) -> list[str]:
        return (self.directory / which).read_text().splitlines()

    def _noted(self, which: str) -> int:
        return len(self._lines(which))

    def kill(self, name: str) -> None:
        """A real server dies."""
        end(self._servers.pop(name))

    def revive(self, name: str) -> None:
        """It is back."""
        self._servers[name] = inside(name, lambda: serve(name))

    def close(self) -> None:
        """Everybody ends; "left": what is in the table afterwards."""
        for pid in self._clients:
            end(pid)
        self._daemon.terminate()
        try:
            self._daemon.wait(15)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self.stages["left"] = sh("ip netns exec director ipvsadm -Sn")
        for pid in self._servers.values():
            end(pid)


def play(kind: str, command: list[str]) -> dict[str, Any]:
    """The stages with this forwarding method: of DR only those that are not the same as with NAT."""
    lay_wire(kind)
    made = Play(kind, command)
    try:
        made.until(one=10, two=10)
        made.clients()
        made.stage("steady", lambda: None, 1.5)
        maintenance(made)
        made.stage("reload unchanged", lambda: made.reload(1))
        if kind == "NAT":
            changes(made)
            deaths(made)
    finally:
        made.close()
        take_down_wire()
    made.stages["log"] = made.log()
    return made.stages


def maintenance(made: Play) -> None:
    """The server that holds the client's kept connection is drained and comes back."""
    name = next(iter(made.stages["steady"]["kept"]))
    made.stage("drain", lambda: drained(made, name, "two" if name == "one" else "one"))
    made.stages["drain"]["drained"] = name
    made.stage("enable", lambda: enabled(made, name))


def changes(made: Play) -> None:
    """Weights by an administrator, by a program, and by the file."""
    made.stage("weight by order", lambda: ordered(made))
    made.script.write_text("exit 42\n")
    made.stage("weight by a program", lambda: made.until(one=3, two=40))
    made.configure(one=20)
    made.stage("reload with another weight", lambda: reloaded(made))
    made.stage("reloads in a row", lambda: reloads(made))


def deaths(made: Play) -> None:
    """One dies, then the other, and both come back."""
    made.kill("two")
    made.stage("one is dead", lambda: made.until(one=20))
    made.stage("reload with a dead server", lambda: made.reload(6))
    made.kill("one")
    made.stage("all are dead", lambda: made.until(sorry=1))
    made.revive("two")
    made.stage("one is back", lambda: made.until(two=40))
    made.revive("one")
    made.stage("all are back", lambda: made.until(one=20, two=40))


def drained(made: Play, name: str, other: str) -> float:
    """The server gets no new connection any more."""
    made.rs("drain", VIP, SERVERS[name])
    return made.until(**{name: 0, other: 10})


def enabled(made: Play, name: str) -> float:
    """It gets some again."""
    made.rs("enable", VIP, SERVERS[name])
    return made.until(one=10, two=10)


def ordered(made: Play) -> float:
    """Another weight until the next reload."""
    made.rs("weight", VIP, SERVERS["one"], "3")
    return made.until(one=3, two=10)


def reloaded(made: Play) -> float:
    """The file has another weight now."""
    made.reload(2)
    return made.until(one=20, two=40)


def reloads(made: Play) -> None:
    """Three, each when the one before is complete."""
    for number in (3, 4, 5):
        made.reload(number)


def main() -> None:
    """Both methods, one after the other."""
    print(json.dumps({kind: play(kind, sys.argv[1:]) for kind in ("NAT", "DR")}))


if __name__ == "__main__":
    main()
