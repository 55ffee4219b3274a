"""Messages of the IPVS table: read by pyroute2, and as a kernel has written them."""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.generic.ipvs import ipvsmsg

from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    Counters,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationEntry,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
    ServiceSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    SyncRole,
)
from keepalived_py.model.virtual_server import (
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    TunnelChecksum,
    TunnelType,
)
from keepalived_py.system import ipvs_messages
from keepalived_py.system.attributes import split
from keepalived_py.system.ipvs_messages import Information, ReadService

FAMILY = 28
SERVICE = Service(4, Protocol.TCP, ip_address("10.9.0.1"), 80)
SERVICE_6 = Service(6, Protocol.UDP, ip_address("fd09::1"), 53)
MARK = Service(6, mark=7)
REAL = Destination(ip_address("10.9.1.1"), 8080)
ROUND_ROBIN = ServiceSettings(Scheduler.ROUND_ROBIN)
SYNC = SyncDaemon(interface="eth1", maxlen=1400, port=8900, ttl=3, group=IPv4Address("224.0.0.99"))


def as_pyroute2_reads(change: IpvsChange) -> tuple[int, dict[str, Any]]:
    """The command, and its attributes by name without "IPVS_..._ATTR_" before it."""
    message = ipvsmsg(ipvs_messages.request(FAMILY, change).data)
    message.decode()
    assert message["header"]["type"] == FAMILY and message["version"] == 1
    return message["cmd"], {short(name): inner(value) for name, value in message["attrs"]}


def short(name: str) -> str:
    return name.partition("_ATTR_")[2]


def inner(value: Any) -> Any:
    if isinstance(value, dict) and "attrs" in value:
        return {short(name): inner(one) for name, one in value["attrs"]}
    return value


def test_a_service() -> None:
    command, read = as_pyroute2_reads(AddService(SERVICE, ROUND_ROBIN))
    flags = read["SERVICE"].pop("FLAGS")
    assert command == 1
    assert read == {
        "SERVICE": {
            "AF": 2,
            "PROTOCOL": 6,
            "ADDR": "10.9.0.1",
            "PORT": 80,
            "SCHED_NAME": "rr",
            "TIMEOUT": 0,
            "NETMASK": "255.255.255.255",
        }
    }
    assert (flags["flags"], flags["mask"]) == (0, 0xFFFFFFFF)


def test_a_service_of_ipv6_with_everything() -> None:
    settings = ServiceSettings(
        Scheduler.SOURCE_HASHING,
        one_packet=True,
        flag_1=True,
        flag_3=True,
        persistence_s=90,
        granularity=64,
        engine="sip",
    )
    command, read = as_pyroute2_reads(EditService(SERVICE_6, settings))
    found = read["SERVICE"]
    assert command == 2
    assert (found["AF"], found["PROTOCOL"], found["ADDR"], found["PORT"]) == (10, 17, "fd09::1", 53)
    assert found["FLAGS"]["flags"] == 0x01 | 0x04 | 0x08 | 0x20
    assert (found["SCHED_NAME"], found["TIMEOUT"], found["PE_NAME"]) == ("sh", 90, "sip")
    # A prefix length, in the order of this machine; pyroute2 takes it for an address.
    assert int.from_bytes(IPv4Address(found["NETMASK"]).packed, "little") == 64


def test_a_mark_has_no_address() -> None:
    command, read = as_pyroute2_reads(DeleteService(MARK))
    assert command == 3
    assert read == {"SERVICE": {"AF": 10, "FWMARK": 7}}


def test_netmask_and_engine_belong_to_persistence() -> None:
    settings = ROUND_ROBIN._replace(granularity=IPv4Address("255.255.255.0"), engine="sip")
    without = as_pyroute2_reads(AddService(SERVICE, settings))[1]["SERVICE"]
    persistent = as_pyroute2_reads(AddService(SERVICE, settings._replace(persistence_s=60)))[1]["SERVICE"]
    assert without["NETMASK"] == "255.255.255.255" and "PE_NAME" not in without
    assert persistent["NETMASK"] == "255.255.255.0" and persistent["PE_NAME"] == "sip"


def test_a_destination() -> None:
    settings = DestinationSettings(3, upper_threshold=90, lower_threshold=40)
    command, read = as_pyroute2_reads(AddDestination(SERVICE, REAL, settings))
    assert command == 5
    assert read["SERVICE"] == {"AF": 2, "PROTOCOL": 6, "ADDR": "10.9.0.1", "PORT": 80}
    assert read["DEST"] == {
        "ADDR_FAMILY": 2,
        "ADDR": "10.9.1.1",
        "PORT": 8080,
        "FWD_METHOD": 0,
        "WEIGHT": 3,
        "U_THRESH": 90,
        "L_THRESH": 40,
    }


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (ForwardingMethod(forwarding=Forwarding.DIRECT), {"FWD_METHOD": 3}),
        (ForwardingMethod(forwarding=Forwarding.TUNNEL), {"FWD_METHOD": 2, "TUN_TYPE": 0}),
        (
            ForwardingMethod(
                forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GRE, checksum=TunnelChecksum.FULL
            ),
            {"FWD_METHOD": 2, "TUN_TYPE": 2, "TUN_FLAGS": 1},
        ),
        (
            ForwardingMethod(
                forwarding=Forwarding.TUNNEL,
                tunnel=TunnelType.GUE,
                port=6080,
                checksum=TunnelChecksum.REMOTE,
            ),
            # pyroute2 reads the port in this machine's order; it goes in that of the network.
            {
                "FWD_METHOD": 2,
                "TUN_TYPE": 1,
                "TUN_PORT": int.from_bytes((6080).to_bytes(2, "big"), "little"),
                "TUN_FLAGS": 2,
            },
        ),
    ],
)
def test_forwarding(method: ForwardingMethod, expected: dict[str, int]) -> None:
    read = as_pyroute2_reads(AddDestination(SERVICE, REAL, DestinationSettings(1, method)))[1]["DEST"]
    of_method = {key: value for key, value in read.items() if key.startswith(("FWD", "TUN"))}
    assert of_method == expected


@pytest.mark.parametrize(("weight", "kept"), [(-5, 0), (0, 0), (2**31 - 1, 2**31 - 1), (2**31, 2**31 - 1)])
def test_weights_stay_in_the_kernels_range(weight: int, kept: int) -> None:
    read = as_pyroute2_reads(EditDestination(SERVICE, REAL, DestinationSettings(weight)))
    assert (read[0], read[1]["DEST"]["WEIGHT"]) == (6, kept)


def test_a_destination_is_deleted_by_what_it_is_found_by() -> None:
    server = Destination(ip_address("fd09::11"), 53)
    command, read = as_pyroute2_reads(DeleteDestination(SERVICE_6, server))
    assert command == 7
    assert read["DEST"]["ADDR_FAMILY"] == 10 and read["DEST"]["PORT"] == 53
    assert set(read["DEST"]) == {"ADDR_FAMILY", "ADDR", "PORT"}


def test_flush_has_no_attributes() -> None:
    assert as_pyroute2_reads(FlushTable()) == (17, {})


def attributes_of(change: IpvsChange) -> tuple[int, dict[int, bytes]]:
    payload = ipvs_messages.request(FAMILY, change).payload
    return payload[0], split(payload, 4)


def test_time_outs_that_stay_are_not_said() -> None:
    command, found = attributes_of(SetTimeouts(LvsTimeouts(tcp=900, udp=300)))
    assert command == 12
    assert found == {4: struct.pack("=I", 900), 6: struct.pack("=I", 300)}


def test_a_sync_daemon_with_everything() -> None:
    command, found = attributes_of(StartSync(SyncRole.BACKUP, 255, SYNC))
    assert command == 9
    assert split(found[3]) == {
        1: struct.pack("=I", 2),
        2: b"eth1\0",
        3: struct.pack("=I", 255),
        4: struct.pack("=H", 1400),
        5: bytes((224, 0, 0, 99)),
        7: struct.pack("=H", 8900),
        8: b"\x03",
    }


def test_a_sync_daemon_with_a_group_of_ipv6_and_nothing_else() -> None:
    sync = SyncDaemon(interface="eth1", group=IPv6Address("ff02::99"))
    found = split(attributes_of(StartSync(SyncRole.MASTER, 0, sync))[1][3])
    assert set(found) == {1, 2, 3, 6}
    assert found[6] == IPv6Address("ff02::99").packed


def test_a_sync_daemon_is_stopped_by_role_and_number() -> None:
    command, found = attributes_of(StopSync(SyncRole.MASTER, 5, SYNC))
    assert command == 10
    assert split(found[3]) == {1: struct.pack("=I", 1), 3: struct.pack("=I", 5)}


# -- as a kernel (6.1, of user mode) has answered --------------------------------------------

# The counters of eight bytes are set to 1 to 10 here.  Some kernels align them with empty attributes.
NARROW = (
    "08000100000000000800020000000000080003000000000004000b000c000400000000000000000004000b00"
    "0c0005000000000000000000080006000000000008000700000000000800080000000000080009000000000008000a0000000000"
)
STATS = "64000a00" + NARROW
STATS_64 = "a0000c00" + "04000b00".join(f"0c00{kind:02x}00{kind:02x}" + 14 * "0" for kind in range(1, 11))
KERNEL_SERVICE = (
    "010100006001010006000100020000000600020011000000140003000a090001000000000000000000000000"
    "0600040013c40000070006007368000008000b00736970000c00070013000000ffffffff0800080068010000"
    "08000900ffffff00" + STATS + STATS_64
)
KERNEL_MARK = (
    "010100003c010100060001000a000000080005000700000007000600727200000c00070002000000ffffffff"
    "08000800000000000800090080000000" + STATS + STATS_64
)
KERNEL_DESTINATION = (
    "050100007c010200140001000a09010100000000000000000000000006000200005000000800030002000000"
    "080004000700000005000d000100000006000e0017c0000006000f0001000000080005005a00000008000600"
    "2800000008000700040000000800080005000000080009000600000006000b0002000000" + STATS + STATS_64
)
KERNEL_SYNC = (
    "090100004000030008000100010000000c00020073796e6364657600080003000500000006000400780500000600"
    "0700c4220000050008000300000008000500e0000063"
)
COUNTED = Counters(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def test_a_service_as_the_kernel_writes_it() -> None:
    settings = ServiceSettings(
        Scheduler.SOURCE_HASHING,
        flag_2=True,
        persistence_s=360,
        granularity=IPv4Address("255.255.255.0"),
        engine="sip",
    )
    service = Service(4, Protocol.UDP, ip_address("10.9.0.1"), 5060)
    read = ipvs_messages.read_service(bytes.fromhex(KERNEL_SERVICE))
    assert read == ReadService(service, settings, COUNTED)


def test_a_mark_as_the_kernel_writes_it() -> None:
    read = ipvs_messages.read_service(bytes.fromhex(KERNEL_MARK))
    assert read == ReadService(MARK, ROUND_ROBIN, COUNTED)


def test_a_destination_as_the_kernel_writes_it() -> None:
    method = ForwardingMethod(
        forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GUE, port=6080, checksum=TunnelChecksum.FULL
    )
    read = ipvs_messages.read_destination(bytes.fromhex(KERNEL_DESTINATION), 4)
    settings = DestinationSettings(7, method, upper_threshold=90, lower_threshold=40)
    expected = DestinationEntry(settings, active=4, inactive=5, persistent=6, counters=COUNTED)
    assert read == (Destination(ip_address("10.9.1.1"), 80), expected)


def test_a_sync_daemon_as_the_kernel_writes_it() -> None:
    read = ipvs_messages.read_sync(bytes.fromhex(KERNEL_SYNC))
    settings = SyncDaemon(
        interface="syncdev", sync_id=5, maxlen=1400, port=8900, ttl=3, group=IPv4Address("224.0.0.99")
    )
    assert read == StartSync(SyncRole.MASTER, 5, settings)


def test_time_outs_and_version_as_the_kernel_writes_them() -> None:
    timeouts = bytes.fromhex("0c01000008000400840300000800050078000000080006002c010000")
    information = bytes.fromhex("0e01000008000100010201000800020000100000")
    assert ipvs_messages.read_timeouts(timeouts) == LvsTimeouts(tcp=900, tcpfin=120, udp=300)
    assert ipvs_messages.read_information(information) == Information("1.2.1", 4096)


COUNTERS_64 = [f"0c00{kind:02x}00{kind:02x}" + 14 * "0" for kind in range(1, 11)]


@pytest.mark.parametrize("before", ["", "04000b00"])
def test_counters_of_eight_bytes_with_and_without_padding(before: str) -> None:
    wide = "".join(before + one for one in COUNTERS_64)
    stats = struct.pack("=HH", 4 + len(wide) // 2, 12).hex() + wide
    whole = stats + "06000b0002000000" + "14000100" + "0a090101" + 24 * "0"
    payload = "05010000" + struct.pack("=HH", 4 + len(whole) // 2, 2).hex() + whole
    read = ipvs_messages.read_destination(bytes.fromhex(payload), 6)
    assert read is not None and read[1].counters == COUNTED


def test_old_kernels_have_counters_of_four_bytes_and_no_family() -> None:
    narrow = "0800010007000000" + "0800020009000000" + "0c0004000b00000000000000"
    stats = struct.pack("=HH", 4 + len(narrow) // 2, 10).hex() + narrow
    whole = stats + "14000100" + "0a090101" + 24 * "0"
    payload = "05010000" + struct.pack("=HH", 4 + len(whole) // 2, 2).hex() + whole
    read = ipvs_messages.read_destination(bytes.fromhex(payload), 4)
    assert read is not None
    assert read[0] == Destination(ip_address("10.9.1.1"), 0)
    assert read[1].counters == Counters(connections=7, packets_in=9, bytes_in=11)


READERS: list[tuple[Callable[[bytes], object], str]] = [
    (ipvs_messages.read_service, KERNEL_SERVICE),
    (ipvs_messages.read_service, KERNEL_MARK),
    (lambda data: ipvs_messages.read_destination(data, 4), KERNEL_DESTINATION),
    (ipvs_messages.read_sync, KERNEL_SYNC),
    (ipvs_messages.read_timeouts, "0c010000080004008403000008000500"),
]


@pytest.mark.parametrize(("reader", "whole"), READERS)
@given(cut=st.integers(0, 400), place=st.integers(0, 400), byte=st.integers(0, 255))
def test_answers_that_make_no_sense_do_not_raise(
    reader: Callable[[bytes], object], whole: str, cut: int, place: int, byte: int
) -> None:
    data = bytearray(bytes.fromhex(whole))
    reader(bytes(data[:cut]))
    data[place % len(data)] = byte
    reader(bytes(data))


def test_a_scheduler_of_somebody_elses_is_left_out() -> None:
    unknown = bytes.fromhex(KERNEL_SERVICE).replace(b"sh\0", b"xy\0")
    assert ipvs_messages.read_service(unknown) is None


addresses = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6)}
ports = st.integers(0, 65535)


@st.composite
def services(draw: st.DrawFn) -> Service:
    family = draw(st.sampled_from((4, 6)))
    if draw(st.booleans()):
        return Service(family, mark=draw(st.integers(1, 2**32 - 1)))
    return Service(family, draw(st.sampled_from(Protocol)), draw(addresses[family]), draw(ports))


@st.composite
def settings_of(draw: st.DrawFn, family: int) -> ServiceSettings:
    bare = ServiceSettings(
        draw(st.sampled_from(Scheduler)),
        one_packet=draw(st.booleans()),
        flag_1=draw(st.booleans()),
        flag_2=draw(st.booleans()),
        flag_3=draw(st.booleans()),
    )
    if draw(st.booleans()):
        return bare
    parts: st.SearchStrategy[IPv4Address | int | None] = st.sampled_from([IPv4Address("255.255.0.0"), None])
    if family == 6:
        parts = st.integers(1, 127) | st.none()
    return bare._replace(
        persistence_s=draw(st.integers(1, 2**31 - 1)),
        granularity=draw(parts),
        engine=draw(st.sampled_from((None, "sip"))),
    )


@given(st.data())
def test_what_is_written_of_a_service_is_read_again(data: st.DataObject) -> None:
    service = data.draw(services())
    settings = data.draw(settings_of(service.family))
    payload = ipvs_messages.request(FAMILY, AddService(service, settings)).payload
    assert ipvs_messages.read_service(payload) == ReadService(service, settings, Counters())


methods = st.sampled_from(
    [
        *(ForwardingMethod(forwarding=forwarding) for forwarding in Forwarding),
        ForwardingMethod(forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GUE, port=6080),
        *(
            ForwardingMethod(forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GRE, checksum=checksum)
            for checksum in TunnelChecksum
        ),
    ]
)
thresholds = st.integers(0, 2**32 - 1)


@given(st.ip_addresses(), ports, st.integers(0, 2**31 - 1), methods, thresholds, thresholds)
def test_what_is_written_of_a_destination_is_read_again(
    address: IPv4Address | IPv6Address,
    port: int,
    weight: int,
    method: ForwardingMethod,
    upper: int,
    lower: int,
) -> None:
    settings = DestinationSettings(weight, method, upper, lower)
    change = AddDestination(SERVICE, Destination(address, port), settings)
    payload = ipvs_messages.request(FAMILY, change).payload
    assert ipvs_messages.read_destination(payload, 4) == (
        Destination(address, port),
        DestinationEntry(settings),
    )
