"""One keyword misspelt: the right one is named first."""

import random
import re
from pathlib import Path

import pytest

from keepalived_py.config.load import interpret
from keepalived_py.config.similar import belongs, closest, distance, meant
from keepalived_py.config.syntax import read_document
from keepalived_py.config.table import places
from tests.config.fake_host import FakeHost

TEXT = """global_defs {
    router_id lb1
    smtp_server 10.1.0.9
    smtp_connect_timeout 30
    vrrp_garp_master_delay 5
    enable_script_security
}
vrrp_script chk {
    script "/bin/true"
    interval 2
    weight 5
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    garp_master_delay 5
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        10.1.0.100/16
    }
    track_script {
        chk
    }
}
virtual_server 10.1.0.100 80 {
    delay_loop 6
    lvs_sched rr
    lvs_method NAT
    persistence_timeout 50
    protocol TCP
    sorry_server 10.1.0.9 80
    real_server 10.1.0.2 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 3
        }
    }
}
"""
FILES = 100


def slip(word: str, chance: random.Random) -> str:
    """`word` with one letter left out, doubled, replaced or swapped, `-` for `_`, or in wrong case."""
    place = chance.randrange(len(word) - 1)
    match chance.randrange(6):
        case 0:
            return word[:place] + word[place + 1 :]
        case 1:
            return word[:place] + word[place] + word[place:]
        case 2:
            return word[:place] + chance.choice("abcdefghijklmnopqrstuvwxyz") + word[place + 1 :]
        case 3:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        case 4:
            return word.replace("_", "-")
        case _:
            return word.upper() if word.islower() else word.lower()


def suggested(text: str, wrong: str, folder: Path) -> str:
    path = folder / "k.conf"
    path.write_text(text)
    document = read_document(str(path), "n1")
    found = interpret(document.directives, document.diagnostics, FakeHost()).diagnostics
    return next((one.suggestion for one in found if one.message == f"Unknown keyword '{wrong}'"), "")


def test_the_right_keyword_is_named_first(tmp_path: Path) -> None:
    chance = random.Random(7)
    places = list(re.finditer(r"^\s*([A-Za-z]\w+)\b(?=.)", TEXT, re.MULTILINE))
    places = [one for one in places if one.group(1) != "chk"]
    right = 0
    for _ in range(FILES):
        place = chance.choice(places)
        wrong = word = place.group(1)
        while wrong == word:
            wrong = slip(word, chance)
        text = TEXT[: place.start(1)] + wrong + TEXT[place.end(1) :]
        right += suggested(text, wrong, tmp_path) == word
    assert right >= 95


def test_a_keyword_of_another_block_is_sent_there() -> None:
    assert meant("real_server", "", ("vrrp_instance",)) == ("", belongs("real_server"))
    assert "inside virtual_server" in belongs("real_server")
    assert belongs("no_such_keyword") == ""


def test_distance() -> None:
    words = [("ab", "ba"), ("priority", "priorty"), ("priority", "prioritty"), ("a", "b")]
    assert [distance(*pair) for pair in words] == [1, 1, 1, 1]
    assert closest("10.1.0.1", ["priority"]) == ""
    assert closest("Virtual-Router_ID", ["virtual_router_id", "virtual_routes"]) == "virtual_router_id"


@pytest.mark.slow
def test_the_right_keyword_is_named_first_in_our_samples(tmp_path: Path) -> None:
    chance = random.Random(11)
    samples = sorted((Path(__file__).parents[2] / "samples").glob("*/*.conf"))
    known = set(belonging())
    right = tried = 0
    for sample in samples:
        text = sample.read_text()
        places = [one for one in re.finditer(r"^\s*(\w+)\b", text, re.MULTILINE) if one.group(1) in known]
        for place in chance.sample(places, min(10, len(places))):
            wrong = word = place.group(1)
            while wrong == word:
                wrong = slip(word, chance)
            tried += 1
            right += suggested(text[: place.start(1)] + wrong + text[place.end(1) :], wrong, tmp_path) == word
    assert tried >= FILES
    assert right >= 0.95 * tried


def belonging() -> list[str]:
    """Every keyword that may begin a statement."""
    return [place.keyword.name for place in places() if not (place.option or place.keyword.removed)]


def test_words_of_other_programs_and_beginnings() -> None:
    assert meant("vrid", "vrrp_instance", ("virtual_router_id", "state"))[0] == "virtual_router_id"
    assert (
        meant("virtual_ip", "", ("virtual_ipaddress", "virtual_ipaddress_excluded"))[0] == "virtual_ipaddress"
    )
    assert meant("virtual_", "", ("virtual_ipaddress", "virtual_routes"))[0] == ""
    assert meant("script_security", "", ("enable_script_security",))[0] == "enable_script_security"
    assert meant("vrrp_script_check", "", ("vrrp_script", "vrrp_instance"))[0] == "vrrp_script"


def test_a_letter_left_out_is_likelier_than_a_wrong_one() -> None:
    assert closest("static_rutes", ["static_rules", "static_routes"]) == "static_routes"
