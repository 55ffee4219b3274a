"""`explain`, `dump`, `schema` and `completion` as a person calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from keepalived_py.cli import commands
from keepalived_py.cli.main import main
from keepalived_py.config.dump import MASK

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = str(ROOT / "samples" / "single-master" / "node1.conf")
Capture = pytest.CaptureFixture[str]


def instance(lines: str = "") -> str:
    return (
        "vrrp_instance VI_1 {\ninterface nowhere0\nvirtual_router_id 7\n"
        f"virtual_ipaddress {{\n10.1.0.100/16\n}}\n{lines}}}\n"
    )


def write(tmp_path: Path, text: str, name: str = "k.conf") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_says_what_it_takes(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: keepalived-py {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["dump", "--jsonn"],
        ["convert"],
        ["facts", "-x"],
        ["start", "x"],
        ["schema", "x"],
        ["completion"],
        ["explain", "a", "b"],
    ],
)
def test_a_wrong_command_line_ends_with_1(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert f"keepalived-py {words[0]}: " in capsys.readouterr().err


# explain ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "parts"),
    [
        (
            "vrrp_instance/preempt_delay",
            ["vrrp_instance/preempt_delay\n", "preempt_delay <DEC 0..1000>", "Default: 0 s"],
        ),
        ("auth_pass", ["vrrp_instance/authentication/auth_pass\n", "auth_pass <STRING max 8>"]),
        ("vrrp_track_file", ["vrrp_track_file <NAME> { ... }", "The old name of track_file."]),
        ("lvs_sync_daemon", ["Words behind it:", "maxlen <INT 1..65507>"]),
        (
            "virtual_ipaddress",
            ["Each line in it:", "<IPADDR>[/<LEN>] [options]", "Words of a line:", "dev <IF>"],
        ),
        ("linkbeat_interfaces/<entry>", ["<IF> [MII|ETHTOOL|IOCTL]"]),
        ("vrrp_script", ["Inside it:", "interval <DEC 0..4294>", "(default: 1 s)"]),
        ("auth_hmac", ["Since keepalived 2.4.0"]),
        ("nat_mask", ["Taken out of keepalived in 1.2.20"]),
        ("includer", ["includer <GLOB>"]),
        ("encap/ip/ttl", ["static_routes/encap/ip/ttl\n", "ttl <INT 0..255>"]),
        ("SSL_GET/warmup", ["virtual_server/real_server/SSL_GET/warmup\n", "Unit: s"]),
        ("url/path", ["HTTP_GET/url/path\n", "SSL_GET/url/path\n"]),
    ],
)
def test_explained(keyword: str, parts: list[str], capsys: Capture) -> None:
    assert main(["explain", keyword]) == 0
    said = capsys.readouterr().out
    for part in parts:
        assert part in said


def test_many_places_of_one_name_are_listed(capsys: Capture) -> None:
    assert main(["explain", "weight"]) == 0
    said = capsys.readouterr().out
    assert "keywords have this name; give the path of one:" in said
    assert "  vrrp_script/weight " in said


def test_without_a_name_all_paths_are_listed(capsys: Capture) -> None:
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "vrrp_instance/track_script/weight" in lines
    assert len(lines) > 1000


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("vrrp_instance/preempt_dely", "Did you mean vrrp_instance/preempt_delay?"),
        ("preempt_dely", "Did you mean preempt_delay?"),
        ("real_server/HTTP_GETT", "Did you mean virtual_server/real_server/HTTP_GET?"),
        ("vrrp_instance/auth_pass", "auth_pass belongs inside authentication."),
    ],
)
def test_what_was_meant(keyword: str, hint: str, capsys: Capture) -> None:
    assert main(["explain", keyword]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"There is no keyword {keyword}. {hint}\n"


def test_what_is_like_nothing(capsys: Capture) -> None:
    assert main(["explain", "xyzzyx"]) == 1
    assert capsys.readouterr().err == "There is no keyword xyzzyx.\n"


# dump ------------------------------------------------------------------------


def test_dump_is_canonical(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, instance("priority 150\nadvert_int 2\nnopreempt\n"))
    assert main(["dump", "--no-host", path]) == 0
    first = capsys.readouterr().out
    assert "    priority 150\n" in first
    assert "    advert_int 2\n" in first
    assert "    nopreempt\n" in first
    again = write(tmp_path, first, "again.conf")
    assert main(["dump", "--no-host", again]) == 0
    assert capsys.readouterr().out == first


def test_dump_for_another_machine(tmp_path: Path, capsys: Capture) -> None:
    facts = {"format": 1, "host_name": "lb1.example", "interfaces": {"nowhere0": {}}, "users": {}}
    path = write(tmp_path, f"@lb1 global_defs {{\n@lb1 router_id LB1\n@lb1 }}\n{instance()}")
    assert main(["dump", "--facts", write(tmp_path, json.dumps(facts), "host.json"), path]) == 0
    assert "router_id LB1" in capsys.readouterr().out
    assert main(["dump", "--no-host", "-i", "lb2", path]) == 0
    assert "LB1" not in capsys.readouterr().out


def test_dump_masks_secrets(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, instance("authentication {\nauth_type PASS\nauth_pass geheim\n}\n"))
    assert main(["dump", "--no-host", path]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"# Secrets are written as {MASK}; dump --secrets shows them.\n")
    assert "geheim" not in said
    assert main(["dump", "--no-host", "--secrets", path]) == 0
    said = capsys.readouterr().out
    assert "auth_pass geheim" in said
    assert MASK not in said
    assert main(["dump", "--no-host", "--json", path]) == 0
    assert "geheim" not in capsys.readouterr().out


def test_nothing_secret_is_nothing_to_say(tmp_path: Path, capsys: Capture) -> None:
    assert main(["dump", "--no-host", write(tmp_path, instance())]) == 0
    assert "#" not in capsys.readouterr().out


def test_dump_of_a_file_with_mistakes(tmp_path: Path, capsys: Capture) -> None:
    assert main(["dump", "--no-host", write(tmp_path, instance("priority 300\n"))]) == 0
    said = capsys.readouterr()
    assert "    priority 100\n" in said.out
    assert "Priority not valid" in said.err


def test_nothing_is_dumped_that_could_not_run(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, "vrrp_instance VI_1 {\nvirtual_router_id\n}\n")
    assert main(["dump", "--no-host", path]) == 5
    said = capsys.readouterr()
    assert said.out == ""
    assert "not dumped, since keepalived would not start with it" in said.err
    assert main(["dump", str(tmp_path / "missing.conf")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["dump", "--facts", str(tmp_path / "missing.json"), path]) == 1


def test_dump_of_keep_vip_s_yaml(tmp_path: Path, capsys: Capture) -> None:
    path = str(ROOT / "samples" / "keep-vip.yaml")
    assert main(["dump", path]) == 0
    text = capsys.readouterr().out
    assert main(["dump", write(tmp_path, text, "again.yaml")]) == 0
    assert capsys.readouterr().out == text
    assert main(["dump", "--json", path]) == 0
    assert json.loads(capsys.readouterr().out)["members"]
    assert main(["dump", write(tmp_path, "members: 3\n", "bad.yaml")]) == 5


# schema ----------------------------------------------------------------------


def test_dump_fits_the_printed_schema(capsys: Capture) -> None:
    assert main(["schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert main(["dump", "--no-host", "--json", SAMPLE]) == 0
    values = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema).validate(values)
    values["vrrp_instance"][0]["priority"] = 0
    assert not jsonschema.Draft202012Validator(schema).is_valid(values)


# completion ------------------------------------------------------------------


def script(shell: str, capsys: Capture) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def test_each_shell_has_a_script(capsys: Capture) -> None:
    assert "#compdef keepalived-py" in script("zsh", capsys)
    assert "complete keepalived-py" in script("tcsh", capsys)
    assert "--snmp-agent-socket" in script("zsh", capsys)


ASK = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
completion=$(complete -p keepalived-py)
completion=${completion##*-F }
"${completion%% *}" "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--conf"], {"--config-id", "--config-test"}),
        (["du"], {"dump"}),
        (["dump", "--s"], {"--secrets"}),
        (["completion", ""], {"bash", "zsh", "tcsh"}),
        (["--diagnostics", "k"], {"keepalived"}),
        (["check", "--diagnostics", "f"], {"full"}),
        (["explain", "vrrp_instance/preempt_d"], {"vrrp_instance/preempt_delay"}),
    ],
)
def test_bash_completes(words: list[str], offered: set[str], tmp_path: Path, capsys: Capture) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    path = write(tmp_path, script("bash", capsys), "completion")
    assert subprocess.run([bash, "-n", path], capture_output=True).stderr == b""
    (tmp_path / "keepalived-py").write_text(f"#!/bin/sh\necho {' '.join(offered)} | tr ' ' '\\n'\n")
    (tmp_path / "keepalived-py").chmod(0o755)
    done = subprocess.run(
        [bash, "--norc", "-c", ASK, "ask", path, "keepalived-py", *words],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == offered


def test_a_reader_that_goes_away_is_no_fault() -> None:
    """`keepalived-py schema | head`: no traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "keepalived_py", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        assert started.stdout is not None and started.stderr is not None
        started.stdout.read(10)
        started.stdout.close()
        said = started.stderr.read()
    assert (said, started.returncode) == (b"", 141)
