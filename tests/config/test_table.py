"""The keyword table is complete, and what it says of a keyword is what reads it.

`keyword_rows.tsv` lists keepalived's keywords, line options included: block,
keyword, whether 2.2.7 has it, the ranges of its numbers, and its default where
that is a number, on or off.
"""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.config.schema import BASELINE, Keyword
from keepalived_py.config.table import Place, found, places, remarks, sentence, signature

ROWS = list(csv.DictReader((Path(__file__).parent / "keyword_rows.tsv").open(), delimiter="\t"))
PLACES = {place.path: place for place in places()}
RANGE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\.\.-?[0-9]+(?:\.[0-9]+)?")
# The table says 2.2.7's limit; later ones are wider.
NARROWER = {"garp_group/garp_interval": "0..2147.483647", "garp_group/gna_interval": "0..2147.483647"}
# The value of the definition decides first; only without that is it off.
FROM_ELSEWHERE = re.compile(r".*/track_(script|file|process|bfd)/reverse")
# Not a matter of the version: a manual page made them up, or it is how the program was built.
NO_VERSION = {
    "global_defs/vrrp_ipsets",
    "global_defs/state_file_location",
    "global_defs/stats_file_location",
    "global_defs/json_file_location",
}


def path_of(row: dict[str, str]) -> str:
    """The path of a row: there the header of a block and the kind of an encapsulation are written otherwise."""
    block = re.sub(r"/encap (\w+)", r"/encap/\1", row["block"]).replace("/<header>", "")
    return row["keyword"] if block == "/" else f"{block}/{row['keyword']}"


def keyword_of(row: dict[str, str]) -> Keyword[Any]:
    return PLACES[path_of(row)].keyword


def test_every_keyword_has_a_place() -> None:
    assert len(ROWS) == 1016
    assert [path_of(row) for row in ROWS if path_of(row) not in PLACES] == []


def test_ranges_are_keepalived_s() -> None:
    wrong = {
        path_of(row): (row["range"], keyword_of(row).arguments)
        for row in ROWS
        if row["range"] and row["range"] != NARROWER.get(path_of(row)) and not _same_range(row)
    }
    assert wrong == {}


def _same_range(row: dict[str, str]) -> bool:
    arguments = keyword_of(row).arguments or keyword_of(row).help
    wanted = NARROWER.get(path_of(row), row["range"])
    return RANGE.findall(arguments)[: len(wanted.split())] == wanted.split()


def test_defaults_are_keepalived_s() -> None:
    wrong = {
        path_of(row): (row["default"], keyword_of(row).default)
        for row in ROWS
        if row["default"]
        and keyword_of(row).default != row["default"]
        and not FROM_ELSEWHERE.fullmatch(path_of(row))
    }
    assert wrong == {}


def test_what_2_2_7_does_not_know_is_newer_or_gone() -> None:
    wrong = []
    for row in ROWS:
        keyword = keyword_of(row)
        unknown = keyword.since > BASELINE or bool(keyword.removed)
        if unknown != (row["in_2.2.7"] == "no") and path_of(row) not in NO_VERSION:
            wrong.append((path_of(row), keyword.since, keyword.removed))
    assert wrong == []


def test_each_keyword_is_explained() -> None:
    for place in PLACES.values():
        assert place.keyword.help or place.keyword.alias, place.path
        assert sentence(place.keyword).endswith("."), place.path


def test_schema_has_the_unit_and_range_of_the_arguments() -> None:
    compared = 0
    for place in PLACES.values():
        schema = place.keyword.schema or {}
        ranges = RANGE.findall(place.keyword.arguments)
        if schema.get("type") not in ("integer", "number") or len(ranges) != 1:
            continue
        low, high = map(float, re.sub(r"(?<=\d)\.\.", " ", ranges[0]).split())
        smallest = schema["minimum"] if "minimum" in schema else schema["exclusiveMinimum"]
        # A value that is refused or corrected never stands in the model: then the range is smaller.
        assert low <= smallest + 0.001 <= low + 2.001, place.path
        assert schema["maximum"] == pytest.approx(high), place.path
        compared += 1
    assert compared > 150


def test_places_are_told_apart() -> None:
    labels = PLACES["static_routes/encap/mpls/<LABEL>[/<LABEL>...]"]
    assert (labels.block, labels.option) == ("static_routes/encap/mpls", True)
    assert PLACES["vrrp_instance"].block == ""
    assert not PLACES["vrrp_instance/priority"].option
    assert PLACES["vrrp_instance/track_script/weight"].option


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("vrrp_instance/priority", "priority <INT 1..255>"),
        ("vrrp_instance", "vrrp_instance <NAME> { ... }"),
        ("linkbeat_interfaces", "linkbeat_interfaces { <IF> [MII|ETHTOOL|IOCTL] ... }"),
        ("linkbeat_interfaces/<entry>", "<IF> [MII|ETHTOOL|IOCTL]"),
        ("vrrp_sync_group/group", "group { <INSTANCE> ... }"),
    ],
)
def test_signatures(path: str, shown: str) -> None:
    assert signature(PLACES[path].keyword) == shown


def test_remarks() -> None:
    assert remarks(PLACES["vrrp_instance/preempt_delay"].keyword) == ["Default: 0 s"]
    assert "Since keepalived 2.4.0" in remarks(PLACES["vrrp_instance/auth_hmac"].keyword)
    assert "Taken out of keepalived in 1.2.20" in remarks(PLACES["virtual_server/nat_mask"].keyword)
    old = remarks(Keyword[Any]("old", alias="new", help="the old name"))
    assert old == ["Another name of new"]
    assert remarks(Keyword[Any]("old", alias="new", help="the old name of new")) == []


def _paths(hits: list[Place]) -> list[str]:
    return [place.path for place in hits]


def test_found_by_the_whole_path_or_its_end() -> None:
    assert _paths(found("instance")) == ["instance"]
    assert _paths(found("/vrrp_instance/priority")) == ["vrrp_instance/priority"]
    assert _paths(found("auth_pass")) == ["vrrp_instance/authentication/auth_pass"]
    assert len(found("warmup")) > 5
    assert found("auth_word") == []
