"""Real servers, each a process of its own that is stopped, killed and started again as an administrator's are.

nginx, unbound and ncat are the programs of the distribution; mail is aiosmtpd; the peer of
BFD sessions is keepalived itself.  They live on machine `servers`, at three addresses: those at
STEADY stay, and change what they serve; those at HALTED get SIGSTOP in the middle; those at KILLED
die then.  Each process is the first of its own group, which a signal reaches as a whole.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from traffic import end, inside

HOME = Path("/run/real-servers")
STEADY, HALTED, KILLED = "10.61.0.10", "10.61.0.20", "10.61.0.21"
# More addresses of the steady web server: TLS only for one name, only of one version, only for clients it knows.
CHOOSY, OLDER, NEWER, STRICT = "10.61.0.11", "10.61.0.12", "10.61.0.13", "10.61.0.14"
# A name server that forgets a name.
FORGETFUL = "10.61.0.15"
NOBODY = "10.61.0.99"
ADDRESSES = (STEADY, HALTED, KILLED, CHOOSY, OLDER, NEWER, STRICT, FORGETFUL)
NAMES = ("default", "one.example.com", "two.example.com")
HELO_NAME = "checker.example.com"
PAGE = b"the page that is wanted\n"
# Two checks at each address, by three daemons.
ECHOES = (700, 701, 702, 710, 711, 712)
_READY_S = 15.0
_ENTER = ("ip", "netns", "exec", "servers")


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for it; TimeoutError says what did not come."""
    end = time.monotonic() + _READY_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)


class Server:
    """A program on machine `servers`."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [*_ENTER, *words]
        self._log = (HOME / f"{words[0].rpartition('/')[2]}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """A signal for all of its processes."""
        os.killpg(self.pid, number)

    def reload(self) -> None:
        """SIGHUP for its first process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """It is gone, without a word, and all that it had open."""
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()


# -- web -------------------------------------------------------------------------------

_NGINX = """user root;
daemon off;
worker_processes 1;
pid {home}/pid;
error_log {home}/log;
events {{
    worker_connections 128;
}}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    ssl_certificate {home}/../default.pem;
    ssl_certificate_key {home}/../default.pem;
{servers}}}
"""
_PLAIN = """    server {{
        listen {host}:80 default_server;
        listen {host}:443 ssl default_server;
        root {home};
        ssi on;
        ssi_types text/plain;
        location = /moved {{ return 302 /page; }}
        location = /busy {{ include {home}/busy; }}
        location = /names {{ return 200 "sni=$ssl_server_name host=$host\\n"; }}
    }}
"""
_NAMED = """    server {{
        listen {host}:80;
        listen {host}:443 ssl;
        server_name {name};
        ssl_certificate {home}/../{name}.pem;
        ssl_certificate_key {home}/../{name}.pem;
        location = /names {{ return 200 "sni=$ssl_server_name host=$host\\n"; }}
        location / {{ return 200 "this is {name}\\n"; }}
    }}
"""
_SPECIAL = """    server {{
        listen {host}:443 ssl{default};
        {line}
        location / {{ return 200 "hello\\n"; }}
    }}
"""


def _web_servers(host: str, home: Path) -> str:
    text = _PLAIN.format(host=host, home=home)
    if host != STEADY:
        return text
    text += "".join(_NAMED.format(host=host, home=home, name=name) for name in NAMES[1:])
    special = (
        (CHOOSY, " default_server", "ssl_reject_handshake on;"),
        (CHOOSY, "", f"server_name {NAMES[1]};"),
        (OLDER, "", "ssl_protocols TLSv1.2;"),
        (NEWER, "", "ssl_protocols TLSv1.3;"),
        (STRICT, "", f"ssl_verify_client on;\n        ssl_client_certificate {home}/../default.pem;"),
    )
    return text + "".join(
        _SPECIAL.format(host=host, default=default, line=line) for host, default, line in special
    )


class Web(Server):
    """nginx at one address.  `wanted`: what it serves at first; `other`: another page, one less, and a refusal."""

    def __init__(self, host: str) -> None:
        self._home = HOME / f"web-{host}"
        self._home.mkdir()
        path = self._home / "nginx.conf"
        path.write_text(_NGINX.format(home=self._home, servers=_web_servers(host, self._home)))
        super().__init__(["nginx", "-p", str(self._home), "-e", str(self._home / "log"), "-c", str(path)])
        self._write(PAGE, 'return 200 "welcome\\n";')
        (self._home / "once").write_bytes(PAGE)
        (self._home / "chunked").write_bytes(b'<!--#include virtual="/page" -->')

    def _write(self, page: bytes, busy: str) -> None:
        (self._home / "page").write_bytes(page)
        (self._home / "busy").write_text(busy)

    def wanted(self) -> None:
        """The pages that checks want."""
        self._write(PAGE, 'return 200 "welcome\\n";')
        (self._home / "once").write_bytes(PAGE)
        self.reload()

    def other(self) -> None:
        """Another page, one that is missing, and one that is refused."""
        self._write(b"another page\n", "return 503;")
        (self._home / "once").unlink()
        self.reload()


# -- mail ------------------------------------------------------------------------------


class _Postmaster:
    """Says hello only to the one it knows, and to the name that keepalived has of its own."""

    async def handle_HELO(self, server: SMTP, session: Session, _envelope: Envelope, hostname: str) -> str:
        """The answer to HELO."""
        if hostname not in (HELO_NAME, "smtpchecker.keepalived.org"):
            return "550 who are you"
        session.host_name = hostname
        return f"250 {server.hostname}"


class Mail(Server):
    """aiosmtpd at one address, in a copy of this process."""

    def __init__(self, host: str) -> None:
        super().__init__(["mail"])
        self._host, self._pid = host, 0

    def start(self) -> None:
        """Start it, for the first time or again."""
        self._pid = inside("servers", self._work)

    def _work(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()

        def made() -> SMTP:
            return SMTP(_Postmaster(), hostname="mail.example.com", loop=loop)

        server = await loop.create_server(made, self._host, 25)
        await server.serve_forever()

    def send(self, number: signal.Signals) -> None:
        """A signal for it."""
        os.kill(self._pid, number)

    def kill(self) -> None:
        """It is gone."""
        end(self._pid)


# -- names, datagrams, sessions ----------------------------------------------------------

# It draws lots for the order of all the ports it may ask from, one system call each: seconds in this kernel.
_UNBOUND = """server:
 interface: {host}
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "{home}"
 pidfile: ""
 use-syslog: no
 num-threads: 1
 do-ip6: no
 module-config: "iterator"
 outgoing-port-avoid: "0-65535"
 outgoing-port-permit: "40000-40031"
 outgoing-range: 16
 num-queries-per-thread: 16
 outgoing-num-tcp: 1
 incoming-num-tcp: 4
 msg-cache-size: 64k
 rrset-cache-size: 64k
 key-cache-size: 16k
 neg-cache-size: 16k
 access-control: 0.0.0.0/0 allow
 local-zone: "example.com." static
 local-data: "example.com. SOA ns.example.com. root.example.com. 1 3600 900 86400 60"
 local-data: "example.com. MX 10 mail.example.com."
 local-data: "good.example.com. A 192.0.2.5"
 local-zone: "refused.example." refuse
 local-zone: "silent.example." deny
{more}remote-control:
 control-enable: no
"""
_SOMETIMES = ' local-data: "sometimes.example.com. A 192.0.2.6"\n'


class Names(Server):
    """unbound at one address."""

    def __init__(self, host: str) -> None:
        self._path, self._host = HOME / f"unbound-{host}.conf", host
        self._write(_SOMETIMES)
        super().__init__(["unbound", "-d", "-c", str(self._path)])

    def _write(self, more: str) -> None:
        self._path.write_text(_UNBOUND.format(host=self._host, home=HOME, more=more))

    def wanted(self) -> None:
        """It knows every name, and begins anew."""
        self.kill()
        self._write(_SOMETIMES)
        self.start()

    def other(self) -> None:
        """It has forgotten one."""
        self.kill()
        self._write("")
        self.start()


def echo_port(check: int, daemon: int) -> int:
    """The port of the one that answers this check of this daemon."""
    return 700 + 10 * check + daemon


def echoes(host: str) -> list[Server]:
    """ncats at one address that send four bytes of each datagram back.

    Each is for one check of one daemon, since it is deaf for a moment when it has heard somebody new.
    """
    return [
        Server(["ncat", "-u", "-l", "-k", host, str(port), "--exec", "/usr/bin/head -c 4"]) for port in ECHOES
    ]


# A session is lost after a second of silence, which a busy machine does not reach by itself.
INTERVAL_MS, MULTIPLIER = 200, 5


def session(name: str, neighbour: str, source: str) -> str:
    """A bfd_instance block for either side."""
    return (
        f"bfd_instance {name} {{\n neighbor_ip {neighbour}\n source_ip {source}\n min_rx {INTERVAL_MS}\n"
        f" min_tx {INTERVAL_MS}\n multiplier {MULTIPLIER}\n}}\n"
    )


class Peer(Server):
    """keepalived with one session for each daemon (name -> address)."""

    def __init__(self, daemons: Mapping[str, str]) -> None:
        path = HOME / "peer.conf"
        path.write_text("".join(session(name, address, STEADY) for name, address in daemons.items()))
        self._pids = {letter: HOME / f"peer.{letter}" for letter in "prcb"}
        words = [word for letter, pid in self._pids.items() for word in (f"-{letter}", str(pid))]
        super().__init__(["/usr/sbin/keepalived", "-n", "-l", "-D", "-f", str(path), *words])

    def start(self) -> None:
        """Start it; what one that was killed has left behind would keep it from starting."""
        for path in self._pids.values():
            path.unlink(missing_ok=True)
        super().start()


# -- all of them -------------------------------------------------------------------------


class Servers:
    """Every real server.  The three phases: all serve; changed, halted, killed; all serve again."""

    def __init__(self, daemons: Mapping[str, str]) -> None:
        self._web, self._names = Web(STEADY), Names(FORGETFUL)
        self._steady = [self._web, self._names, Names(STEADY), Mail(STEADY), *echoes(STEADY)]
        self._halted = [Web(HALTED), Names(HALTED), Mail(HALTED), *echoes(HALTED)]
        self._killed = [Web(KILLED), Names(KILLED), Mail(KILLED), *echoes(KILLED), Peer(daemons)]

    def start(self) -> None:
        """All of them, and wait until they serve."""
        for one in (*self._steady, *self._halted, *self._killed):
            one.start()
        self._ready(ADDRESSES[:3], (80, 443, 25, 53, *ECHOES))

    def worse(self) -> None:
        """The second phase."""
        for one in self._killed:
            one.kill()
        for one in self._halted:
            one.send(signal.SIGSTOP)
        self._web.other()
        self._names.other()

    def started_again(self) -> None:
        """Those that were killed are back, and serve."""
        self._names.wanted()
        for one in self._killed:
            one.start()
        self._ready((KILLED,), (80, 443, 25, 53, *ECHOES))
        self._ready((FORGETFUL,), (53,))

    def better(self) -> None:
        """The third phase, of which that was the first part."""
        for one in self._halted:
            one.send(signal.SIGCONT)
        self._web.wanted()

    def close(self) -> None:
        """Nobody is left."""
        for one in (*self._steady, *self._halted, *self._killed):
            one.kill()

    def _ready(self, hosts: Sequence[str], ports: Sequence[int]) -> None:
        wanted = [_written(host, port) for host in hosts for port in ports]
        place = Path(f"/proc/{self._web.pid}/net")
        until(f"{hosts} listen at {ports}", partial(_listen, place, wanted))


def _listen(place: Path, wanted: Sequence[str]) -> bool:
    lines = [
        line.split()[1] for kind in ("tcp", "udp") for line in (place / kind).read_text().splitlines()[1:]
    ]
    return all(one in lines for one in wanted)


def _written(host: str, port: int) -> str:
    """As the kernel writes it: the bytes of the address are turned round."""
    return f"{int.from_bytes(ip_address(host).packed, 'little'):08X}:{port:04X}"
