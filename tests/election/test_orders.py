"""Effects by who carries them out, each kind in its order."""

from ipaddress import IPv4Address

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.orders import joined, sort
from keepalived_py.model import effects as fx
from keepalived_py.model.network import VirtualAddress

A, B = InstanceName("A"), InstanceName("B")
HOME = VirtualAddress(IPv4Address("10.0.0.1"), 32, InterfaceName("eth0"))


def test_by_lane_and_in_order() -> None:
    role = fx.RoleChanged(A, fx.Role.BACKUP, fx.Role.MASTER, "why", "because")
    effects: list[fx.Effect] = [
        fx.RaiseSequence(A, 5),
        fx.AddAddress(A, HOME),
        fx.WriteLog("first"),
        fx.SendNeighbour(A, HOME),
        role,
        fx.DeleteAddress(B, HOME),
    ]
    orders = sort(effects)
    assert orders.adverts == [effects[0]]
    assert [line.text for line in orders.lines] == ["first", "(A) BACKUP to MASTER: why (because)"]
    assert orders.lanes == {"owner A": [effects[1], effects[3]], "owner B": [effects[5]]}
    assert orders.given_up == {"owner B": [effects[5]]}


def test_those_of_several_steps_follow_each_other() -> None:
    first, second = sort([fx.AddAddress(A, HOME)]), sort([fx.DeleteAddress(A, HOME), fx.WriteLog("x")])
    both = joined([first, second])
    assert both.lanes == {"owner A": [*first.lanes["owner A"], *second.lanes["owner A"]]}
    assert both.given_up == second.given_up and both.lines == second.lines
    assert joined([second]) is second
    assert first.lanes == {"owner A": [fx.AddAddress(A, HOME)]}, "what was sorted before stays as it is"
