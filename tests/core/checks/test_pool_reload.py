"""What a reload does to a virtual server, and what it leaves alone."""

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.pool_reload import carried_over
from keepalived_py.model.check_events import CheckEffect
from keepalived_py.model.globals import Lvs, LvsFlush
from keepalived_py.model.virtual_server import (
    AddressRange,
    FirewallMark,
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    ServerGroup,
    VirtualServer,
)
from tests.core.checks.pool_play import VS, Play, at, name, real, script, short, sorry, virtual


def reloaded(old: Play, new: Play, **how: Any) -> list[str]:
    """Both halves of a reload of one virtual server."""
    out: list[CheckEffect] = []
    new.pool = carried_over(old.pool, new.pool, out, **how)
    return [short(effect) for effect in out] + new.start()


def started(*arguments: Any, **how: Any) -> Play:
    play = Play(*arguments, **how)
    play.start()
    return play


def test_nothing_changed_nothing_is_done() -> None:
    settings = virtual(real(11), real(12), sorry_server=sorry(inhibit=True))
    old = started(settings)
    old.say(1, False)
    new = Play(settings, [0, 1])
    assert reloaded(old, new) == []
    assert new.pool == old.pool


def test_weight_and_scheduler() -> None:
    old = started(virtual(real(11, weight=1), real(12, weight=2)))
    new = Play(virtual(real(11, weight=7), real(12, weight=2), scheduler=Scheduler.ROUND_ROBIN))
    assert reloaded(old, new) == [
        "= 10.5.0.1:tcp:80 rr",
        f"Changing weight from 1 to 7 for active service {name(11)} of VS {VS}",
        "= 10.5.0.11:80 w7",
    ]


def test_one_goes_one_comes() -> None:
    old = started(virtual(real(11, weight=7), real(12, notify_down=script("down"))))
    new = Play(virtual(real(11, weight=1), real(14, weight=2)))
    assert reloaded(old, new) == [
        f"service {name(12)} no longer exist",
        f"Removing service {name(12)} from VS {VS}",
        "- 10.5.0.12:80",
        "run down",
        f"fifo RS {name(12)} {VS} DOWN",
        f"mail Realserver {name(12)} of virtual server {VS} - DOWN: => Removing <=",
        f"Changing weight from 7 to 1 for active service {name(11)} of VS {VS}",
        "= 10.5.0.11:80 w1",
        "+ 10.5.0.14:80 w2",
    ]


def test_a_virtual_server_that_goes() -> None:
    old = started(virtual(real(11, smtp_alert=False), real(12), quorum_down=script("qdown")))
    old.say(1, False)
    assert old.stop(stopping=False) == [
        f"Removing service {name(11)} from VS {VS}",
        "- 10.5.0.11:80",
        f"fifo RS {name(11)} {VS} DOWN",
        "run qdown",
        f"fifo VS {VS} DOWN",
        "- 10.5.0.1:tcp:80",
    ]


def test_the_way_to_a_server_and_its_thresholds_are_edited_where_it_is_in() -> None:
    tunnel = ForwardingMethod(Forwarding.TUNNEL)
    servers = [real(11), real(12), real(13, inhibit_on_failure=True)]
    old = started(virtual(*servers))
    old.say(1, False)
    old.say(2, False)
    new = Play(virtual(*(replace(one, method=tunnel, upper_threshold=5) for one in servers)), [0, 1, 1])
    assert reloaded(old, new) == ["= 10.5.0.11:80 w1", "= 10.5.0.13:80 w0"]


def test_a_server_whose_failed_check_is_gone_comes_back() -> None:
    old = started(virtual(real(11), real(12)))
    old.say(0, False)
    assert reloaded(old, Play(virtual(real(11), real(12)))) == [
        f"Adding service {name(11)} to VS {VS}",
        "+ 10.5.0.11:80 w1",
        f"fifo RS {name(11)} {VS} UP",
    ]


def test_inhibiting_begins_and_ends_for_a_failed_server() -> None:
    old = started(virtual(real(11), real(12)))
    old.say(0, False)
    middle = Play(virtual(real(11, inhibit_on_failure=True), real(12)), [1, 0])
    assert reloaded(old, middle) == ["+ 10.5.0.11:80 w0"]
    assert reloaded(middle, Play(virtual(real(11), real(12)), [1, 0])) == ["- 10.5.0.11:80"]


def test_a_new_server_waits_while_the_sorry_server_serves() -> None:
    old = started(virtual(real(11), real(12), quorum=2, sorry_server=sorry()))
    old.say(1, False)
    new = Play(virtual(real(11), real(12), real(13, weight=0), quorum=2, sorry_server=sorry()), [0, 1, 0])
    assert reloaded(old, new) == []
    assert new.weigh(2, 1)[-4:-1] == [
        f"Adding alive servers to the pool for VS {VS}",
        "+ 10.5.0.11:80 w1",
        "+ 10.5.0.13:80 w1",
    ]


def test_sorry_servers_come_change_and_go() -> None:
    servers = [real(11), real(12)]
    old = started(virtual(*servers, quorum=2))
    old.say(1, False)
    first = Play(virtual(*servers, quorum=2, sorry_server=sorry(98)), [0, 1])
    assert reloaded(old, first)[1:5] == [
        f"Adding sorry server {name(98)} to VS {VS}",
        f"Removing alive servers from the pool for VS {VS}",
        "- 10.5.0.11:80",
        "+ 10.5.0.98:80 w1",
    ]
    second = Play(virtual(*servers, quorum=2, sorry_server=sorry(99)), [0, 1])
    changes = [line for line in reloaded(first, second) if line[0] in "+-="]
    assert changes == ["- 10.5.0.98:80", "+ 10.5.0.99:80 w1"]
    assert reloaded(second, Play(virtual(*servers, quorum=2), [0, 1])) == [
        f"Removing sorry server {name(99)} from VS {VS}",
        "- 10.5.0.99:80",
        f"Adding alive servers to the pool for VS {VS}",
        "+ 10.5.0.11:80 w1",
    ]


def test_a_sorry_server_that_stood_by_need_not_any_more() -> None:
    old = started(virtual(real(11), sorry_server=sorry(inhibit=True)))
    assert reloaded(old, Play(virtual(real(11), sorry_server=sorry()))) == [
        f"Removing sorry server {name(99)} from VS {VS}",
        "- 10.5.0.99:80",
    ]


def test_a_loss_by_removal_is_told_once() -> None:
    old = started(virtual(real(11), real(12), quorum=2))
    lines = reloaded(old, Play(virtual(real(11), quorum=2)))
    assert [line for line in lines if line.startswith("fifo VS")] == [f"fifo VS {VS} DOWN"]
    assert lines[-2] == f"Starting with quorum down 2-0=2 > 1 for VS {VS}"


ONE = AddressRange(at("10.6.0.1"), at("10.6.0.1"), 80)
WIDE = AddressRange(at("10.6.0.1"), at("10.6.0.2"), 80)


def by_group(*servers: Any, **settings: Any) -> VirtualServer:
    return VirtualServer(group="g", ip_family=4, protocol=Protocol.TCP, real_servers=servers, **settings)


def test_entries_of_a_group_come_and_go_and_the_rest_stays() -> None:
    settings = by_group(real(11))
    old = started(settings, group=ServerGroup("g", (ONE, FirewallMark(7))))
    new = Play(settings, group=ServerGroup("g", (WIDE, FirewallMark(8))))
    assert reloaded(old, new) == [
        "VS [[10.6.0.1]:tcp:80] in group g no longer exists",
        "VS [7] in group g no longer exists",
        "- FWM 7 10.5.0.11:80",
        "- FWM 7",
        "+ 10.6.0.2:tcp:80 wlc",
        "+ FWM 8 wlc",
        "VS [[10.6.0.1]:tcp:80-10.6.0.2] added into group g",
        "+ 10.6.0.2:tcp:80 10.5.0.11:80 w1",
        "VS [FWM 8] added into group g",
        "+ FWM 8 10.5.0.11:80 w1",
    ]


def test_another_protocol_in_a_group_is_other_services() -> None:
    settings = by_group(real(11))
    group = ServerGroup("g", (ONE,))
    old = started(settings, group=group)
    assert reloaded(old, Play(replace(settings, protocol=Protocol.UDP), group=group)) == [
        "- 10.6.0.1:tcp:80 10.5.0.11:80",
        "- 10.6.0.1:tcp:80",
        "+ 10.6.0.1:udp:80 wlc",
        "+ 10.6.0.1:udp:80 10.5.0.11:80 w1",
    ]


def test_services_of_a_group_are_there_while_somebody_needs_them() -> None:
    group = ServerGroup("g", (ONE,))
    first = started(by_group(real(11)), group=group)
    second = Play(by_group(real(12)), group=group, place=1)
    shared = pools.shared_services(second.pool, [first.pool, second.pool])
    assert second.start(shared=shared)[0] == "+ 10.6.0.1:tcp:80 10.5.0.12:80 w1"
    shared = pools.shared_services(first.pool, [first.pool, second.pool])
    assert [line for line in first.stop(shared=shared) if line[0] == "-"] == [
        "- 10.6.0.1:tcp:80 10.5.0.11:80"
    ]
    assert pools.shared_services(second.pool, [first.pool, second.pool]) == frozenset()


def test_what_is_flushed_leaves_the_services_of_others_without_its_servers() -> None:
    group = ServerGroup("g", (ONE,))
    first = started(by_group(real(11)), group=group, lvs=Lvs(flush_on_stop=LvsFlush.OWN_SERVICES))
    lines = first.stop(shared=set(first.pool.services), stopping=False)
    assert lines == ["- 10.6.0.1:tcp:80 10.5.0.11:80"]


def test_identities() -> None:
    assert pools.identity(virtual(real(11))) == pools.identity(virtual(real(12), quorum=3))
    assert pools.identity(virtual(protocol=Protocol.UDP)) != pools.identity(virtual())
    assert pools.identity(VirtualServer(mark=5)) == pools.identity(VirtualServer(mark=5, ip_family=4))
    assert pools.identity(VirtualServer(mark=5)) != pools.identity(VirtualServer(mark=5, ip_family=6))
    assert pools.identity(by_group(), 0) != pools.identity(by_group(), 1)
