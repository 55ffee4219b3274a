"""Orders of an administrator on a real table, how long they stand, and what is put right when others change it."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from orders_arena import OTHER, VIP, weights
from texts import ONE, THREE, TWO
from uml import ROOT, Job, boot

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.timeout(150)]

ALL = {ONE: 5, TWO: 5, THREE: 5}
# The table is looked at every five seconds, and a slow machine may need some more.
_HEALED_S = 8.0
Seen = Mapping[str, Any]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What each stage of `orders_arena` left behind."""
    guest = ROOT / "compat-tests" / "ipvs" / "orders_arena.py"
    daemon = str(ROOT / ".venv" / "bin" / "keepalived-py")
    job = Job(program=(sys.executable, str(guest), daemon), within_s=100)
    found = boot(job, tmp_path_factory.mktemp("orders") / "boot").program
    assert found["code"] == 0, found["err"][-6000:]
    made: Seen = json.loads(found["out"])
    assert "fault" not in made, f"{made['fault']}\n{made['log']}"
    return made


def now(stage: Mapping[str, Any]) -> dict[str, int]:
    """The weights that the kernel had then."""
    return weights(stage["table"])


def test_the_list_tells_of_every_server_and_check(seen: Seen) -> None:
    assert seen["list"]["code"] == 0
    lines = seen["list"]["out"].splitlines()
    assert [line.split()[0] for line in lines if "CHECK" not in line and "GET" not in line] == [
        "[10.5.0.1]:tcp:80", "[10.5.0.11]:tcp:80", "[10.5.0.12]:tcp:80", "[10.5.0.13]:tcp:80",
        "[10.5.0.2]:tcp:80", "[10.5.0.11]:tcp:80",
    ]  # fmt: skip
    assert "up    weight 5, 0 active, 0 inactive" in lines[1]
    assert lines[2].split()[:5] == ["HTTP_GET", "ok", "200", "So", "in"]
    assert lines[4].split()[:3] == ["TCP_CHECK", "ok", "connected"]
    (virtual,) = json.loads(seen["json"]["out"])
    assert [server["weight"] for server in virtual["servers"]] == [5, 5, 5]
    assert virtual["servers"][0]["checks"][0]["code"] == 200


def test_an_order_is_in_the_table_when_the_command_ends(seen: Seen) -> None:
    assert now(seen["started"]) == ALL
    assert now(seen["drain"]) == ALL | {TWO: 0}
    assert now(seen["weight"]) == ALL | {TWO: 0, ONE: 7}
    assert now(seen["enable"]) == ALL | {ONE: 7}
    assert [seen[stage]["code"] for stage in ("drain", "weight", "enable")] == [0, 0, 0]
    assert "weight 0 (configured 5), drained until reload" in seen["drain"]["out"]
    assert "weight 0 (configured 5), drained until reload, 0 active" in seen["listed drained"]["out"]
    assert weights(seen["weight"]["table"], OTHER) == {ONE: 5}


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (
            "unknown service",
            "No virtual server is called 10.9.9.9; there are [10.5.0.1]:tcp:80, [10.5.0.2]:tcp:80",
        ),
        ("unknown list", "No virtual server is called 10.9.9.9"),
        ("unknown server", "No real server of [10.5.0.1]:tcp:80 is called 10.5.0.99; there are [10.5.0.11]"),
        ("two services", "10.5.0 may mean 2 virtual servers: [10.5.0.1]:tcp:80, [10.5.0.2]:tcp:80"),
        ("too heavy", "65536 is not a weight from 0 to 65535"),
        ("a word too few", "RS"),
        ("no such order", "'stop'"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(seen: Seen, stage: str, words: str) -> None:
    found = seen[stage]
    assert (found["code"], found["out"]) == (1, "")
    assert words in found["err"]
    assert "Traceback" not in found["err"]
    assert now(found) == now(seen["enable"])


def test_only_root_may_ask_and_everybody_may_read(seen: Seen) -> None:
    for stage in ("nobody drains", "nobody lists"):
        assert (seen[stage]["code"], seen[stage]["out"]) == (4, "")
        assert "run this as root" in seen[stage]["err"]
        assert len(seen[stage]["err"].splitlines()) == 1
    assert now(seen["nobody drains"]) == now(seen["enable"])
    assert seen["nobody reads"]["mode"] == 0o644


def test_how_long_an_order_stands(seen: Seen) -> None:
    assert "weight 9 (configured 5), weight ordered until changed" in seen["persist"]["out"]
    assert now(seen["until reload"]) == {ONE: 9, TWO: 0, THREE: 5}
    assert now(seen["crash"]) == {ONE: 9, TWO: 0, THREE: 5}
    assert now(seen["reload"]) == {ONE: 9, TWO: 5, THREE: 5}
    assert now(seen["until the end"]) == {ONE: 9, TWO: 5, THREE: 0}
    assert now(seen["restart"]) == {ONE: 9, TWO: 5, THREE: 5}
    assert now(seen["enable persistent"]) == ALL
    assert seen["orders file"] == {"orders": []}


def test_a_stop_leaves_nothing_behind(seen: Seen) -> None:
    assert seen["stopped"] == {"table": [], "left": []}
    assert (seen["nobody there"]["code"], seen["nobody there"]["out"]) == (1, "")
    assert "No daemon with virtual servers runs on this machine" in seen["nobody there"]["err"]
    assert seen["end"]["table"] == []


def test_the_result_of_a_failed_check_is_shown(seen: Seen) -> None:
    assert "down  weight 5, not in the IPVS table" in seen["list failed"]["out"]
    assert "HTTP_GET  failed  503 So  in " in seen["list failed"]["out"]
    server = seen["for programs"]["virtual_servers"][0]["servers"][0]
    assert (server["alive"], server["present"]) == (False, False)
    check = server["checks"][0]
    assert (check["up"], check["good"], check["code"], check["text"]) == (False, False, 503, "503 So")
    assert check["took_us"] > 0


def test_everybody_may_read_the_status(seen: Seen) -> None:
    for stage in ("status failed", "status healed"):
        assert (seen[stage]["code"], seen[stage]["err"]) == (0, "")
    failed = seen["status failed"]["out"].splitlines()
    rows = [line.split() for line in failed if line.startswith("[")]
    assert rows[:2] == [
        ["[10.5.0.1]:tcp:80", "up", "2", "of", "3", "1"],
        ["[10.5.0.2]:tcp:80", "DOWN", "0", "of", "1", "1"],
    ]
    assert [row[:3] for row in rows[2:]] == [
        ["[10.5.0.11]:tcp:80", "[10.5.0.1]:tcp:80", "HTTP_GET"],
        ["[10.5.0.11]:tcp:80", "[10.5.0.2]:tcp:80", "HTTP_GET"],
    ]
    assert all(" 503 So in " in line for line in failed[-2:])
    assert "the IPVS table put right 8 times" in seen["status healed"]["out"].splitlines()[0]


def test_what_others_change_is_put_right_and_counted(seen: Seen) -> None:
    for stage in ("put right", "put back"):
        assert seen[stage]["after_s"] <= _HEALED_S
    assert now(seen["put right"]) == {TWO: 5, THREE: 5, "10.5.0.77:80": 1}
    assert f"-A -t {OTHER}:80 -s wrr" in seen["put right"]["table"]
    assert "-A -t 10.5.0.200:7 -s rr" in seen["put right"]["table"]
    assert now(seen["put back"]) == {TWO: 5, THREE: 5}
    assert now(seen["well"]) == ALL
    # A server taken out, one changed, one put back, a service changed; then two services with two servers.
    assert seen["healed"] == [0, 4, 8]
    for words in (
        f"Server {TWO} of service {VIP}:tcp:80 has been taken out by somebody else, adding it again",
        f"Server {THREE} of service {VIP}:tcp:80 has been changed by somebody else, changing it back",
        f"Server {ONE} of service {VIP}:tcp:80 has been put back by somebody else, removing it",
        f"Server 10.5.0.77:80 of service {VIP}:tcp:80 is not ours, it stays",
        f"Service {OTHER}:tcp:80 has been taken out of the IPVS table by somebody else, adding it again",
    ):
        assert words in seen["log"]
