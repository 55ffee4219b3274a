"""What of a configuration is run, and what is said about the rest."""

from pathlib import Path

import pytest

from keepalived_py.config.load import load
from keepalived_py.daemon.supported import Runnable, runnable
from tests.config.fake_host import FakeHost

ADDRESS = "virtual_ipaddress {\n10.1.0.100/16\n}\n"


def instance(lines: str = "", name: str = "VI_1", vrid: int = 51, address: str = ADDRESS) -> str:
    return f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{lines}\n{address}}}\n"


def judged(tmp_path: Path, text: str) -> Runnable:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return runnable(load(str(path), config_id="node", host=FakeHost()).configuration)


def test_a_script_that_nobody_tracks_is_not_run(tmp_path: Path) -> None:
    scripts = "vrrp_script a {\nscript /bin/true\n}\nvrrp_script b {\nscript /bin/false\n}\n"
    found = judged(tmp_path, scripts + instance("track_script {\na\n}"))
    assert [one.name for one in found.configuration.scripts] == ["a"]


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    globals_text = (
        "global_defs {\nrouter_id x\nenable_traps\nvrrp_garp_master_repeat 2\nnftables_ipvs marks\n}\n"
    )
    server = "virtual_server 10.1.0.9 80 {\nlvs_sched rr\nreal_server 10.1.0.10 80 {\n}\n}\n"
    found = judged(tmp_path, globals_text + server + instance("no_accept\nsmtp_alert"))
    assert found.idle == (
        "global_defs: nftables_ipvs",
        "global_defs: enable_traps",
    )


@pytest.mark.parametrize("lines", ["version 3", "use_vmac", "unicast_peer {\n10.1.0.2\n}", "no_accept"])
def test_what_vrrp_can_do_is_run_as_it_is(tmp_path: Path, lines: str) -> None:
    found = judged(tmp_path, instance(lines) + instance("", "VI_2", 52))
    assert [one.name for one in found.configuration.instances] == ["VI_1", "VI_2"]
    assert found.idle == ()


def test_a_check_that_nobody_tracks_is_not_made(tmp_path: Path) -> None:
    checks = "".join(
        f"vrrp_check {name} {{\nTCP_CHECK {{\nconnect_ip 10.1.0.5\nconnect_port 80\n}}\n}}\n" for name in "ab"
    )
    found = judged(tmp_path, checks + instance("track_check {\na\n}"))
    assert [one.name for one in found.configuration.checks] == ["a"]
