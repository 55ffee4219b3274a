"""Real servers by the thousand for the benchmarks of health checks, and the configuration that checks them.

One nginx answers for all of them: a whole network of addresses is local to the
namespace, and it listens on one port of every address.  It counts the connections that it
has accepted, so what is measured is the checks that were made, not those that were wanted.
"""

import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

NETWORK = "10.64.0.0/16"
PORT = 80
_STATUS_PORT = 81
# The server that is to die: somebody else listens on its port, and stops.
MORTAL = ("10.65.0.1", 8080)
# Where the programs tell of it.
FIFO = "/run/checks/news"
_PER_VIRTUAL = 20
_NGINX = """\
worker_processes 1;
worker_rlimit_nofile 30000;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log crit;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    keepalive_timeout 0;
    server {{
        listen {port} backlog=20000 reuseport;
        location / {{ return 200 "hello world\\n"; }}
    }}
    server {{
        listen 127.0.0.1:{status} backlog=100;
        location / {{ stub_status; }}
    }}
}}
"""
_CHECKS = {
    "tcp": "TCP_CHECK {\n            connect_timeout 3\n        }",
    "http": "HTTP_GET {\n            url {\n                path /\n                status_code 200\n            }\n"
    "            connect_timeout 3\n        }",
}


class Targets:
    """nginx in this network namespace; `directory` takes its files.  Close it."""

    def __init__(self, directory: Path, *prefix: str) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
        if program is None:
            raise RuntimeError("nginx is not installed (scripts/setup.sh test)")
        for network in (NETWORK, "10.65.0.0/24"):
            subprocess.run(["ip", "route", "replace", "local", network, "dev", "lo"], check=True, timeout=20)
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "nginx.conf"
        file.write_text(_NGINX.format(directory=directory, port=PORT, status=_STATUS_PORT))
        words = [*prefix, program, "-p", str(directory), "-c", str(file), "-g", "daemon off;"]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > end:
                self.close()
                raise RuntimeError("nginx does not answer")
            time.sleep(0.05)

    def accepted(self) -> int:
        """Connections so far; the question counts."""
        url = f"http://127.0.0.1:{_STATUS_PORT}/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            return int(answer.read().decode().split("\n")[2].split()[0])

    def _answers(self) -> bool:
        try:
            return self.accepted() > 0
        except OSError:
            return False

    def close(self) -> None:
        """End nginx."""
        self._process.terminate()
        self._process.wait(10)


def configuration(kind: str, servers: int, delay_loop_s: float, *, mortal: bool = False) -> str:
    """`servers` real servers, checked by `kind` ("tcp", "http"); one more that is to die, if `mortal`."""
    head = (
        "global_defs {\n    router_id lab\n    enable_script_security\n    script_user root\n"
        f"    lvs_notify_fifo {FIFO}\n}}\n"
    )
    texts = []
    for first in range(0, servers, _PER_VIRTUAL):
        high, low = divmod(first // _PER_VIRTUAL, 250)
        mine = "".join(_server(kind, n) for n in range(first, min(servers, first + _PER_VIRTUAL)))
        texts.append(_virtual(f"10.66.{high}.{low + 1} 80", mine, delay_loop_s))
    if mortal:
        text = _real_server(f"{MORTAL[0]} {MORTAL[1]}", _CHECKS["tcp"])
        texts.append(_virtual("10.66.250.1 80", text, delay_loop_s))
    return head + "".join(texts)


def _virtual(service: str, servers: str, delay_loop_s: float) -> str:
    return (
        f"virtual_server {service} {{\n    delay_loop {delay_loop_s:g}\n    lb_algo rr\n    lb_kind NAT\n"
        f"    protocol TCP\n    retry 1\n    delay_before_retry 1\n{servers}}}\n"
    )


def _server(kind: str, number: int) -> str:
    high, low = divmod(number, 250)
    return _real_server(f"10.64.{high}.{low + 1} {PORT}", _CHECKS[kind])


def _real_server(where: str, check: str) -> str:
    return f"    real_server {where} {{\n        weight 1\n        {check}\n    }}\n"
