"""What each of keepalived's processes reads, and what it says where they disagree."""

from pathlib import Path

import pytest

from keepalived_py.config.load import Loaded, load, load_as_parent
from keepalived_py.diagnostics.render import render
from tests.config.fake_host import FakeHost

INSTANCE = "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n10.1.0.9\n}\n"
SECURE = "global_defs {\nenable_script_security\n}\n"


def read(folder: Path, text: str) -> Loaded:
    path = folder / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="lb1", host=FakeHost())


def lines(loaded: Loaded) -> list[str]:
    """What keepalived's style prints: the line and the message of each diagnostic."""
    shown = render(loaded.diagnostics, "keepalived").splitlines()
    return [line.partition("Line ")[2] if "Line " in line else line for line in shown]


CASES = [
    # a last line without an end counts for the parent process as part of the line before
    ("foo", 5, ["Unknown keyword 'foo'", "1) Unknown keyword 'foo'"]),
    ("\nfoo", 5, ["1) Unknown keyword 'foo'", "2) Unknown keyword 'foo'"]),
    ("\nfoo\n", 5, ["2) Unknown keyword 'foo'"]),
    # words between a list and its brace
    ("static_routes foo {\n}\n", 5, ["1) Block static_routes has extra parameters foo ..."]),
    # a process that reads nothing of a list takes its lines for keywords, if the brace is missing
    ("linkbeat_interfaces\neth9\n}\n", 5, ["2) Unknown keyword 'eth9'"]),
    # a brace in quotes is as good
    ('global_defs\n"{"\nrouter_id a\n}\n', 5, ["4) Extra '}' found"]),
    # behind a missing argument the parent process sees nothing
    ("global_defs {\numask\n}\n}\n", 2, ["after keyword `umask`"]),
    # a comment that ends in a backslash leaves it to the line
    ("# foo \\\n", 5, ["1) Unknown keyword '\\'"]),
]


@pytest.mark.parametrize(("text", "code", "said"), CASES)
def test_messages(text: str, code: int, said: list[str], tmp_path: Path) -> None:
    loaded = read(tmp_path, text)
    assert loaded.test_exit_code == code
    shown = lines(loaded)
    for part in said:
        assert any(part in line if part[0] == "a" else line == part for line in shown), shown


def test_nothing_is_said_of_what_the_parent_has_not_read(tmp_path: Path) -> None:
    shown = lines(read(tmp_path, "global_defs {\numask\n}\n}\nfoo\n"))
    assert len(shown) == 1 and "`umask`" in shown[0]


def test_a_newer_block_is_understood_and_its_consequences_are_told(tmp_path: Path) -> None:
    block = "auth_hmac {\nkey 1 " + "a" * 64 + "\nactive_key 1\n}\npriority 90\n"
    loaded = read(tmp_path, INSTANCE + block + "}\nfoo\n")
    assert loaded.test_exit_code == 5
    instance = loaded.configuration.instances[0]
    assert instance.auth_hmac is not None and instance.base_priority == 90
    shown = lines(loaded)
    assert "7) Unknown keyword 'auth_hmac'" in shown
    assert "11) Unknown keyword 'priority'" in shown
    full = render(loaded.diagnostics, "full")
    assert full.count("newer-keyword") == 1 and "priority'" not in full


def test_a_colon_before_the_group_is_understood_but_not_by_the_verdict(tmp_path: Path) -> None:
    loaded = read(tmp_path, SECURE + INSTANCE + 'notify_master "/bin/true" root :root\n}\n')
    assert loaded.test_exit_code == 0
    assert loaded.configuration.instances[0].notifies.master is not None


def test_without_its_namespace_only_the_parent_has_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text("net_namespace nowhere\nfoo\nvrrp_instance A {\nbar\n}\n")
    loaded = load_as_parent(str(path), config_id="lb1", host=FakeHost())
    assert loaded.test_exit_code == 0
    assert lines(loaded) == ["2) Unknown keyword 'foo'"]


def test_the_checkers_ask_for_the_default_user_first(tmp_path: Path) -> None:
    script = 'vrrp_script chk {\nscript "/bin/true"\n}\n'
    server = "virtual_server 10.1.0.1 80 {\nreal_server 10.1.0.2 80 {\nMISC_CHECK {\nmisc_path /bin/true\n}\n}\n}\n"
    shown = lines(read(tmp_path, SECURE + script + server))
    assert "11) Unable to set default user keepalived_script for script" in shown


def test_mistakes_inside_a_newer_block_are_told_to_people(tmp_path: Path) -> None:
    loaded = read(tmp_path, INSTANCE + "auth_hmac {\nkey 1 short\n}\n}\n")
    message = "not in range [32, 64]"
    assert message in render(loaded.diagnostics, "full")
    assert message not in render(loaded.diagnostics, "keepalived")


PEERS = "unicast_src_ip 10.1.0.1\nunicast_peer {\n10.1.0.2\n}\n"
NO_INTERFACE = (
    "vrrp_instance VI_1 {\nvirtual_router_id 51\n%s\nvirtual_ipaddress {\n10.1.0.9 dev eth1\n10.1.0.8\n}\n}\n"
)


def test_unicast_without_an_interface_is_understood_but_not_by_the_verdict(tmp_path: Path) -> None:
    loaded = read(tmp_path, NO_INTERFACE % PEERS)
    assert loaded.test_exit_code == 5 and "(VI_1) Unknown interface!" in lines(loaded)
    (instance,) = loaded.configuration.instances
    assert instance.interface == ""
    assert [(str(one.address), one.interface) for one in instance.addresses] == [("10.1.0.9", "eth1")]
    assert "(VI_1): no interface for vip 10.1.0.8 - removing" in render(loaded.diagnostics, "full")


def test_a_newer_verdict_wants_no_interface_for_unicast(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text((NO_INTERFACE % PEERS).replace("10.1.0.8\n", ""))
    assert load(str(path), config_id="lb1", host=FakeHost(), compat="2.4.3").test_exit_code == 0


@pytest.mark.parametrize(
    "lines_",
    ["", PEERS.replace("unicast_src_ip 10.1.0.1\n", ""), "unicast_src_ip 10.1.0.1", PEERS + "use_vmac"],
)
def test_other_instances_cannot_do_without_an_interface(lines_: str, tmp_path: Path) -> None:
    loaded = read(tmp_path, NO_INTERFACE % lines_)
    clears_vmac = "use_vmac" in lines_
    assert bool(loaded.configuration.instances) is clears_vmac
    assert loaded.test_exit_code == 5
