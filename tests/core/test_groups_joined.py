"""A reload that joins a MASTER with an instance that is not: who waits for whom."""

from collections.abc import Callable
from dataclasses import replace as replace_facts
from typing import TYPE_CHECKING

import pytest

from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, SyncGroup

if TYPE_CHECKING:
    from tests.core.conftest import Bench

OLD, NEW = InstanceName("VI_2"), InstanceName("VI_1")


@pytest.fixture
def joined(bench: Callable[..., "Bench"]) -> "Bench":
    """VI_2 is MASTER; at 5 s VI_1 comes, and both are a group."""
    made = bench({}, {"name": OLD, "interface": InterfaceName("eth1"), "vrid": 52})
    whole = made.configuration
    made.configuration = Configuration(instances=(whole.instance(OLD),))
    made.start().until(5)
    assert made.role is fx.Role.MASTER
    made.configuration = replace(whole, groups=(SyncGroup(GroupName("G"), (NEW, OLD)),))
    made.effects = []
    return made.feed(ev.SettingsReplaced(made.configuration))


def test_nobody_claims_an_address_unheard(joined: "Bench") -> None:
    assert joined.roles() == ["BACKUP", "MASTER"]
    joined.until(8.5)
    assert joined.roles() == ["BACKUP", "MASTER"]
    joined.until(8.7)
    assert joined.roles() == ["MASTER", "MASTER"]
    assert [each.line for each in joined.effects if isinstance(each, fx.WriteFifo)][
        -1
    ] == 'GROUP "G" MASTER 0'


def test_the_others_give_way_when_it_has_heard_a_master(joined: "Bench") -> None:
    joined.hear(150, 6)
    assert joined.roles() == ["BACKUP", "BACKUP"]
    assert "VRRP_Group(G) Syncing instances to BACKUP state" in joined.logs()
    assert [each.line for each in joined.last if isinstance(each, fx.WriteFifo)] == [
        'INSTANCE "VI_2" BACKUP 100',
        'GROUP "G" BACKUP 0',
    ]
    joined.hear(150, 7)
    assert joined.last == ()


def test_a_worse_master_and_one_that_resigns_end_nothing(joined: "Bench") -> None:
    joined.hear(50, 5.5).hear(0, 6)
    assert joined.roles() == ["BACKUP", "MASTER"]
    joined.until(6.7)
    assert joined.roles() == ["MASTER", "MASTER"]


def test_a_fault_of_the_new_one_is_the_fault_of_all(joined: "Bench") -> None:
    down = replace_facts(joined.interfaces[InterfaceName("eth0")], up=False)
    joined.feed(ev.LinkChanged(down), 6)
    assert joined.roles() == ["FAULT", "FAULT"]
