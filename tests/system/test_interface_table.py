"""The fold over what the kernel says: events where something changed, silence where nothing did."""

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    InterfaceAddress,
    InterfaceFacts,
    LinkChanged,
)
from keepalived_py.system.interface_table import InterfaceTable

V0 = InterfaceFacts(InterfaceName("v0"), index=3, up=True, mac=bytes(6))
HOME = InterfaceAddress(IPv4Address("10.0.0.1"), 24)
VIRTUAL = InterfaceAddress(IPv4Address("10.0.0.100"), 32)


def test_repetition_is_silent() -> None:
    table = InterfaceTable([V0])
    assert list(table.link(V0)) == []
    assert list(table.address(3, HOME)) == [AddressAdded(V0.name, HOME)]
    assert list(table.address(3, HOME)) == []
    assert list(table.link(V0)) == []


def test_change_of_link_keeps_addresses() -> None:
    table = InterfaceTable([replace(V0, addresses=(HOME,))])
    down = replace(V0, up=False)
    assert list(table.link(down)) == [LinkChanged(replace(down, addresses=(HOME,)))]


def test_removal_of_unknown_things_is_silent() -> None:
    table = InterfaceTable([V0])
    assert list(table.address_gone(3, HOME)) == []
    assert list(table.address_gone(9, HOME)) == []
    assert list(table.address(9, HOME)) == []
    assert list(table.link_gone(9)) == []


def test_new_name_is_leaving_and_coming() -> None:
    table = InterfaceTable([replace(V0, addresses=(HOME,))])
    renamed = replace(V0, name=InterfaceName("w0"))
    assert list(table.link(renamed)) == [
        LinkChanged(InterfaceFacts(V0.name, index=0, up=False)),
        LinkChanged(replace(renamed, addresses=(HOME,))),
        AddressAdded(renamed.name, HOME),
    ]


def test_secondary_that_became_primary_is_no_removal() -> None:
    secondary = replace(HOME, secondary=True)
    table = InterfaceTable([replace(V0, addresses=(secondary,))])
    assert list(table.address(3, HOME)) == [AddressAdded(V0.name, HOME)]
    assert table.by_name()[V0.name].addresses == (HOME,)


def test_reread_yields_what_was_missed() -> None:
    other = InterfaceFacts(InterfaceName("v1"), index=4, up=True)
    table = InterfaceTable([replace(V0, addresses=(HOME,)), other])
    fresh = replace(V0, up=False, addresses=(VIRTUAL,))
    assert list(table.reread([fresh])) == [
        LinkChanged(InterfaceFacts(other.name, index=0, up=False)),
        LinkChanged(replace(V0, up=False, addresses=(HOME,))),
        AddressRemoved(V0.name, HOME),
        AddressAdded(V0.name, VIRTUAL),
    ]
    assert table.by_name() == {V0.name: fresh}


def test_forwarding_is_a_change_of_the_link() -> None:
    table = InterfaceTable([replace(V0, addresses=(HOME,))])
    routing = replace(V0, forwards=True, addresses=(HOME,))
    assert list(table.forwards(3, True)) == [LinkChanged(routing)]
    assert list(table.forwards(3, True)) == []
    assert list(table.forwards(9, True)) == []
    assert table.by_name() == {V0.name: routing}


def test_names_by_index() -> None:
    table = InterfaceTable([V0])
    assert (table.name_of(3), table.name_of(4)) == (V0.name, None)


ADDRESSES = st.sets(st.integers(1, 5)).map(
    lambda hosts: tuple(InterfaceAddress(IPv4Address(0x0A000000 + host), 24) for host in sorted(hosts))
)
INTERFACES = st.dictionaries(st.integers(1, 4), st.tuples(st.booleans(), ADDRESSES)).map(
    lambda by_index: [
        InterfaceFacts(InterfaceName(f"e{index}"), index, up, addresses=addresses)
        for index, (up, addresses) in by_index.items()
    ]
)


@given(INTERFACES, INTERFACES)
def test_after_a_reread_the_table_is_the_fresh_state(
    before: list[InterfaceFacts], after: list[InterfaceFacts]
) -> None:
    table = InterfaceTable(before)
    list(table.reread(after))
    known = {name: replace(facts, addresses=()) for name, facts in table.by_name().items()}
    assert known == {facts.name: replace(facts, addresses=()) for facts in after}
    for facts in after:
        assert set(table.by_name()[facts.name].addresses) == set(facts.addresses)
    assert list(table.reread(after)) == []
