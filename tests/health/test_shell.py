"""Virtual servers at work, in virtual time, on a kernel table that takes everything literally."""

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.core.checks.orders import Order, Orders, key_at
from keepalived_py.model.events import AddressAdded, AddressRemoved, BfdChanged, FileRead, InterfaceAddress
from tests.health.kernel_table import Scene

COMMON = "delay_loop 5\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nwarmup 0\n"
TCP = "TCP_CHECK {\nconnect_timeout 1\n}\n"
TWO = {"10.1.0.2:80": 1, "10.1.0.3:80": 2}


def real(last: int, lines: str = TCP, weight: int | None = None) -> str:
    return f"real_server 10.1.0.{last} 80 {{\nweight {weight or last - 1}\n{lines}\n}}\n"


def virtual(*servers: str, lines: str = "", header: str = "10.0.0.1 80") -> str:
    return f"virtual_server {header} {{\n{COMMON}{lines}\n{''.join(servers)}}}\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.do(lambda: made.shell.stop(release=True))
    made.after(30.0)
    assert made.running == 0
    assert made.table.shown() == {}
    made.loop.close()


def test_a_server_goes_when_it_dies_and_comes_back(scene: Scene) -> None:
    scene.start(virtual(real(2), real(3)))
    assert scene.weights() == TWO
    scene.after(2.0)
    assert [at for at, _ in scene.asked] == [1.0, 1.0]
    scene.dead = {"10.1.0.3"}
    scene.after(10.0)
    assert scene.weights() == {"10.1.0.2:80": 1}
    # Every five seconds after the end of the last; one retry a second after the first failure.
    assert [at for at, name in scene.asked if "0.3" in name] == [1.0, 6.1, 7.2]
    scene.dead = set()
    scene.after(1.0)
    assert scene.weights() == TWO
    assert scene.fifo == [
        "VS [10.0.0.1]:tcp:80 UP",
        "RS [10.1.0.3]:tcp:80 [10.0.0.1]:tcp:80 DOWN",
        "RS [10.1.0.3]:tcp:80 [10.0.0.1]:tcp:80 UP",
    ]


def test_the_sorry_server_serves_when_nobody_else_does(scene: Scene) -> None:
    scene.dead = {"10.1.0.2"}
    scene.start(virtual(real(2), lines="sorry_server 10.1.0.9 80\nquorum_down /bin/true\n"))
    scene.after(3.0)
    assert scene.weights() == {"10.1.0.9:80": 1}
    assert scene.scripts == ["/bin/true"]
    scene.dead = set()
    scene.after(6.0)
    assert scene.weights() == {"10.1.0.2:80": 1}


def test_a_program_sets_the_weight(scene: Scene) -> None:
    program = "MISC_CHECK {\nmisc_path /bin/true\nmisc_dynamic\n}\n"
    scene.exits = {"/bin/true": 42}
    scene.start(virtual(real(2, program)))
    scene.after(2.0)
    assert scene.weights() == {"10.1.0.2:80": 40}
    scene.exits = {"/bin/true": 1}
    scene.after(6.0)
    assert scene.weights() == {}


def test_a_number_in_a_file_changes_the_weight(scene: Scene) -> None:
    file = "track_file f {\nfile /tmp/f\n}\n"
    check = "FILE_CHECK {\ntrack_file f\nweight 2\n}\n"
    scene.start(file + virtual(real(2, check)), [FileRead("f", 3)])
    assert scene.weights() == {"10.1.0.2:80": 7}
    scene.do(lambda: scene.shell.file_read(FileRead("f", 5)))
    assert scene.weights() == {"10.1.0.2:80": 11}
    scene.do(lambda: scene.shell.file_read(FileRead("f", None)))
    assert scene.weights() == {"10.1.0.2:80": 1}


def test_a_server_follows_its_bfd_session(scene: Scene) -> None:
    session = "bfd_instance b1 {\nneighbor_ip 10.1.0.2\nsource_ip 10.0.0.9\n}\n"
    scene.start(session + virtual(real(2, "BFD_CHECK {\nname b1\n}\n"), real(3)))
    scene.do(lambda: scene.shell.session_changed(BfdChanged("b1", False)))
    assert scene.weights() == {"10.1.0.3:80": 2}
    scene.do(lambda: scene.shell.session_changed(BfdChanged("b1", True)))
    assert scene.weights() == {"10.1.0.3:80": 2, "10.1.0.2:80": 1}


def test_a_reload_touches_only_what_is_different(scene: Scene) -> None:
    scene.start(virtual(real(2), real(3)))
    scene.dead = {"10.1.0.3"}
    scene.after(3.0)
    assert scene.weights() == {"10.1.0.2:80": 1}
    scene.table.made.clear()
    scene.reload(virtual(real(2), real(3)))
    assert scene.table.made == []
    scene.reload(virtual(real(2, weight=9), real(3)))
    assert [type(change).__name__ for change in scene.table.made] == ["EditDestination"]
    scene.reload(virtual(real(2, weight=9), real(4), lines="persistence_timeout 60\n"))
    assert scene.weights() == {"10.1.0.2:80": 9, "10.1.0.4:80": 3}
    scene.reload(virtual(real(4), header="10.0.0.2 80"))
    assert scene.table.shown() == {"10.0.0.2:tcp:80": {"10.1.0.4:80": 3}}


def test_what_a_reload_has_ended_says_nothing_any_more(scene: Scene) -> None:
    scene.took_s = 4.0
    scene.dead = {"10.1.0.2"}
    scene.start(virtual(real(2), real(3)))
    scene.after(2.0)
    assert scene.running == 2
    scene.dead = set()
    scene.reload(virtual(real(2), real(3)))
    scene.after(0.1)
    assert scene.running == 0
    scene.after(8.0)
    assert scene.weights() == TWO


def test_checks_rest_while_the_address_is_elsewhere(scene: Scene) -> None:
    scene.start(virtual(real(2), lines="ha_suspend\n"))
    scene.after(12.0)
    assert scene.asked == []
    address = InterfaceAddress(ip_address("10.0.0.1"), 32)
    scene.do(lambda: scene.shell.address_changed(AddressAdded(InterfaceName("lo"), address)))
    scene.after(6.0)
    assert len(scene.asked) == 1
    scene.do(lambda: scene.shell.address_changed(AddressRemoved(InterfaceName("lo"), address)))
    scene.after(20.0)
    assert len(scene.asked) == 1


GROUP = "virtual_server_group g {\n10.0.0.1-3 80\n10.0.0.9 80\n}\n"


def test_checks_of_a_group_go_on_while_any_of_its_addresses_is_here(scene: Scene) -> None:
    scene.start(GROUP + virtual(real(2), lines="ha_suspend\n", header="group g"))
    scene.after(12.0)
    assert scene.asked == []
    for host in ("10.0.0.2", "10.0.0.9"):
        added = AddressAdded(InterfaceName("lo"), InterfaceAddress(ip_address(host), 32))
        scene.do(partial(scene.shell.address_changed, added))
    scene.after(6.0)
    assert len(scene.asked) == 1
    scene.do(lambda: scene.shell.address_changed(AddressRemoved(added.interface, added.address)))
    scene.after(10.0)
    assert len(scene.asked) > 1


def test_an_address_that_is_told_of_twice_is_here_once(scene: Scene) -> None:
    scene.start(virtual(real(2), lines="ha_suspend\n"))
    for secondary in (True, False):
        address = InterfaceAddress(ip_address("10.0.0.1"), 32, secondary)
        event = AddressAdded(InterfaceName("lo"), address)
        scene.do(partial(scene.shell.address_changed, event))
    scene.do(lambda: scene.shell.address_changed(AddressRemoved(event.interface, address)))
    scene.after(12.0)
    assert scene.asked == []


def test_an_interface_takes_its_addresses_with_it(scene: Scene) -> None:
    scene.start(virtual(real(2), lines="ha_suspend\n"))
    there = AddressAdded(InterfaceName("v0"), InterfaceAddress(ip_address("10.0.0.1"), 32))
    scene.do(lambda: scene.shell.address_changed(there))
    scene.do(lambda: scene.shell.interface_gone(there.interface))
    scene.after(12.0)
    assert scene.asked == []


def test_an_order_comes_before_checks_and_configuration(scene: Scene) -> None:
    scene.start(virtual(real(2), real(3)))
    pool = scene.shell.view().pools[0]
    orders = Orders().given(key_at(pool, 0), Order(drained=True, persistent=True))
    scene.shell.orders = lambda: orders
    scene.do(lambda: scene.shell.ordered(0, 0))
    assert scene.weights() == {"10.1.0.2:80": 0, "10.1.0.3:80": 2}
    scene.dead = {"10.1.0.2"}
    scene.after(10.0)
    scene.dead = set()
    scene.after(6.0)
    assert scene.weights()["10.1.0.2:80"] == 0
    scene.reload(virtual(real(2, weight=5), real(3)))
    assert scene.weights()["10.1.0.2:80"] == 0
    scene.shell.orders = Orders
    scene.do(lambda: scene.shell.ordered(0, 0))
    assert scene.weights()["10.1.0.2:80"] == 5


def test_groups_share_services_of_marks(scene: Scene) -> None:
    group = "virtual_server_group g {\n10.0.0.1-2 80\nfwmark 7\n}\n"
    one = virtual(real(2), header="group g")
    scene.start(group + one)
    assert set(scene.table.shown()) == {"10.0.0.1:tcp:80", "10.0.0.2:tcp:80", "FWM 7"}
    scene.reload("virtual_server_group g {\n10.0.0.2-3 80\nfwmark 7\n}\n" + one)
    assert scene.table.shown() == {
        "10.0.0.2:tcp:80": {"10.1.0.2:80": 1},
        "FWM 7": {"10.1.0.2:80": 1},
        "10.0.0.3:tcp:80": {"10.1.0.2:80": 1},
    }


def test_mails_go_to_those_who_want_them(scene: Scene) -> None:
    mail = "global_defs {\nnotification_email {\na@b.c\n}\nsmtp_server 10.0.0.3\n}\n"
    scene.dead = {"10.1.0.2"}
    scene.start(mail + virtual(real(2), real(3)))
    scene.after(2.0)
    assert [(one.subject, one.body) for one in scene.mails] == [
        (
            "Realserver [10.1.0.2]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN",
            "=> TCP CHECK failed on service <=",
        )
    ]
