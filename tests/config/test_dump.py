"""The model written back: what is read again is equal, secrets stay hidden, and the JSON fits its schema."""

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.record import Record
from keepalived_py.config.blocks.root import ROOT as TOP
from keepalived_py.config.dump import MASK, dump, masked
from keepalived_py.config.facts import NoHost
from keepalived_py.config.host import Host
from keepalived_py.config.json_form import json_schema, to_json
from keepalived_py.config.load import Loaded, interpret
from keepalived_py.config.schema import Keyword
from keepalived_py.config.syntax import read_document
from keepalived_py.model.config import Configuration
from tests.config.fake_host import FakeHost

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.glob("samples/**/*.conf"))}
# Those of the comparison with the real program: the text stands before a line of dashes.
CASES = {
    path.stem: path.read_bytes().decode("utf-8", "surrogateescape").rpartition("\n----\n")[0]
    for path in sorted(ROOT.glob("compat-tests/config/cases/*.case"))
}
TEXTS = {**SAMPLES, **CASES}
INSTANCE = "interface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n10.1.0.100/16\n}\n"


def read(path: Path, host: Host) -> Loaded:
    document = read_document(str(path), "node", False)
    return interpret(document.directives, document.diagnostics, host)


def read_text(folder: Path, text: str, host: Host | None = None) -> Loaded:
    path = folder / "k.conf"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return read(path, host or FakeHost())


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two models differ."""
    if isinstance(one, Record) and type(one) is type(other):
        for field in type(one).fields:
            yield from differences(getattr(one, field), getattr(other, field), f"{place}.{field}")
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from differences(first, second, f"{place}[{number}]")
    elif one != other:
        yield f"{place}: {one!r} is read again as {other!r}"


@cache
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(model: Configuration, folder: Path, host: Host) -> None:
    """Both forms of `model`: the text is read as the same model, the JSON is what the schema says."""
    text = dump(model)
    again = read_text(folder, text, host)
    assert again.start_exit_code is None, text
    assert list(differences(model, again.configuration)) == [], text
    assert dump(again.configuration) == text
    values = json.loads(json.dumps(to_json(model)))
    assert [(list(error.absolute_path), error.message) for error in validator().iter_errors(values)] == []


@pytest.mark.parametrize("name", TEXTS)
def test_files_are_read_again_as_they_were(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = read_text(tmp_path, TEXTS[name], NoHost())
    if loaded.start_exit_code is None:
        check(loaded.configuration, tmp_path, NoHost())


def test_there_are_files() -> None:
    assert len(SAMPLES) > 10 and len(CASES) > 200


def test_nothing_said_is_nothing_written(tmp_path: Path) -> None:
    host = FakeHost()
    assert dump(Configuration()) == ""
    assert to_json(Configuration()) == {}
    only_name = dump(read_text(tmp_path, "", host).configuration)
    assert only_name == "global_defs {\n    router_id node.example\n}\n"


def test_one_block(tmp_path: Path) -> None:
    text = (
        "vrrp_track_process web {\nprocess nginx\nweight 10\n}\n"
        "garp_group {\ngarp_interval 0.5\ninterfaces {\neth0\neth1\n}\n}\n"
    )
    lines = dump(read_text(tmp_path, text).configuration)
    assert (
        "garp_group {\n    garp_interval 0.5\n    interfaces {\n        eth0\n        eth1\n    }\n}\n"
        in lines
    )
    assert "vrrp_track_process web {\n    process nginx\n    weight 10\n}\n" in lines


# What is inherited -----------------------------------------------------------

COMMON = """global_defs {
vrrp_garp_master_delay 3
vrrp_garp_master_repeat 2
vrrp_lower_prio_no_advert
vrrp_version 3
vrrp_skip_check_adv_addr
smtp_alert
vrrp_down_timer_adverts 5
}
"""


def test_merged_values_stand_on_their_own(tmp_path: Path) -> None:
    loaded = read_text(tmp_path, f"{COMMON}vrrp_instance VI {{\n{INSTANCE}}}\n")
    text = dump(loaded.configuration)
    alone = text[text.index("vrrp_instance VI") :]
    again = read_text(tmp_path, alone).configuration
    assert list(differences(loaded.configuration.instances, again.instances)) == []
    assert again.instances[0].garp.repeat == 2


# Secrets ---------------------------------------------------------------------

SECRET = f"vrrp_instance VI {{\n{INSTANCE}authentication {{\nauth_type PASS\nauth_pass geheim\n}}\n}}\n"
KEY = "k" * 32
KEYS = f"vrrp_instance VI {{\n{INSTANCE}version 3\nauth_hmac {{\nkey 7 {KEY}\nactive_key 7\n}}\n}}\n"


@pytest.mark.parametrize(
    ("text", "secret", "line"),
    [
        (SECRET, "geheim", f"auth_pass {MASK}\n"),
        (KEYS, KEY, f"key 7 {MASK}\n"),
        (
            "SSL {\npassword geheim\nca /etc/a\ncertificate /etc/b\nkey /etc/c\n}\n",
            "geheim",
            f"password {MASK}\n",
        ),
    ],
)
def test_secrets_are_masked(text: str, secret: str, line: str, tmp_path: Path) -> None:
    model = read_text(tmp_path, text).configuration
    assert secret in dump(model)
    hidden = dump(model, secrets=False)
    assert secret not in hidden
    assert line in hidden
    assert secret in json.dumps(to_json(model))
    values = to_json(model, secrets=False)
    assert secret not in json.dumps(values)
    assert MASK in json.dumps(values)
    validator().validate(json.loads(json.dumps(values)))


def test_a_secret_with_blanks_is_masked_whole() -> None:
    assert masked('"two words"') == MASK
    assert masked('7 "two words"') == f"7 {MASK}"
    assert masked("plain") == MASK


# JSON ------------------------------------------------------------------------


def test_json_has_the_units_of_the_file(tmp_path: Path) -> None:
    text = (
        f"vrrp_instance VI {{\n{INSTANCE}priority 7\npreempt_delay 1.5\ndont_track_primary\n"
        "garp_master_refresh 60\nsmtp_alert off\n}\n"
        "bfd_instance B {\nneighbor_ip 10.1.0.2\nmin_rx 20\nweight 5 reverse\n}\n"
    )
    found = to_json(read_text(tmp_path, text).configuration)
    (one,) = found["vrrp_instance"]
    assert one["header"] == "VI"
    assert (one["priority"], one["preempt_delay"], one["dont_track_primary"]) == (7, 1.5, True)
    assert (one["garp_master_refresh"], one["smtp_alert"], one["version"]) == (60, False, 2)
    assert one["virtual_ipaddress"] == ["10.1.0.100/16 dev eth0"]
    (session,) = found["bfd_instance"]
    assert (session["min_rx"], session["weight"]) == (20, "5 reverse")


@pytest.mark.parametrize(
    "values",
    [
        {"vrrp_instance": [{"header": "VI", "priority": 256}]},
        {"vrrp_instance": [{"header": "VI", "priority": "high"}]},
        {"vrrp_instance": [{"header": "VI", "preempt_delay": 1000.5}]},
        {"vrrp_instance": [{"header": "VI", "priorty": 1}]},
        {"vrrp_instance": {"header": "VI"}},
        {"vrrp_instance": [{"header": "VI", "state": "SLAVE"}]},
        {"vrrp_script": [{"header": "a", "weight": 254}]},
        {"vrrp_script": [{"header": "a", "interval": -1}]},
        {"global_defs": {"vrrp_version": 4}},
        {"global_defs": {"enable_script_security": "on"}},
        {"virtual_server": [{"lvs_sched": "fastest"}]},
        {"static_routes": "10.0.0.0/8"},
        {"vrrp_instances": []},
    ],
)
def test_wrong_values_do_not_fit_the_schema(values: dict[str, Any]) -> None:
    assert not validator().is_valid(values)


# Generated configurations ----------------------------------------------------

WORDS = ("eth0", "10.1.0.7", "fd00::7", "1", "3", "0.5", "all", "on", "name", "/bin/true", "10.2.0.0/24")
ENTRIES: dict[str, tuple[str, ...]] = {
    "virtual_ipaddress": ("10.1.0.%d/16", "10.1.1.%d dev eth1 label eth1:x", "10.1.2.%d/24 brd +"),
    "virtual_ipaddress_excluded": ("10.3.0.%d", "fd00:1::%d/64 -nodad"),
    "virtual_routes": ("10.%d.0.0/16 via 10.1.0.1 dev eth0 metric 5", "blackhole 10.%d.1.0/24 no_track"),
    "virtual_rules": ("from 10.1.0.%d table 100 priority 700", "to 10.1.0.%d unreachable priority 9"),
    "static_ipaddress": ("10.9.0.%d/16 dev eth0", "fd00:2::%d/64 dev eth1 home"),
    "static_routes": ("10.%d.0.0/16 via 10.1.0.1 dev eth0 mtu lock 1400", "10.%d.5.0/24 dev eth1 scope link"),
    "static_rules": ("iif eth0 fwmark %d table 5 priority 8", "not from 10.1.0.%d prohibit priority 99"),
    "unicast_peer": ("10.1.0.%d", "10.1.9.%d min_ttl 5 max_ttl 9"),
    "track_interface": ("eth1 weight %d", "eth0"),
    "track_script": ("S weight %d", "S weight -%d reverse"),
    "track_check": ("C weight %d", "C weight -%d reverse"),
    "track_file": ("F weight %d",),
    "track_process": ("P weight %d",),
    "notification_email": ("me%d@example.com",),
    "linkbeat_interfaces": ("eth0", "eth1 ETHTOOL"),
    "interface_up_down_delays": ("eth0 %d", "eth1 0 %d"),
    "virtual_server_group": ("10.1.0.%d 80", "10.1.3.%d-99 443", "fwmark %d"),
    "group": ("VI",),
    "interfaces": ("eth0", "eth1"),
}
HEADERS = {
    "vrrp_instance": "VI",
    "vrrp_sync_group": "VG",
    "vrrp_script": "S",
    "vrrp_check": "C",
    "track_file": "F",
    "vrrp_track_process": "P",
    "virtual_server": "10.1.0.50 80",
    "real_server": "10.1.0.60 80",
    "virtual_server_group": "VSG",
    "bfd_instance": "B",
    "track_group": "TG",
}
NEEDED = {
    "vrrp_instance": ["interface eth0", "virtual_router_id 51"],
    "vrrp_script": ["script /bin/true"],
    "vrrp_check": ["TCP_CHECK {", "connect_ip 10.1.0.3", "connect_port 80", "}"],
    "track_file": ["file /tmp/x"],
    "vrrp_track_process": ["process nginx"],
    "virtual_server": ["lvs_sched rr", "lvs_method NAT", "protocol TCP"],
    "bfd_instance": ["neighbor_ip 10.1.0.2"],
    "MISC_CHECK": ["misc_path /bin/true"],
    "url": ["path /"],
    "HTTP_GET": ["url {", "path /", "}"],
    "SSL_GET": ["url {", "path /", "}"],
    "FILE_CHECK": ["track_file F"],
    "authentication": ["auth_type PASS", "auth_pass x"],
    "real_server": [],
}
# They decide about the whole file, or where it is read.
LEFT_OUT = {"net_namespace", "instance", "config_save_dir", "tmp_config_directory", "include_check"}
Draw = Callable[[st.SearchStrategy[Any]], Any]


def _value(draw: Draw, schema: dict[str, Any]) -> str:
    """Words for a keyword whose values have this schema."""
    if "anyOf" in schema:
        return _value(draw, draw(st.sampled_from(schema["anyOf"])))
    if "enum" in schema:
        return str(draw(st.sampled_from(schema["enum"])))
    low, high = schema.get("minimum", 1), schema.get("maximum", 100)
    match schema.get("type"):
        case "boolean":
            return str(draw(st.sampled_from(["", "on", "off"])))
        case "integer":
            return str(draw(st.integers(low, high)))
        case "number":
            return f"{draw(st.integers(int(low * 1000), int(min(high, 10_000) * 1000))) / 1000:.3f}"
    return " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)))


def _lines(draw: Draw, keyword: Keyword[Any], depth: int) -> list[str]:
    """A statement of this keyword, with what is in it."""
    if keyword.block is None:
        return [f"{keyword.name} {_value(draw, keyword.schema or {})}"]
    inner = keyword.inner()
    if inner.entry is not None:
        number = draw(st.integers(1, 200))
        entries = st.lists(st.sampled_from(ENTRIES.get(keyword.name, ("x",))), max_size=2, unique=True)
        content = [entry.replace("%d", str(number)) for entry in draw(entries)]
    else:
        names = [one for one in inner.keywords.values() if not one.removed]
        some = st.lists(st.sampled_from(names), min_size=3, max_size=12 - 2 * depth, unique_by=_name)
        chosen = draw(some) if len(names) > 3 else names
        content = list(NEEDED.get(keyword.name, ()))
        for one in chosen:
            content += _lines(draw, one, depth + 1)
    return [f"{keyword.name} {HEADERS.get(keyword.name, '')} {{", *content, "}"]


def _name(keyword: Keyword[Any]) -> str:
    return keyword.name


@st.composite
def configurations(draw: Draw) -> str:
    """A file with some of all blocks and, in each, some of its keywords; not everything in it is right."""
    tops = [
        one
        for one in TOP.keywords.values()
        if not one.removed
        and one.name not in LEFT_OUT
        and one.name[0].isalpha()
        and one.name[:7] != "include"
    ]
    chosen = draw(st.lists(st.sampled_from(tops), min_size=1, max_size=6, unique_by=_name))
    return "".join(f"{line}\n" for one in chosen for line in _lines(draw, one, 0))


@pytest.mark.parametrize("examples", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_generated_files_are_read_again_as_they_were(examples: int, tmp_path: Path) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(text=configurations())
    def as_they_were(text: str) -> None:
        loaded = read_text(tmp_path, text)
        if loaded.start_exit_code is None:
            check(loaded.configuration, tmp_path, FakeHost())

    as_they_were()


# Each keyword by itself, so that none is left to chance.


def _frames(keywords: dict[str, Keyword[Any]], around: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for keyword in keywords.values():
        if keyword.removed or not keyword.name[0].isalpha():
            continue
        if keyword.block is not None and keyword.inner().entry is None:
            yield from _frames(dict(keyword.inner().keywords), (*around, keyword.name))
        elif keyword.block is None and keyword.schema is not None and around:
            for words in _samples(keyword.schema):
                yield "/".join(around), f"{keyword.name} {words}"


def _samples(schema: dict[str, Any]) -> list[str]:
    if "anyOf" in schema:
        return [words for one in schema["anyOf"] for words in _samples(one)]
    if "enum" in schema:
        return [str(one) for one in schema["enum"]]
    if schema.get("type") == "boolean":
        return ["", "off"]
    if schema.get("type") in ("integer", "number"):
        low = schema.get("minimum", 1)
        return [f"{low:f}".rstrip("0").rstrip("."), str(schema.get("maximum", 100))]
    return ["name", "10.1.0.7"]


def _framed(path: str, line: str) -> str:
    lines: list[str] = []
    names = path.split("/")
    for name in names:
        lines += [f"{name} {HEADERS.get(name, '')} {{", *NEEDED.get(name, ())]
    return "\n".join([*lines, line, *("}" for _ in names), ""])


@pytest.mark.slow
def test_each_keyword_is_read_again_as_it_was(tmp_path: Path) -> None:
    tried = 0
    for path, line in _frames(dict(TOP.keywords)):
        loaded = read_text(tmp_path, _framed(path, line))
        if loaded.start_exit_code is None:
            check(loaded.configuration, tmp_path, FakeHost())
            tried += 1
    assert tried > 900
    assert os.listdir(tmp_path) == ["k.conf"]
