"""Reloads, delays and refusals that meet each other: each of these once cost a role, or left a filter wrong."""

import errno
from typing import Any

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import GroupName, InstanceName
from keepalived_py.base.record import replace
from keepalived_py.core.vrrp.timing import master_down_interval
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, Globals, SyncGroup, VirtualAddress
from keepalived_py.model.tracking import TrackedProcess, TrackProcess
from tests.core.conftest import ETH0, VIP, Bench, facts

OTHER = VirtualAddress(VIP + 1, 24, ETH0)
THIRD = VirtualAddress(VIP + 2, 24, ETH0)
OURS = VirtualAddress(VIP, 24, ETH0)


def reloaded(bench: Bench, **settings: Any) -> Configuration:
    """The bench's configuration with its instances changed."""
    changed = tuple(replace(each, **settings) for each in bench.configuration.instances)
    return replace(bench.configuration, instances=changed)


def test_a_backup_with_a_shorter_interval_still_reckons_with_its_master() -> None:
    """The master goes on with the interval that was ours too before the reload."""
    bench = Bench({"version": 3, "advert_interval_us": 2 * SECOND, "base_priority": 50}).start()
    bench.hear(100, 1.0, version=3, advert_interval=200, auth_data=b"", auth_type=0, **lengths())
    changed = reloaded(bench, advert_interval_us=SECOND // 10)
    bench.feed(ev.SettingsReplaced(changed), 1.5)
    wait = master_down_interval(changed.instances[0], 50, bench.state.interval)
    assert bench.state.interval == 2 * SECOND
    assert bench.state.deadline == SECOND + wait


def lengths() -> dict[str, Any]:
    """Of a version 3 advert with one IPv4 address: no password."""
    return dict.fromkeys(("total_length", "received_length", "expected_length"), 32)


def test_a_fault_that_ends_during_the_startup_delay_leads_to_no_claim_in_it() -> None:
    """Nothing can be heard during the delay, so the timer runs from its end."""
    bench = Bench({}, globals=Globals(startup_delay_us=Micros(10 * SECOND)))
    bench.interfaces[ETH0] = facts(up=False)
    bench.start().feed(ev.LinkChanged(facts()), 1.0)
    assert bench.role is fx.Role.BACKUP
    bench.until(10.0)
    down = master_down_interval(bench.state.settings, bench.state.effective_priority)
    bench.until(10.0 + down / SECOND - 0.01)
    assert bench.state.counters.become_master == 0
    bench.until(10.0 + down / SECOND)
    assert bench.state.counters.become_master == 1


def test_a_member_that_waits_for_a_new_count_follows_its_group() -> None:
    """A running instance does not wait for first results, in a group neither."""
    names = InstanceName("VI_1"), InstanceName("VI_2")
    second = {"name": names[1], "vrid": 52, "addresses": (OTHER,)}
    group = SyncGroup(GroupName("VG"), names)
    bench = Bench({}, second, groups=(group,)).start()
    watched = reloaded(bench)
    first = replace(watched.instances[0], track_processes=(TrackedProcess("p"),))
    watched = replace(
        watched, instances=(first, watched.instances[1]), track_processes=(TrackProcess("p", "daemon"),)
    )
    bench.feed(ev.SettingsReplaced(watched), 1.0).until(5.0)
    assert {state.role for state in bench.node.instances.values()} == {fx.Role.MASTER}


def test_a_refused_address_is_asked_for_by_whoever_holds_it_now() -> None:
    """It was on its way when a reload gave it to another MASTER."""
    second = {"name": InstanceName("VI_2"), "vrid": 52, "addresses": ()}
    bench = Bench({"addresses": (OURS, OTHER)}, second).start().until(4.0)
    one, two = bench.configuration.instances
    moved = (replace(one, addresses=(OURS,)), replace(two, addresses=(OTHER,)))
    bench.feed(ev.SettingsReplaced(replace(bench.configuration, instances=moved)))
    bench.feed(ev.EffectDone(fx.AddAddress(one.name, OTHER), fx.TimedOut()))
    bench.last = ()
    bench.until(5.5)
    assert additions(bench) == [fx.AddAddress(two.name, OTHER)]


def additions(bench: Bench) -> list[fx.Effect]:
    """The addresses that the last steps put on."""
    return [each for each in bench.last if isinstance(each, fx.AddAddress)]


def test_an_address_that_came_after_its_deletion_is_taken_off_again() -> None:
    """Its prefix length changed, and it moved, while the kernel was slow."""
    second = {"name": InstanceName("VI_2"), "vrid": 52, "addresses": ()}
    bench = Bench({"addresses": (OURS, OTHER)}, second).start().until(4.0)
    one, two = bench.configuration.instances
    wider = replace(OTHER, prefix_length=25)
    moved = (replace(one, addresses=(OURS,)), replace(two, addresses=(wider,)))
    bench.held.clear()
    bench.feed(ev.SettingsReplaced(replace(bench.configuration, instances=moved)))
    bench.feed(ev.EffectDone(fx.AddAddress(one.name, OTHER), fx.Done()))
    assert fx.DeleteAddress(one.name, OTHER) in bench.last
    bench.feed(ev.EffectDone(fx.AddAddress(two.name, wider), fx.Done()))
    assert not any(isinstance(each, fx.DeleteAddress) for each in bench.last)


# -- the firewall ---------------------------------------------------------------


def refused(bench: Bench, kind: type, outcome: fx.Outcome) -> None:
    """The last effect of this kind has this outcome."""
    effect = next(each for each in reversed(bench.effects) if isinstance(each, kind))
    bench.feed(ev.EffectDone(effect, outcome))


def closed_bench(*instances: dict[str, Any]) -> Bench:
    """MASTERs with `no_accept`."""
    return Bench(*({"accept": False, **each} for each in instances)).start().until(4.0)


def filters(bench: Bench) -> list[fx.Effect]:
    """What the firewall was asked for by the last step."""
    return [each for each in bench.last if isinstance(each, fx.BlockAddresses | fx.UnblockAddresses)]


def test_a_refused_block_is_asked_for_by_whoever_has_the_addresses_after_a_reload() -> None:
    """One address moves to another instance, one stays, one is gone."""
    second = {"name": InstanceName("VI_2"), "vrid": 52, "addresses": ()}
    bench = closed_bench({"addresses": (OURS, OTHER, THIRD)}, second)
    blocked = next(each for each in bench.effects if isinstance(each, fx.BlockAddresses))
    bench.feed(ev.EffectDone(blocked, fx.Failed(errno.ENOBUFS)))
    one, two = bench.configuration.instances
    moved = (replace(one, addresses=(OURS,)), replace(two, addresses=(OTHER,)))
    bench.feed(ev.SettingsReplaced(replace(bench.configuration, instances=moved)))
    assert filters(bench) == [
        fx.BlockAddresses(two.name, (OTHER,)),
        fx.UnblockAddresses(one.name, (OTHER, THIRD)),
    ]
    bench.last = ()
    bench.until(5.5)
    assert filters(bench) == [fx.BlockAddresses(one.name, (OURS,))]


def test_a_refused_unblock_does_not_open_what_is_closed_again() -> None:
    """After a reload only the address that is no longer held remains to be opened."""
    bench = closed_bench({"addresses": (OURS, OTHER)})
    bench.hear(200, address_count=2, addresses=(OURS.address, OTHER.address), **longer())
    refused(bench, fx.UnblockAddresses, fx.Failed(errno.ENOBUFS))
    bench.feed(ev.SettingsReplaced(reloaded(bench, addresses=(OURS,))))
    bench.hear(0, 4.1)
    bench.until(4.9)
    assert bench.role is fx.Role.MASTER
    bench.last = ()
    bench.until(5.5)
    assert filters(bench) == [fx.UnblockAddresses(InstanceName("VI_1"), (OTHER,))]


def longer() -> dict[str, Any]:
    """Of a version 2 advert with two addresses."""
    return dict.fromkeys(("total_length", "received_length", "expected_length"), 44)


def test_an_unblock_refused_after_a_reload_does_not_open_what_is_closed_again() -> None:
    """It was on its way when one of its addresses was given back."""
    bench = closed_bench({"addresses": (OURS, OTHER)})
    bench.hear(200, address_count=2, addresses=(OURS.address, OTHER.address), **longer())
    bench.feed(ev.SettingsReplaced(reloaded(bench, addresses=(OURS,))))
    bench.hear(0, 4.1)
    bench.until(4.9)
    assert bench.role is fx.Role.MASTER
    refused(bench, fx.UnblockAddresses, fx.TimedOut())
    bench.last = ()
    bench.until(6.5)
    again = fx.UnblockAddresses(InstanceName("VI_1"), (OTHER,))
    assert filters(bench) == [again]
    bench.feed(ev.EffectDone(again, fx.Done()))
    assert bench.node.ledger.ailing == {}


def test_a_filter_s_success_ends_the_trouble_with_a_part_of_it() -> None:
    """The first answer is about more than what was still to be asked for after a reload."""
    bench = closed_bench({"addresses": (OURS, OTHER)})
    blocked = next(each for each in bench.effects if isinstance(each, fx.BlockAddresses))
    bench.feed(ev.SettingsReplaced(reloaded(bench, addresses=(OURS,))))
    bench.feed(ev.EffectDone(blocked, fx.TimedOut()))
    assert list(bench.node.ledger.ailing) == [fx.BlockAddresses(InstanceName("VI_1"), (OURS,))]
    bench.feed(ev.EffectDone(blocked, fx.Done()))
    assert bench.node.ledger.ailing == {}


def test_a_block_that_nobody_answered_is_asked_for_again() -> None:
    """It may have been done; to ask twice is to ask once."""
    bench = closed_bench({})
    refused(bench, fx.BlockAddresses, fx.TimedOut())
    bench.last = ()
    bench.until(5.5)
    assert [type(each) for each in filters(bench)] == [fx.BlockAddresses]


def test_what_a_gone_instance_had_closed_is_opened_however_long_that_takes() -> None:
    """The name is no longer in the configuration, and the firewall still knows it."""
    bench = closed_bench({}, {"name": InstanceName("VI_2"), "vrid": 52, "addresses": (OTHER,)})
    bench.feed(ev.SettingsReplaced(replace(bench.configuration, instances=bench.configuration.instances[:1])))
    opened = fx.UnblockAddresses(InstanceName("VI_2"), (OTHER,))
    assert filters(bench) == [opened]
    bench.feed(ev.EffectDone(opened, fx.Failed(errno.ENOMEM)))
    bench.feed(ev.SettingsReplaced(reloaded(bench)))
    bench.last = ()
    bench.until(5.5)
    assert filters(bench) == [opened]
