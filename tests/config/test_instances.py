"""Instances, groups and what they track: messages of 2.2.7, and the values in the model."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.config.dump import dump
from keepalived_py.config.load import Loaded, load
from keepalived_py.model.vrrp import (
    AuthHmac,
    AuthType,
    ExtraInterfaces,
    HmacKey,
    Instance,
    Ipvlan,
    IpvlanMode,
    UnicastChecksum,
    UnicastPeer,
    Vmac,
)
from tests.config.fake_host import FakeHost

OBJECTS = """\
global_defs {
enable_script_security
script_user root
}
vrrp_script s1 {
script /bin/true
weight 5
}
track_file f1 {
file /tmp/f1
}
vrrp_track_process p1 {
process foo
}
bfd_instance b1 {
neighbor_ip 10.1.0.9
}
"""
KEY = "0123456789abcdef0123456789abcdef"


def read(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=FakeHost())


def instance(lines: str = "", name: str = "VI_1", vrid: int = 51, vip: str = "10.1.0.100/16") -> str:
    addresses = f"virtual_ipaddress {{\n{vip}\n}}\n" if vip else ""
    return f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n{lines}\n{addresses}}}\n"


def messages(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if not one.logged_only]


# One keyword, one complaint: the lines of an instance, and what 2.2.7 says of them.
COMPLAINTS = [
    ("unicast_ttl 256", "(VI_1): TTL '256' not valid - must be between 0 & 255"),
    ("unicast_ttl 5", "(VI_1): Cannot use unicast_ttl without unicast peers - resetting"),
    ("debug 5", "(VI_1) Debug value '5' not valid; must be between 0-4"),
    ("kernel_rx_buf_size", "(VI_1) invalid kernel_rx_buf_size specified"),
    ("kernel_rx_buf_size 5 6", "(VI_1) invalid kernel_rx_buf_size specified"),
    ("garp_extra_if", "(VI_1): garp_extra_if specified without time - ignoring"),
    ("garp_extra_if x", "(VI_1): garp_extra_if 'x' invalid - ignoring"),
    ("garp_master_repeat 0", "(VI_1): garp_master_repeat must be greater than 0, setting to 1"),
    ("mcast_dst_ip 10.1.0.1", "(VI_1) mcast_dst_ip 10.1.0.1 not multicast. Skipping..."),
    (
        "mcast_src_ip 10.1.0.1\nmcast_dst_ip ff02::18",
        "(VI_1) mcast dest address ff02::18 MUST match VRRP instance family. Skipping...",
    ),
    (
        "mcast_src_ip x",
        "Configuration error: VRRP instance[VI_1] malformed src address[x]. Skipping...",
    ),
    ("vrf eth1", "(VI_1) Cannot specify VRF interface and interface - ignoring"),
    ("mcast_src_ip 10.1.0.1\nnative_ipv6", "(VI_1) Cannot specify native_ipv6 with IPv4 addresses"),
    (
        "version 2\nversion 3",
        "(VI_1) vrrp_version 3 conflicts with configured or deduced version 2; ignoring.",
    ),
    ("old_unicast_checksum x", "(VI_1) Unknown old_unicast_chksum mode x - ignoring"),
    (
        "use_vmac eth1",
        "(VI_1) interface eth1 already exists and is not a private macvlan; ignoring vmac if_name",
    ),
    ("use_vmac 01:00:00:00:00:01", "VMAC MAC address is multicast 01:00:00:00:00:01 - ignoring"),
    ("use_vmac 02:00", "VMAC invalid MAC address 02:00 - ignored"),
    (
        "use_vmac 00:00:5e:00:01:33",
        "VMAC MAC address not allowed to be RFC5798 address (00:00:5e:00:01:33) - ignoring",
    ),
    ("use_vmac v0 v1", "VMAC interface name already specified"),
    ("vmac_xmit_base", "(VI_1) vmac_xmit_base is only valid with a vmac"),
    ("use_vmac\npromote_secondaries", "(VI_1) promote_secondaries is automatically set for vmacs - ignoring"),
    (
        "use_ipvlan",
        "(VI_1) IPv4 ipvlan requires a source ip address to be configured. setting instance to fault state",
    ),
    ("use_ipvlan 10.1.0.7 bridge vepa", "(VI_1) ipvlan type already specified - ignoring 'vepa'"),
    ("use_ipvlan 10.1.0.7\nuse_ipvlan", "(VI_1) use_ipvlan already specified"),
    ("unicast_peer {\n10.1.0.2 min_ttl\n}", "(VI_1) min_ttl is missing a value"),
    ("unicast_peer {\n10.1.0.2 hops 3\n}", "(VI_1) unknown unicast_peer option hops"),
    (
        "unicast_peer {\n10.1.0.2 min_ttl 9 max_ttl 4\n}",
        "(VI_1) min_ttl 9 > max_ttl 4 - all packets will be discarded",
    ),
    (
        "unicast_peer {\n10.1.0.2\n}\nmcast_dst_ip 224.0.0.9",
        "(VI_1) multicast destination specified with unicast - ignoring",
    ),
    (
        "unicast_peer {\n10.1.0.2\n}\nuse_vmac",
        "(VI_1) unicast with use_vmac requires vmac_xmit_base - setting",
    ),
    ("unicast_peer x {\n10.1.0.2\n}", "Block unicast_peer has extra parameters x ..."),
    (
        "version 3\nauthentication {\nauth_type PASS\nauth_pass x\n}",
        "(VI_1) VRRP version 3 does not support authentication. Ignoring.",
    ),
    (
        "authentication {\nauth_type PASS\n}",
        "(VI_1) Authentication specified but no password given. Ignoring",
    ),
    ("authentication {\nauth_type MD5\n}", "(VI_1) unknown authentication type 'MD5'"),
    (
        "state MASTER\npriority 9\nauthentication {\nauth_type AH\nauth_pass x\n}",
        "(VI_1) Initial state master is incompatible with AH authentication - clearing",
    ),
    (
        "version 3\nadvert_int 1.001",
        "(VI_1) VRRPv3 advertisement interval 1.001000s must be in units of 10ms - rounding",
    ),
    (
        "version 3\nadvert_int 41",
        "(VI_1) VRRPv3 advertisement interval 41.00s is out of range. Must be less than 40.96s. Setting to 40.95s",
    ),
    (
        "strict_mode\ndown_timer_adverts 4",
        "(VI_1) down_timer_adverts is incompatible with strict mode - resetting",
    ),
    ("strict_mode\ngarp_lower_prio_repeat 3", "(VI_1) Strict mode requires no repeat garps. resetting"),
    (
        "notify_master /bin/true\nnotify_master /bin/false",
        "(VI_1) notify_master script already specified - ignoring /bin/false",
    ),
    ("notify_deleted\nnotify_deleted", "(VI_1) notify_deleted already specified - ignoring "),
    ("notify_priority_changes x", "(VI_1) Invalid value 'x' for notify_priority_changes specified"),
    ("smtp_alert x", "Invalid vrrp_instance smtp_alert parameter x"),
    ("track_interface {\neth7\n}", "(VI_1) tracked interface eth7 doesn't exist"),
    (
        "track_interface {\neth1 weight\n}",
        "(VI_1) weight without value specified for track_interface eth1 - ignoring",
    ),
    (
        "track_interface {\neth1 weight 5 noreverse\n}",
        "(VI_1) unknown track_interace eth1 weight option noreverse - ignoring",
    ),
    ("track_script {\ns1 weight 254\n}", "(VI_1) weight for s1 cannot be +/-254. Setting to +/-253"),
    ("track_script {\ns1 wait 4\n}", "(VI_1) unknown track script option wait - ignoring"),
    ("track_script {\ns1\ns1\n}", "(VI_1) duplicate track_script s1 - ignoring"),
    ("track_file {\nf9\n}", "(VI_1) track file f9 not found, ignoring..."),
    (
        "track_file {\nf1 weight 255\n}",
        "(VI_1) weight for track file f1 must be in [-254..254] inclusive. Ignoring...",
    ),
    (
        "track_process {\np1 weight x\n}",
        "(VI_1) weight for track process p1 must be in [-254..254] inclusive. Ignoring...",
    ),
    (
        "track_bfd {\nb1 weight 254\n}",
        "(VI_1) weight for track bfd b1 must be in [-253..253] inclusive. Ignoring...",
    ),
    (
        "priority 255\ntrack_script {\ns1\n}",
        "(VI_1) ignoring tracked script s1 with weights due to address_owner",
    ),
    (
        "priority 255\ntrack_file {\nf1\n}",
        "(VI_1) ignoring weight from tracked file f1 due to address_owner. specify weight 0",
    ),
    (
        "priority 255\ntrack_interface {\neth1 weight 5\n}",
        "(VI_1) ignoring eth1 tracked interface due to address owner",
    ),
]


@pytest.mark.parametrize(("lines", "message"), COMPLAINTS)
def test_complaints(tmp_path: Path, lines: str, message: str) -> None:
    loaded = read(tmp_path, OBJECTS + instance(lines))
    assert message in messages(loaded)
    assert loaded.test_exit_code == 5


REFUSED = [
    ("vrrp_instance V {\ninterface eth0\n}\n", "(V) the virtual router id must be set"),
    ("vrrp_instance V {\nvirtual_router_id 5\n}\n", "(V) Unknown interface!"),
    (instance("version 3", vip=""), "(VI_1) No VIP specified; at least one is required"),
    (instance() + instance("", "VI_2"), "VI_1 and VI_2 both use VRID 51 with IPv4 on interface eth0"),
    (
        "".join(instance("unicast_peer {\n10.1.0.2\n}", name) for name in ("VI_1", "VI_2")),
        "(VI_1) duplicate VRID conflict with VI_2 VRID 51",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_cannot_be_started(tmp_path: Path, text: str, message: str) -> None:
    loaded = read(tmp_path, text)
    assert message in messages(loaded)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, 2)
    assert loaded.configuration.instances == ()


def test_multicast_and_unicast_are_spaces_of_their_own(tmp_path: Path) -> None:
    text = instance() + instance("unicast_peer {\n10.1.0.2\n}", "VI_2")
    assert messages(read(tmp_path, text + instance("mcast_dst_ip 224.0.0.9", "VI_3"))) == []


VALUES: list[tuple[str, dict[str, Any]]] = [
    ("use_vmac", {"vmac": Vmac()}),
    ("use_vmac v0 02:00:00:00:00:01", {"vmac": Vmac(InterfaceName("v0"), bytes((2, 0, 0, 0, 0, 1)))}),
    ("use_vmac 02:00:00:00:00", {"vmac": Vmac(mac=bytes((2, 0, 0, 0, 0, 51)))}),
    (
        "use_vmac name group group 7 netlink_notify_msg",
        {"vmac": Vmac(InterfaceName("group"), None, True, "7")},
    ),
    (
        "use_ipvlan i0 10.1.0.7/24 vepa",
        {
            "ipvlan": Ipvlan(InterfaceName("i0"), IPv4Address("10.1.0.7"), 24, IpvlanMode.VEPA),
            "source": IPv4Address("10.1.0.7"),
        },
    ),
    (
        "unicast_peer {\n10.1.0.2\n10.1.0.3 min_ttl 3 max_ttl 9\n}\nunicast_ttl 7",
        {
            "unicast_peers": (
                UnicastPeer(IPv4Address("10.1.0.2")),
                UnicastPeer(IPv4Address("10.1.0.3"), 3, 9),
            ),
            "unicast_ttl": 7,
            "check_unicast_source": True,
        },
    ),
    ("old_unicast_checksum never\nunicast_fault_no_peer", {"unicast_checksum": UnicastChecksum.NEVER}),
    (
        "mcast_dst_ip 224.0.0.99",
        {"destination": IPv4Address("224.0.0.99"), "multicast_destination": IPv4Address("224.0.0.99")},
    ),
    ("version 3", {"version": 3, "family": 4}),
    ("accept", {"accept": True}),
    ("strict_mode\nversion 3", {"strict": True, "accept": False, "lower_priority_no_advert": True}),
    ("kernel_rx_buf_size 4096\ndebug 3", {"receive_buffer_bytes": 4096, "debug": 3}),
    ("timer_expired_backup\nnopreempt", {"late_priority": 254, "preempt": False}),
    ("owner_ignore_adverts\npriority 255", {"owner_ignore_adverts": True}),
    ("v3_checksum_as_v2 off", {"v3_checksum_as_v2": False}),
    ("smtp_alert\nnotify_priority_changes", {"smtp_alert": True, "notify_priority_changes": True}),
    (
        "authentication {\nauth_type AH\nauth_pass secret\n}",
        {"auth_type": AuthType.AH, "auth_data": b"secret\0\0"},
    ),
    (
        f"auth_hmac {{\nkey 3 {KEY}\nactive_key 3\n}}",
        {"auth_hmac": AuthHmac((HmacKey(3, KEY.encode()),), 3, 5)},
    ),
]


@pytest.mark.parametrize(("lines", "values"), VALUES)
def test_values_come_into_the_model_and_back(tmp_path: Path, lines: str, values: dict[str, Any]) -> None:
    loaded = read(tmp_path, instance(lines))
    (one,) = loaded.configuration.instances
    assert {name: getattr(one, name) for name in values} == values
    again = read(tmp_path, dump(loaded.configuration))
    assert again.configuration.instances == (one,)


def test_ipv6_gets_version_3_and_its_own_group(tmp_path: Path) -> None:
    (one,) = read(tmp_path, instance(vip="fe80::9")).configuration.instances
    assert (one.family, one.version, one.destination) == (6, 3, IPv6Address("ff02::12"))


def test_defaults_of_the_globals_are_merged(tmp_path: Path) -> None:
    text = (
        "global_defs {\nvrrp_garp_extra_if all 7\nvrrp_check_unicast_src\nvrrp_notify_priority_changes\n"
        "smtp_alert_vrrp\n}\n"
    )
    loaded = read(tmp_path, text + instance("unicast_peer {\n10.1.0.2\n}") + instance("", "VI_2", 52))
    unicast, multicast = loaded.configuration.instances
    assert unicast.garp.extra_interfaces == ExtraInterfaces(Micros(7_000_000), True)
    assert (unicast.check_unicast_source, multicast.check_unicast_source) == (True, False)
    assert unicast.notify_priority_changes and unicast.smtp_alert
    assert read(tmp_path, dump(loaded.configuration)).configuration == loaded.configuration


def test_everything_tracked_comes_back_from_a_dump(tmp_path: Path) -> None:
    tracks = (
        "track_interface {\neth1 weight -3 reverse\n}\ntrack_script {\ns1\n}\ntrack_file {\nf1 weight 2 reverse\n}\n"
        "track_process {\np1 weight 4\n}\ntrack_bfd {\nb1 weight 9\n}\nnotify \"/bin/true 'a b' c\" root root\n"
    )
    group = "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\ntrack_script {\ns1 weight 0\n}\nsync_group_tracking_weight\n}\n"
    loaded = read(tmp_path, OBJECTS + instance(tracks) + instance("", "VI_2", 52) + group)
    one = loaded.configuration.instances[0]
    assert messages(loaded) == []
    assert ([track.weight for track in one.track_interfaces], one.track_scripts[0].weight) == ([-3], 5)
    assert (one.track_files[0].weight, one.track_processes[0].weight, one.track_bfds[0].weight) == (2, 4, 9)
    assert read(tmp_path, dump(loaded.configuration)).configuration == loaded.configuration


GROUPS = [
    ("group {\n}", "Warning - sync group G has empty group block"),
    ("group {\nVI_1\n}", "Sync group G has only 1 virtual router(s) - this probably isn't what you want"),
    ("group {\nVI_1\nVI_1\n}", "Virtual router VI_1 cannot exist in more than one sync group; ignoring G"),
    ("", "Sync group G has no virtual router(s). removing"),
    ("group {\nVI_1\n}\ngroup {\nVI_1\n}", "Group list already specified for sync group G"),
    (
        "group {\nVI_1\n}\nglobal_tracking",
        "(G) global_tracking is deprecated. Use track_interface/script/file on the sync group",
    ),
    (
        "group {\nVI_1\n}\ntrack_interface {\neth0\n}",
        "(VI_1) track_interface eth0 is configured on VRRP instance and sync group. "
        "Remove vrrp instance or sync group config",
    ),
]


@pytest.mark.parametrize(("lines", "message"), GROUPS)
def test_groups(tmp_path: Path, lines: str, message: str) -> None:
    loaded = read(tmp_path, instance() + f"vrrp_sync_group G {{\n{lines}\n}}\n")
    assert message in messages(loaded)
    assert loaded.test_exit_code == 5


def test_a_second_group_list_ends_the_group(tmp_path: Path) -> None:
    text = instance() + "vrrp_sync_group G {\ngroup {\nVI_1\n}\ngroup {\nVI_1\n}\nsmtp_alert\n}\n"
    found = messages(read(tmp_path, text))
    assert found[:3] == [
        "Group list already specified for sync group G",
        "Unknown keyword 'smtp_alert'",
        "Unknown keyword '}'",
    ]


def test_track_groups_know_their_instances(tmp_path: Path) -> None:
    loaded = read(tmp_path, instance() + "track_group T {\ngroup {\nVI_1\nVI_9\n}\n}\n")
    (group,) = loaded.configuration.track_groups
    assert (group.name, group.members) == ("T", ("VI_1",))
    assert loaded.test_exit_code == 0


def test_every_field_of_an_instance_can_be_written(tmp_path: Path) -> None:
    from keepalived_py.config.blocks.vrrp_instance import BLOCK

    derived = {"name", "initial_state", "destination", "auth_type", "auth_data", "family", "base_interface"}
    written = {keyword.attribute.partition(".")[0] for keyword in BLOCK.keywords.values()}
    assert set(Instance.fields) - derived == written - {""}
