"""`check` and `facts` as a person calls them, and the same options with `-t`."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.cli import commands
from keepalived_py.cli.facts_command import RecordingHost, facts
from keepalived_py.cli.main import main
from keepalived_py.cli.options import parse
from keepalived_py.config.facts import facts_of

INTERFACE = "nowhere0"  # no machine of a test has it
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
FACTS: dict[str, Any] = {
    "format": 1,
    "host_name": "lb1.example",
    "interfaces": {INTERFACE: {"mtu": 1500, "addresses": ["10.1.0.1/16"]}},
    "users": {"root": [0, 0]},
}


def instance(lines: str = "priority 150", vrid: int = 7, vip: str = "10.1.0.100/16") -> str:
    return (
        f"vrrp_instance VI_1 {{\ninterface {INTERFACE}\nvirtual_router_id {vrid}\n{lines}\n"
        f"virtual_ipaddress {{\n{vip}\n}}\n}}\n"
    )


def write(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def machine(tmp_path: Path, name: str = "host.json", **changes: Any) -> str:
    return write(tmp_path, name, json.dumps({**FACTS, **changes}))


Capture = pytest.CaptureFixture[str]


def test_without_the_machine(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance())
    assert main(["check", path]) == 5
    assert "Non-existent interface" in capsys.readouterr().err
    assert main(["check", "--no-host", path]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        f"hint[not-checked]: not checked, since nothing is known about them here: interfaces: {INTERFACE}"
        in err
    )
    assert err.endswith("1 file: 1 hint\n")


def test_with_a_description_of_the_machine(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance(vip="10.2.0.1/24"))
    assert main(["check", "--facts", machine(tmp_path), path]) == 0
    err = capsys.readouterr().err
    assert f"{path}:6:1: warning[address-outside]" in err
    assert err.endswith("1 file: 1 warning\n")
    other = machine(tmp_path, "other.json", interfaces={})
    assert main(["check", "--facts", other, path]) == 5


def test_the_description_gives_the_id(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance() + "@lb1 wrong\n@lb2 worse\n")
    assert main(["check", "--facts", machine(tmp_path), path]) == 5
    assert "'wrong'" in (first := capsys.readouterr().err)
    assert "'worse'" not in first
    assert main(["check", "--facts", machine(tmp_path), "-i", "lb2", path]) == 5
    assert "'worse'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which FILE?"),
        (["--bogus", "k"], "--bogus"),
        (["--facts", "a", "--facts", "b", "k"], "--facts once, or once for each file"),
        (["-i", "a", "-i", "b", "k"], "--config-id once, or once for each file"),
        (["--facts", "a", "--no-host", "k"], "exclude each other"),
        (["--compat", "new", "k"], "a version such as 2.2.7"),
        (["--diagnostics", "loud", "k"], "loud"),
    ],
)
def test_wrong_command_lines(words: list[str], said: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["check", *words])
    assert raised.value.code == 1
    assert said in capsys.readouterr().err


def test_a_broken_description(tmp_path: Path, capsys: Capture) -> None:
    path, broken = write(tmp_path, "k.conf", instance()), write(tmp_path, "host.json", "{")
    for words in (["check", "--facts", broken, path], ["-t", "--facts", broken, "-f", path]):
        assert main(words) == 1
        assert capsys.readouterr().err.startswith(f"{broken} is no JSON")
    assert main(["check", "--facts", str(tmp_path / "none.json"), path]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/none.json: No such file or directory\n"


def test_a_missing_file(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "none.conf")]) == 1
    assert "Config files missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        (instance("priority 100"), 0, "nothing to say"),
        (instance("priority 150"), 0, "1 warning"),
        (instance("priority 100", vip="10.1.0.9/16"), 5, "1 error"),
        (instance("priority 100") + "unknown\n", 5, "1 error"),
        (instance("priority"), 2, "1 error"),
    ],
)
def test_two_files(second: str, code: int, said: str, tmp_path: Path, capsys: Capture) -> None:
    paths = [write(tmp_path, "lb1.conf", instance()), write(tmp_path, "lb2.conf", second)]
    words = ["check", "--no-host", "--ignore", "not-checked", *paths]
    assert main(words) == code
    assert capsys.readouterr().err.endswith(f"2 files: {said}\n")


def test_the_lines_on_both_sides(tmp_path: Path, capsys: Capture) -> None:
    one, two = write(tmp_path, "lb1.conf", instance()), write(tmp_path, "lb2.conf", "\n" + instance("", 8))
    assert main(["check", "--no-host", one, two]) == 5
    err = capsys.readouterr().err
    assert f"{two}:4:1: error[cluster-router-id]: (VI_1) virtual_router_id 7 in {one}, 8 in {two}" in err
    assert f"  note: the other side: {one}:3: virtual_router_id 7\n" in err
    assert main(["check", "--no-host", "--separate", one, two]) == 0
    assert "cluster" not in capsys.readouterr().err


def test_one_file_for_two_nodes(tmp_path: Path, capsys: Capture) -> None:
    text = instance("@lb1 priority 150\n@lb2 priority 100\n@lb1 advert_int 2")
    path = write(tmp_path, "k.conf", text)
    assert main(["check", "--no-host", "-i", "lb1", "-i", "lb2", path, path]) == 5
    err = capsys.readouterr().err
    assert f"advert_int 2 in {path} (lb1), 1 in {path} (lb2)" in err


def test_a_machine_for_each_file(tmp_path: Path, capsys: Capture) -> None:
    """Who is meant by a unicast_peer is known from the addresses of the machines."""
    one = write(tmp_path, "lb1.conf", instance("priority 9\nunicast_peer {\n10.1.0.2\n}"))
    two = write(tmp_path, "lb2.conf", instance("unicast_peer {\n10.1.0.1\n}"))
    here = machine(tmp_path, "1.json")
    for address, code in (("10.1.0.2/16", 0), ("10.1.0.3/16", 5)):
        there = machine(tmp_path, "2.json", interfaces={INTERFACE: {"mtu": 1500, "addresses": [address]}})
        assert main(["check", "--facts", here, "--facts", there, one, two]) == code
        assert ("cluster-unicast" in capsys.readouterr().err) is (code == 5)


def test_a_refused_file_is_not_compared(tmp_path: Path, capsys: Capture) -> None:
    one, two = (
        write(tmp_path, "lb1.conf", instance()),
        write(tmp_path, "lb2.conf", instance(vrid=8).replace("virtual_router_id 8", "")),
    )
    assert main(["check", "--no-host", one, two]) == 5
    assert "cluster" not in capsys.readouterr().err


def test_json(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance(vrid=51))
    assert main(["check", "--no-host", "--ignore", "not-checked", "--diagnostics", "json", path]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (found,) = map(json.loads, out.splitlines())
    assert (found["code"], found["severity"], found["line"]) == ("common-router-id", "hint", 3)


def test_the_list_of_lints(capsys: Capture) -> None:
    assert main(["check", "--lints"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"common-router-id", "cluster-weight"} <= set(names)


# With -t ----------------------------------------------------------------------


def test_advice_with_t_only_in_styles_for_people(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance(vrid=51))
    words = ["-t", "--no-host", "-f", path]
    assert main([*words, "--diagnostics=full"]) == 0
    assert "common-router-id" in capsys.readouterr().err
    assert main([*words, "--diagnostics=full", "--ignore=common-router-id,not-checked"]) == 0
    assert capsys.readouterr().err == ""
    assert main(words) == 0
    assert capsys.readouterr().err == (
        f"not checked, since nothing is known about them here: interfaces: {INTERFACE}\n"
    )


def test_facts_with_t(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "k.conf", instance())
    assert main(["-t", "-f", path]) == 5
    capsys.readouterr()
    assert main(["-t", "--facts", machine(tmp_path), "-f", path]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("version", "code"), [("2.2.7", 5), ("2.4.3", 0)])
def test_the_version_whose_verdict_counts(version: str, code: int, tmp_path: Path, capsys: Capture) -> None:
    text = instance("version 3\nauth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 1\n}")
    path = write(tmp_path, "k.conf", text)
    assert main(["-t", "--no-host", "--compat", version, "-f", path]) == code
    assert main(["check", "--no-host", "--compat", version, path]) == code
    assert ("auth_hmac" in capsys.readouterr().err) is (code == 5)


def test_options() -> None:
    options = parse(["--ignore=a,b", "--ignore", "c", "--facts=x", "--no-host", "--compat=2.4.3"]).options
    assert (options.ignore, options.facts, options.no_host) == (("a", "b", "c"), "x", True)
    assert options.compat == "2.4.3"
    assert parse(["--compat=9"]).errors == ("Invalid --compat option 9: a version such as 2.2.7",)


def test_only_the_first_word_is_a_command(capsys: Capture) -> None:
    assert commands.is_command(["check"])
    assert not commands.is_command(["-t", "check"])
    assert not commands.is_command([])
    assert main(["-v", "check"]) == 0


# facts ------------------------------------------------------------------------


def test_facts_of_this_machine_answer_as_it_does(tmp_path: Path) -> None:
    script = tmp_path / "real" / "x.sh"
    script.parent.mkdir()
    script.write_text("")
    script.chmod(0o750)
    (tmp_path / "link").symlink_to("real")
    host = RecordingHost()
    asked = [f"{tmp_path}/link/x.sh", "/bin/sh", "/nonexistent/y", str(tmp_path)]
    answers = [(host.status(path), host.real_path(path)) for path in asked]
    found = facts_of(json.dumps(facts(host, [str(tmp_path)])), "host.json")
    assert [(found.status(path), found.real_path(path)) for path in asked] == answers
    assert found.status(f"{tmp_path}/real/other.sh") is None  # the folder is listed wholly
    assert found.skipped() == ()
    assert found.interface_is_loopback("lo")
    assert found.interface_mtu("lo") == host.interface_mtu("lo")
    assert found.user("root") == host.user("root")
    assert found.kernel_name("rt_scopes", "link") == host.kernel_name("rt_scopes", "link")
    assert found.host_name() == os.uname().nodename
    local = found.local_addresses("lo")
    assert local is not None


def test_the_command_looks_up_what_the_file_names(tmp_path: Path, capsys: Capture) -> None:
    script = tmp_path / "check.sh"
    script.write_text("")
    path = write(tmp_path, "k.conf", SECURE + instance(f"notify {script}"))
    assert main(["facts", "-f", path]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"][str(script)]["mode"] == f"{script.stat().st_mode:o}"
    assert str(tmp_path) in found["files"]
    assert main(["facts", "-f", str(tmp_path / "none.conf")]) == 1
    assert capsys.readouterr() == ("", f"{tmp_path}/none.conf: No such file or directory\n")
