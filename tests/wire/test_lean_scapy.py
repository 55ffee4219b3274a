"""What importing the wire room costs, and that it leaves scapy usable for others."""

import os
import subprocess
import sys
from pathlib import Path


def in_fresh_interpreter(code: str, home: Path) -> str:
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    return done.stdout.strip()


def test_nothing_is_written_and_no_vendors_are_loaded(tmp_path: Path) -> None:
    code = (
        "import keepalived_py.wire.vrrp, scapy.data, sys\n"
        "print(len(scapy.data.MANUFDB), 'scapy.libs.manuf' in sys.modules, 'scapy.layers.inet' in sys.modules)"
    )
    assert in_fresh_interpreter(code, tmp_path).split() == ["0", "False", "False"]
    assert list(tmp_path.rglob("*.pickle")) == []


def test_scapy_still_works_for_others(tmp_path: Path) -> None:
    code = (
        "import keepalived_py.wire.vrrp\n"
        "from scapy.layers.inet import IP, UDP\n"
        "print(IP(bytes(IP(dst='10.0.0.1') / UDP(dport=53)))[UDP].dport)"
    )
    assert in_fresh_interpreter(code, tmp_path) == "53"


def test_arp_needs_no_scapy(tmp_path: Path) -> None:
    code = "import keepalived_py.wire.arp, sys; print('scapy' in sys.modules)"
    assert in_fresh_interpreter(code, tmp_path) == "False"
