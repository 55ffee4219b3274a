"""What people read beside keepalived's words: one mistake, one diagnostic, at the right place."""

from pathlib import Path

import pytest

from keepalived_py.config.checked import checked
from keepalived_py.diagnostics.fold import folded
from keepalived_py.diagnostics.render import render
from tests.config.fake_host import FakeHost

BEGIN = "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 7\n"
END = "virtual_ipaddress {\n10.1.0.9/16\n}\n}\n"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"
SERVER = "virtual_server 10.1.0.9 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\n"


def full(tmp_path: Path, text: str) -> str:
    path = tmp_path / "k.conf"
    path.write_text(text)
    found = checked(str(path), config_id="n1", host=FakeHost()).diagnostics
    return render(found, "full").replace(f"{path}:", "").replace(str(path), "k.conf")


# the file, how it begins, what else is in it
CASES = [
    # one mistake that keepalived reports several times
    (BEGIN + "virtual_ipaddress {\nabc\n}\n}\n", "5:1: error[invalid-address]", "line 1, (VI_1) No VIP"),
    (
        BEGIN.replace("id 7", "id x") + END,
        "3:19: error[invalid-number]",
        "line 1, (VI_1) the virtual router id",
    ),
    (SERVER.replace("rr", "RR") + "real_server 10.1.0.2 80 {\n}\n}\n", "3:11: error", "no scheduler set"),
    (
        "vrrp_script chk {\n}\n" + BEGIN + "track_script {\nchk\n}\n" + END,
        "2:1: error[missing-script]",
        "line 7, ",
    ),
    (
        SECURE + BEGIN + "track_script {\nchk\n}\n" + END + "vrrp_script chk {\nscript /bin/true\n}\n",
        "9:1: error",
        "further down",
    ),
    ("vrrp_instance VI_1 (\nstate MASTER\n)\n", "1:1: error[missing-name]", "lines 2-3"),
    (BEGIN + "virtual_ipaddress\n10.1.0.9/16\n}\n}\n", "4:1: warning[missing-brace]", "lines 6-7"),
    (
        "vrrp_instance VI_1 {\n{\ninterface eth0\nvirtual_router_id 7\n" + END,
        "2:1: error[open-brace-too-many]",
        "",
    ),
    (
        BEGIN + "priority\u3000100\nstate\u3000MASTER\n" + END,
        "4:1: error[unknown-keyword]",
        "follows from this: line 5",
    ),
    # the place where keepalived names none
    (
        BEGIN + "state MASTER\npriority 100\nnopreempt\n" + END,
        "6:1: error[nopreempt-master]",
        "'state BACKUP'",
    ),
    (SERVER + "quorum 9\nreal_server 10.1.0.2 80 {\n}\n}\n", "5:1: error[quorum-too-high]", "at most 1"),
    # the word that is wrong, and what is right
    (BEGIN + "priority high\n" + END, "4:10: error[invalid-number]", "priority <INT 1..255>"),
    (BEGIN + "state master\n" + END, "4:7: error[invalid-value]", "did you mean 'MASTER'?"),
    (BEGIN + "mcast src ip 10.1.0.1\n" + END, "4:1: error[unknown-keyword]", "did you mean 'mcast_src_ip'?"),
    (BEGIN + "vrid 5\n" + END, "4:1: error[unknown-keyword]", "did you mean 'virtual_router_id'?"),
    (
        BEGIN + "virtual_ip {\n10.1.0.9\n}\n}\n",
        "4:1: error[unknown-keyword]",
        "did you mean 'virtual_ipaddress'?",
    ),
    (BEGIN + "priority ${P}\n" + END, "4:10: error[invalid-number]", "no line above defines P"),
    (SERVER.replace(" 80", ":80") + "}\n", "1:16: error", "write '10.1.0.9 80' instead"),
    (BEGIN + "virtual_ipaddress {\n10.1.0.9/16,\n}\n}\n", "5:10: error", "a line of its own"),
    ("include\n" + BEGIN + END, "1:1: error[unknown-keyword]", "include needs the name of a file"),
]


@pytest.mark.parametrize(("text", "begin", "part"), CASES)
def test_one_mistake_one_diagnostic(text: str, begin: str, part: str, tmp_path: Path) -> None:
    found = full(tmp_path, text)
    assert found.startswith(begin)
    assert part in found
    assert found.count("error[") + found.count("warning[missing-brace") == 1


def test_two_mistakes_stay_two(tmp_path: Path) -> None:
    found = full(tmp_path, BEGIN + "priority high\nadvert_int often\n" + END)
    assert found.count("error[invalid-number]") == 2


def test_advice_and_complaint_about_the_same_script_are_one(tmp_path: Path) -> None:
    text = SECURE + "vrrp_script chk {\nscript /no/file\n}\n" + BEGIN + "track_script {\nchk\n}\n" + END
    path = tmp_path / "k.conf"
    path.write_text(text)
    found = checked(str(path), config_id="n1", host=FakeHost()).diagnostics
    scripts = [one for one in folded(found) if one.diagnostic.code == "script-not-found"]
    assert len(scripts) == 1
    assert scripts[0].diagnostic.place is not None
    assert scripts[0].diagnostic.place.line == 6


def test_keepalived_style_has_neither_place_nor_help(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    path.write_text(BEGIN + "state MASTER\npriority 100\nnopreempt\n" + END)
    found = checked(str(path), config_id="n1", host=FakeHost()).diagnostics
    wanted = "(VI_1) Warning - nopreempt will not work with initial state MASTER - clearing\n"
    assert render(found, "keepalived") == wanted


@pytest.mark.parametrize(
    "line",
    ["auth_pas secret9", "AUTH-PASS secret9", "password secret9", "auth_pass=secret9", "authpass secret9"],
)
def test_a_password_behind_a_misspelt_keyword_is_masked(line: str, tmp_path: Path) -> None:
    found = full(tmp_path, BEGIN + "authentication {\nauth_type PASS\n" + line + "\n}\n" + END)
    assert "unknown-keyword" in found
    assert "secret9" not in found


def test_a_long_password_is_explained(tmp_path: Path) -> None:
    found = full(tmp_path, BEGIN + "authentication {\nauth_type PASS\nauth_pass 1234567890\n}\n" + END)
    assert "only its first 8 bytes are used" in found
    assert "whose password differs" in found
    assert "compares all of a longer password" in found
    assert "1234567890" not in found
