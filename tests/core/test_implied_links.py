"""Interfaces that an instance needs: a weight on one of them is nothing, as in keepalived."""

from collections.abc import Callable
from dataclasses import replace as replace_facts
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.model import events as ev
from keepalived_py.model.config import SyncGroup, TrackedInterface, VirtualAddress
from keepalived_py.model.network import Prefix, Route

if TYPE_CHECKING:
    from tests.core.conftest import Bench

ETH0, ETH1 = InterfaceName("eth0"), InterfaceName("eth1")
WEIGHTED = (TrackedInterface(ETH1, 5),)
THERE = VirtualAddress(IPv4Address("10.1.1.1"), 32, ETH1)
ROUTE = Route(Prefix(IPv4Address("10.8.0.0"), 16), interface=ETH1)


@pytest.mark.parametrize(
    ("settings", "priority", "role"),
    [
        ({}, 105, "BACKUP"),
        ({"excluded_addresses": (THERE,)}, 100, "FAULT"),
        ({"routes": (ROUTE,)}, 100, "FAULT"),
        ({"interface": ETH1}, 100, "FAULT"),
        ({"interface": ETH1, "track_primary": False}, 105, "BACKUP"),
    ],
)
@pytest.mark.parametrize("by_group", [False, True])
def test_a_weight_where_the_interface_is_needed(
    bench: Callable[..., "Bench"], settings: dict[str, Any], priority: int, role: str, by_group: bool
) -> None:
    if by_group:
        group = SyncGroup(GroupName("G"), (InstanceName("VI_1"),), track_interfaces=WEIGHTED)
        made = bench(settings, groups=(group,)).start()
    else:
        made = bench({**settings, "track_interfaces": WEIGHTED}).start()
    assert made.state.effective_priority == priority
    made.feed(ev.LinkChanged(replace_facts(made.interfaces[ETH1], up=False)), 1)
    assert (made.roles(), made.state.effective_priority) == ([role], 100)
