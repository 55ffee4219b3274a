"""Timers, adverts and roles of one instance, with the timings keepalived shows."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.record import replace as replace_record
from keepalived_py.core import node as core
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import AuthType, Globals, InitialState

if TYPE_CHECKING:
    from tests.core.conftest import Bench

Make = Callable[..., "Bench"]
MASTER, BACKUP = fx.Role.MASTER, fx.Role.BACKUP


@pytest.mark.parametrize(
    ("settings", "deadline"),
    [
        ({"base_priority": 100}, 3_609_375),
        ({"base_priority": 255}, 3_003_906),
        ({"base_priority": 254}, 3_007_812),
        ({"base_priority": 100, "down_timer_adverts": 5, "advert_interval_us": 2_000_000}, 10_609_375),
        ({"base_priority": 255, "initial_state": InitialState.MASTER}, 1),
        ({"base_priority": 150, "initial_state": InitialState.MASTER}, 3_414_062),
    ],
)
def test_first_deadline(bench: Make, settings: dict[str, object], deadline: int) -> None:
    made = bench(settings).start()
    assert core.next_deadline(made.node) == deadline
    assert made.until(deadline / 1e6).role is MASTER


def test_effects_of_becoming_master_stand_in_keepalived_order(bench: Make) -> None:
    made = bench().start()
    made.last = tuple[fx.Effect, ...]()
    made.until(3.7)
    plain = (each for each in made.last if not getattr(each, "detail", False))
    kinds = [type(each).__name__ for each in plain]
    told = ["SendNeighbour"] * 5 + ["RunNotify", "RunNotify", "WriteFifo"]
    assert kinds == ["SendAdvert", "WriteLog", "RoleChanged", "AddAddress", *told]
    assert made.notified() == ["b", "any INSTANCE VI_1 BACKUP 100", "m", "any INSTANCE VI_1 MASTER 100"]


def test_log_of_a_whole_life(bench: Make) -> None:
    made = bench().start().until(3.7).feed(ev.StopRequested())
    lines = [line for line in made.logs(detail=True) if "ARP" not in line]
    assert lines == [
        "Assigned address 10.0.0.5 for interface eth0",
        "(VI_1) removing VIPs.",
        "(VI_1) Entering BACKUP STATE (init)",
        "(VI_1) Receive advertisement timeout",
        "(VI_1) Entering MASTER STATE",
        "(VI_1) setting VIPs.",
        "(VI_1) sent 0 priority",
        "(VI_1) removing VIPs.",
    ]
    assert made.sent() == [100, 0]
    assert made.notified()[-2:] == ["s", "any INSTANCE VI_1 STOP 100"]
    assert core.next_deadline(made.node) is None and not made.held


def test_stop_without_release(bench: Make) -> None:
    made = bench().start().until(3.7).feed(ev.StopRequested(release=False))
    assert made.sent() == [100] and made.held and made.notified()[-2:] == ["s", "any INSTANCE VI_1 STOP 100"]


def test_adverts_never_drift(bench: Make) -> None:
    made = bench().start().until(3.609375)
    made.now = made.now.__class__(made.now + 1_300_000)
    made.feed(ev.Tick())
    assert core.next_deadline(made.node) == 3_609_375 + 2_000_000
    made.now = made.now.__class__(6_700_000)
    made.feed(ev.Tick())
    assert made.state.deadline == 7_700_000 and made.sent() == [100, 100, 100]


def test_the_same_advert_object_is_sent_again(bench: Make) -> None:
    made = bench().start().until(9)
    adverts = {id(each.advert) for each in made.effects if isinstance(each, fx.SendAdvert)}
    assert len(adverts) == 1


def test_backup_follows_better_and_equal_masters(bench: Make) -> None:
    made = bench().start().hear(100, 1.0, source="10.0.0.1")
    assert made.state.deadline == 4_609_375
    assert made.hear(101, 2.0).state.deadline == 5_609_375


def test_backup_discards_lower_priority_and_takes_over(bench: Make) -> None:
    made = bench().start().hear(90, 1.0)
    assert made.state.deadline == 3_609_375
    assert made.logs()[-1] == "(VI_1) received lower priority (90) advert from 10.0.0.9 - discarding"


def test_nopreempt_accepts_lower_priority(bench: Make) -> None:
    made = bench({"preempt": False}).start().hear(90, 1.0)
    assert made.state.deadline == 4_609_375


def test_preempt_delay(bench: Make) -> None:
    made = bench({"preempt_delay_us": 3_000_000}).start()
    for second in range(1, 5):
        made.hear(90, float(second))
    assert "(VI_1) start preempt delay (3.000000)" in made.logs(detail=True)
    assert made.state.deadline == 3_000_000 + 3_609_375
    assert made.hear(120, 5.0).logs(detail=True)[-1] == "(VI_1) stop preempt delay"


def test_priority_zero_leaves_only_the_skew(bench: Make) -> None:
    made = bench().start().hear(150, 1.0).hear(0, 1.5)
    assert made.state.deadline == 1_500_000 + 609_375
    assert made.state.counters.pri_zero_rcvd == 1
    assert made.logs(detail=True)[-1] == "(VI_1) Backup received priority 0 advertisement"


def test_master_answers_priority_zero_and_stays(bench: Make) -> None:
    made = bench().start().until(4).hear(0)
    assert made.sent() == [100, 100] and made.role is MASTER
    assert made.logs(detail=True)[-1] == "(VI_1) Master received priority 0 message"


def test_master_forces_election_on_lower_priority(bench: Make) -> None:
    made = bench().start().until(4).hear(90)
    text = "(VI_1) Received advert from 10.0.0.9 with lower priority 90, ours 100, forcing new election"
    assert text in made.logs() and made.sent() == [100, 100] and made.role is MASTER
    assert made.count(fx.SendNeighbour) == 10 and made.notified()[-1] == "lower"
    assert made.until(9.01).count(fx.SendNeighbour) == 20


def test_lower_priority_no_advert(bench: Make) -> None:
    made = bench({"lower_priority_no_advert": True}).start().until(4).hear(90)
    assert made.sent() == [100]
    assert "(VI_1) Received advert from 10.0.0.9 with lower priority 90, ours 100" in made.logs()


@pytest.mark.parametrize(
    ("priority", "source", "role"),
    [
        (101, "10.0.0.1", BACKUP),
        (100, "10.0.0.9", BACKUP),
        (100, "10.0.0.1", MASTER),
        (100, "10.0.0.5", MASTER),
        (99, "10.0.0.9", MASTER),
    ],
)
def test_master_compares_priority_then_address(
    bench: Make, priority: int, source: str, role: fx.Role
) -> None:
    made = bench().start().until(4).hear(priority, source=source)
    assert made.role is role
    assert bool(made.held) is (role is MASTER)


def test_texts_of_a_better_master(bench: Make) -> None:
    made = bench().start().until(4).hear(150)
    assert made.logs()[-2:] == [
        "(VI_1) Master received advert from 10.0.0.9 with higher priority 150, ours 100",
        "(VI_1) Entering BACKUP STATE",
    ]
    assert made.sent() == [100] and made.state.counters.release_master == 1
    again = bench().start().until(4).hear(100)
    assert "with same priority 100 but higher IP address than ours" in again.logs()[-2]


def test_refresh_and_second_burst(bench: Make) -> None:
    settings = quick_garp(bench)
    made = bench({"garp": settings}).start().until(3.7)
    assert made.count(fx.SendNeighbour) == 2
    assert made.until(5.7).count(fx.SendNeighbour) == 4
    assert made.until(8.7).count(fx.SendNeighbour) == 5
    assert made.until(11.7).count(fx.SendNeighbour) == 6
    assert made.hear(200).until(30).count(fx.SendNeighbour) == 6 + 2 + 2 + 4


def quick_garp(bench: Make) -> object:
    usual = bench.instance().garp  # type: ignore[attr-defined]
    return replace_record(usual, repeat=2, delay_us=2_000_000, refresh_us=3_000_000)


def test_startup_delay(bench: Make) -> None:
    made = bench(globals=Globals(startup_delay_us=Micros(3_000_000))).start()
    made.hear(200, 2.0)
    assert made.state.counters.advert_rcvd == 0
    assert made.until(6.6).role is BACKUP and made.until(6.7).role is MASTER
    assert "Delaying startup for 3 seconds" in made.logs() and "Delayed start completed" in made.logs()


def test_leftover_address_is_cleared(bench: Make) -> None:
    made = bench()
    known = made.interfaces[made.configuration.instances[0].interface]
    vip = ev.InterfaceAddress(made.configuration.instances[0].addresses[0].address, 24)
    made.interfaces[known.name] = replace(known, addresses=(*known.addresses, vip))
    assert made.start().count(fx.DeleteAddress) == 1


COMPLAINTS = [
    ({"has_ah": True}, "authtype_mismatch", "Received AH header but auth type not AH from 10.0.0.9"),
    (
        {"received_length": 36},
        "packet_len_err",
        "vrrp packet too short from 10.0.0.9, length 36 and expect 40",
    ),
    (
        {"received_length": 44},
        "packet_len_err",
        "vrrp packet too long from 10.0.0.9, length 44 and expect 40",
    ),
    ({"ttl": 254}, "ip_ttl_err", "invalid TTL/HL from 10.0.0.9. Received 254 and expect 255"),
    ({"version": 3}, "vers_err", "wrong version from 10.0.0.9. Received 3 and expect 2"),
    ({"auth_type": 7}, "invalid_authtype", "Invalid auth type: 7 from 10.0.0.9"),
    ({"auth_type": 1}, "authtype_mismatch", "received a 1 auth, expecting 0! from 10.0.0.9"),
    ({"advert_interval": 2}, "", "advertisement interval mismatch mine=1 sec rcv'd=2 sec from 10.0.0.9"),
    ({"kind": 2}, "invalid_type_rcvd", "Invalid packet type from 10.0.0.9. 2 and expect 1"),
    (
        {"total_length": 41},
        "packet_len_err",
        "ip_tot_len mismatch against received length from 10.0.0.9. 41 and received 40",
    ),
    ({"checksum_valid": False}, "chk_err", "Invalid VRRPv2 checksum from 10.0.0.9"),
]


@pytest.mark.parametrize(("fields", "counter", "text"), COMPLAINTS)
def test_receive_checks(bench: Make, fields: dict[str, Any], counter: str, text: str) -> None:
    made = bench().start()
    for at in (1.0, 2.0):
        made.hear(200, at, **fields)
    counters = made.state.counters
    assert made.state.deadline == 3_609_375 and counters.advert_rcvd == 0
    assert made.logs().count(f"(VI_1) {text}") == 1
    assert sum(counters) == (2 if counter else 0) and (not counter or getattr(counters, counter) == 2)


def test_password(bench: Make) -> None:
    made = bench({"auth_type": AuthType.PASS, "auth_data": b"secret"}).start()
    made.hear(200, 1.0, auth_type=1, auth_data=b"wrong\0\0\0")
    assert made.state.counters.auth_failure == 1 and made.state.deadline == 3_609_375
    made.hear(200, 1.0, auth_type=1, auth_data=b"secret\0\0")
    assert made.state.deadline == 4_609_375


def test_other_address_list_is_logged_but_the_advert_is_used(bench: Make) -> None:
    made = bench().start()
    for at in (1.0, 2.0):
        made.hear(
            200, at, addresses=(), address_count=0, expected_length=36, received_length=36, total_length=36
        )
    assert made.state.deadline == 5_609_375 and made.state.counters.addr_list_err == 2
    assert [line for line in made.logs() if "10.0.0.9" in line] == [
        "(VI_1) expected 1 VIPs but received 0 from 10.0.0.9"
    ]


def test_other_addresses_are_named(bench: Make) -> None:
    made = bench().start().hear(200, 1.0, addresses=(IPv4Address("10.0.0.101"),))
    text = "ip address associated with VRID 51 not present in advert from 10.0.0.9: 10.0.0.100"
    assert f"(VI_1) {text}" in made.logs() and made.state.counters.addr_list_err == 1


def test_complaints_are_logged_again_after_a_new_master(bench: Make) -> None:
    made = (
        bench()
        .start()
        .hear(200, 1.0)
        .hear(200, 1.1, ttl=1)
        .hear(210, 1.2, source="10.0.0.8")
        .hear(200, 1.3, ttl=1)
    )
    assert sum("TTL" in line for line in made.logs()) == 2


def test_unknown_vrid(bench: Make) -> None:
    made = bench(globals=Globals(log_unknown_vrids=True)).start().hear(200, 1.0, vrid=77)
    assert made.logs()[-1] == "Unknown VRID(77) received on interface(eth0). ignoring..."
    assert made.node.unknown_vrid == 1 and made.state.deadline == 3_609_375


def test_undecodable_packets_are_counted(bench: Make) -> None:
    made = bench().start().feed(ev.PacketUndecodable(bench().configuration.instances[0].interface, "short"))
    assert made.node.undecodable == 1
