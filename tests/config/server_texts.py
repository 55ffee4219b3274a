"""Texts of configurations with virtual servers, and what is asked about them, for tests."""

from pathlib import Path

from keepalived_py.config.load import Loaded, load
from keepalived_py.model.virtual_server import VirtualServer
from tests.config.fake_host import FakeHost

SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
VIP = "[10.0.0.1]:tcp:80"
RANGE = "number '{}' outside range [{}, {}]"
FOUR = "4294967295"


def read(tmp_path: Path, text: str, host: FakeHost | None = None) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=host or FakeHost())


def messages(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if not one.logged_only]


def logged(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if one.logged_only]


def server(
    lines: str = "",
    real: str = "",
    *,
    header: str = "10.0.0.1 80",
    common: str = "lvs_sched rr\nlvs_method NAT\nprotocol TCP\n",
    real_header: str = "10.1.0.2 80",
) -> str:
    """A virtual server without mistakes, with what a test adds to it and to its real server."""
    return f"virtual_server {header} {{\n{common}{lines}\nreal_server {real_header} {{\n{real}\n}}\n}}\n"


def group(*entries: str, name: str = "g") -> str:
    return f"virtual_server_group {name} {{\n" + "".join(f"{one}\n" for one in entries) + "}\n"


def one(loaded: Loaded) -> VirtualServer:
    found: VirtualServer
    (found,) = loaded.configuration.virtual_servers
    return found
