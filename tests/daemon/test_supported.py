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


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ("version 3", "VRRP version 3"),
        ("use_vmac", "use_vmac"),
        ("use_ipvlan 10.1.0.7", "use_ipvlan"),
        ("unicast_peer {\n10.1.0.2\n}", "unicast_peer"),
        ("unicast_fault_no_peer", "unicast_fault_no_peer"),
        ("authentication {\nauth_type AH\nauth_pass x\n}", "auth_type AH"),
        ("version 3\nuse_vmac", "VRRP version 3, use_vmac"),
    ],
)
def test_an_instance_that_cannot_run_is_left_out_and_named(tmp_path: Path, lines: str, word: str) -> None:
    found = judged(tmp_path, instance(lines) + instance("", "VI_2", 52))
    assert [one.name for one in found.configuration.instances] == ["VI_2"]
    assert found.notes == (f"(VI_1) {word} is not supported yet - instance not started",)


def test_ipv6_is_left_out(tmp_path: Path) -> None:
    found = judged(tmp_path, instance(address="virtual_ipaddress {\nfe80::9\n}\n"))
    assert found.configuration.instances == ()
    assert found.notes == ("(VI_1) IPv6, VRRP version 3 is not supported yet - instance not started",)


def test_a_group_without_all_its_members_is_left_out(tmp_path: Path) -> None:
    group = "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\n}\n"
    found = judged(tmp_path, instance("version 3") + instance("", "VI_2", 52) + group)
    assert found.configuration.groups == ()
    assert found.notes[1:] == ("(G) a member is not started - its running members are not synchronised",)
    whole = judged(tmp_path, instance() + instance("", "VI_2", 52) + group)
    assert [one.name for one in whole.configuration.groups] == ["G"]
    assert whole.notes == ()


def test_a_script_that_nobody_tracks_is_not_run(tmp_path: Path) -> None:
    scripts = "vrrp_script a {\nscript /bin/true\n}\nvrrp_script b {\nscript /bin/false\n}\n"
    found = judged(tmp_path, scripts + instance("track_script {\na\n}"))
    assert [one.name for one in found.configuration.scripts] == ["a"]


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    globals_text = "global_defs {\nrouter_id x\nenable_traps\nvrrp_garp_master_repeat 2\n}\n"
    static = "static_ipaddress {\n10.1.0.77/16 dev eth0\n}\n"
    found = judged(tmp_path, globals_text + static + instance("no_accept\ngarp_extra_if all 5"))
    assert found.idle == (
        "static_ipaddress",
        "global_defs: enable_traps",
        "vrrp_instance VI_1: no_accept",
        "vrrp_instance VI_1: garp_extra_if",
    )


def test_a_plain_configuration_is_run_as_it_is(tmp_path: Path) -> None:
    found = judged(tmp_path, instance("priority 150\nadvert_int 2\nnopreempt"))
    assert (found.notes, found.idle) == ((), ())
