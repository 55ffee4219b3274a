"""Addresses, routes and rules: what is read, what is said about mistakes, and how they are written back."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.config.blocks import routes, rules, virtual_ipaddress
from keepalived_py.config.blocks.kernel_names import strtoul
from keepalived_py.config.host import names_in
from keepalived_py.config.load import Loaded
from keepalived_py.model.network import (
    VirtualAddress,
)
from tests.config.network_texts import (
    ADDRESSES,
    ADDRESSES_V6,
    ROUTES,
    RULES,
    address,
    instance,
    read,
    read_list,
    said,
)


@pytest.mark.parametrize(("line", "expected"), ADDRESSES + ADDRESSES_V6)
def test_address(tmp_path: Path, line: str, expected: VirtualAddress) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress_excluded", line)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert loaded.configuration.instances[0].excluded_addresses == (expected,)


ADDRESS_MISTAKES = [
    ("10.1.0.300", ["VRRP parsed invalid IP 10.1.0.300. skipping IP..."], None),
    ("fe80::1%eth0", ["VRRP parsed invalid IP fe80::1%eth0. skipping IP..."], None),
    (
        "10.1.0.5/33",
        [
            "number '33' outside range [0, 32]",
            "Invalid address prefix len 33 for address 10.1.0.5/33 - using 32",
        ],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 dev eth9",
        [
            "WARNING - interface eth9 for ip address 10.1.0.5 doesn't exist",
            "Non-existent interface specified in configuration",
        ],
        None,
    ),
    ("10.1.0.5 dev", ["No dev parameter specified for 10.1.0.5"], None),
    (
        "10.1.0.5 dev eth0 dev eth1",
        ["Cannot specify ipaddress device more than once for 10.1.0.5"],
        None,
    ),
    ("10.1.0.5/24 brd x", ["VRRP is trying to assign invalid broadcast x. skipping VIP..."], None),
    (
        "fe80::5 brd +",
        ["VRRP is trying to assign a broadcast brd to the IPv6 address fe80::5 !!?? WTF... skipping VIP..."],
        None,
    ),
    (
        "10.1.0.5/31 brd +",
        ["Address prefix length 31 too long for broadcast"],
        address("10.1.0.5", 31),
    ),
    (
        "10.1.0.5 scope galaxy",
        ["Invalid scope 'galaxy' specified for 10.1.0.5 - ignoring"],
        address("10.1.0.5"),
    ),
    (
        "fe80::5 scope link label x",
        [
            "Cannot specify scope for IPv6 addresses (fe80::5) - ignoring scope",
            "Cannot specify label for IPv6 addresses (fe80::5) - ignoring label",
        ],
        address("fe80::5"),
    ),
    (
        "10.1.0.5 label sixteen-letters-",
        ["Address label sixteen-letters- is longer than maximum length 15 - removing address"],
        None,
    ),
    (
        "10.1.0.5/24 peer 10.1.0.6 brd +",
        [
            "Cannot specify address prefix when specifying peer address - ignoring",
            "Cannot specify broadcast and peer addresses - ignoring broadcast address",
        ],
        address("10.1.0.5", peer=IPv4Address("10.1.0.6"), peer_prefix_length=32),
    ),
    (
        "10.1.0.5 peer fe80::6",
        ["Peer address fe80::6 does not match address family"],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 preferred_lft soon",
        ["invalid number 'soon'", "preferred_lft soon is invalid"],
        address("10.1.0.5"),
    ),
    (
        "10.1.0.5 track_group",
        ["Unknown configuration entry 'track_group' for ip address - ignoring"],
        address("10.1.0.5"),
    ),
]


@pytest.mark.parametrize(("line", "expected", "left"), ADDRESS_MISTAKES)
def test_address_mistake(tmp_path: Path, line: str, expected: list[str], left: VirtualAddress | None) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress_excluded", line)
    assert (said(loaded), loaded.test_exit_code) == (expected, 5)
    refused = loaded.start_exit_code is not None  # for an interface that is not there
    found = [entry for one in loaded.configuration.instances for entry in one.excluded_addresses]
    assert found == ([] if refused or left is None else [left])


def test_one_family_per_instance(tmp_path: Path) -> None:
    loaded = read_list(tmp_path, "virtual_ipaddress", "10.1.0.5", "fe80::5")
    assert said(loaded) == ["(VI_1): address family must match VRRP instance [fe80::5] - ignoring"]
    assert loaded.configuration.instances[0].addresses == (address("10.1.0.5"),)


def test_interface_that_may_come_later(tmp_path: Path) -> None:
    text = "global_defs {\ndynamic_interfaces\n}\n" + instance("virtual_ipaddress {\n10.1.0.5 dev eth9\n}\n")
    loaded = read(tmp_path, text)
    assert (said(loaded), loaded.test_exit_code) == ([], 0)
    assert loaded.configuration.instances[0].addresses == (address("10.1.0.5", interface="eth9"),)


@pytest.mark.parametrize(
    ("common", "interface", "code"), [("", "eth0", 0), ("eth1", "eth1", 0), ("eth9", "", 4)]
)
def test_static_address_needs_an_interface(tmp_path: Path, common: str, interface: str, code: int) -> None:
    head = f"global_defs {{\ndefault_interface {common}\n}}\n" if common else ""
    loaded = read(tmp_path, f"{head}static_ipaddress {{\n10.1.0.5/24\n}}\n")
    expected = (address("10.1.0.5", 24, interface),) if interface else ()
    assert (loaded.configuration.static_addresses, loaded.test_exit_code) == (expected, code)


def test_static_address_with_track_group(tmp_path: Path) -> None:
    loaded = read_list(tmp_path, "static_ipaddress", "10.1.0.5 track_group G", "10.1.0.6 track_group H")
    assert said(loaded) == ["track_group H not found"]
    assert loaded.configuration.static_addresses == (
        address("10.1.0.5", track_group="G"),
        address("10.1.0.6"),
    )


# Back to text ----------------------------------------------------------------

LISTS = {
    "virtual_ipaddress_excluded": [line for line, _ in ADDRESSES + ADDRESSES_V6],
    "static_ipaddress": ["10.1.0.5/24 dev eth1 track_group G", "fe80::5"],
    "virtual_routes": [
        *(line for line, _ in ROUTES),
        "default dev eth0 or fe80::1",
        "10.0.0.0/8 dev eth0 via 10.1.0.1 or fe80::1 via 10.1.0.2",
    ],
    "static_routes": ["10.0.0.0/8 dev eth0 track_group G nexthop via 10.1.0.1"],
    "virtual_rules": [line for line, _ in RULES],
    "static_rules": ["iif eth0 table 5 track_group G", "from any to 10.0.0.0/8 nop"],
}


def entries(loaded: Loaded, block: str) -> tuple[Any, ...]:
    """The records that the entries of `block` became."""
    configuration = loaded.configuration
    one = configuration.instances[0]
    found: dict[str, tuple[Any, ...]] = {
        "virtual_ipaddress_excluded": one.excluded_addresses,
        "static_ipaddress": configuration.static_addresses,
        "virtual_routes": one.routes,
        "static_routes": configuration.static_routes,
        "virtual_rules": one.rules,
        "static_rules": configuration.static_rules,
    }
    return found[block]


@pytest.mark.parametrize("block", LISTS)
def test_text_of_entries_reads_the_same(tmp_path: Path, block: str) -> None:
    show = {
        "ipaddress": virtual_ipaddress.STATIC,
        "routes": routes.BLOCK,
        "rules": rules.BLOCK,
    }[block.split("_")[1]].show_entry
    assert show is not None
    before = entries(read_list(tmp_path, block, *LISTS[block]), block)
    assert before
    assert entries(read_list(tmp_path, block, *map(show, before)), block) == before


@pytest.mark.parametrize(
    "block",
    [
        virtual_ipaddress.ADDRESSES,
        virtual_ipaddress.EXCLUDED,
        virtual_ipaddress.STATIC,
        routes.BLOCK,
        routes.STATIC,
        rules.BLOCK,
        rules.STATIC,
    ],
    ids=lambda block: block.name,
)
def test_every_option_is_described(block: Any) -> None:
    assert block.entry_help
    for keyword in block.keywords.values():
        assert keyword.help, keyword.name
        assert keyword.read is not None, keyword.name
        assert not keyword.alias or keyword.alias in (*block.keywords, "::/0")


# Numbers and names -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("12", 0, (12, "", False)),
        ("012", 0, (10, "", False)),
        ("012", 10, (12, "", False)),
        ("0x1F/2", 0, (31, "/2", False)),
        ("0x", 0, (0, "x", False)),
        ("09", 0, (0, "9", False)),
        (" +7x", 10, (7, "x", False)),
        ("-1", 0, (2**64 - 1, "", False)),
        ("99999999999999999999", 10, (2**64 - 1, "", True)),
        ("ffg", 16, (255, "g", False)),
        ("", 0, (0, "", False)),
        ("x", 10, (0, "x", False)),
    ],
)
def test_numbers_as_in_c(text: str, base: int, expected: tuple[int, str, bool]) -> None:
    assert strtoul(text, base) == expected


def test_names_of_a_table() -> None:
    names = names_in("rt_tables", "# 1 comment\n#\n100 vpn\n254 principal\n0x10 hex # no\n-1 low\n101 vpn\n")
    assert names == {"vpn": 100, "principal": 254, "default": 253, "local": 255}
    assert names_in("rt_realms", "255 big\n256 bigger\n") == {"big": 255}
    assert names_in("protocols", "tcp 6 TCP # x\nudp 17\n") == {"tcp": 6, "TCP": 6, "udp": 17}
