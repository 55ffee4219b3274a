"""Adverts that real keepalived sent, as values and as bytes.

keepalived 2.2.7, but for `auth_hmac`, which is of 2.4.3.  Over IPv4 from the IP header
on, over IPv6 the message alone.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import AdvertToSend, ChecksumForm, Signing

NO_AUTH = AdvertToSend(
    interface=InterfaceName("v0"),
    source=IPv4Address("10.0.0.1"),
    destinations=(IPv4Address("224.0.0.18"),),
    ttl=255,
    version=2,
    vrid=51,
    priority=255,
    auth_type=AuthType.NONE,
    auth_data=b"",
    advert_interval=1,
    addresses=(IPv4Address("10.0.0.100"),),
)
PASS = replace(NO_AUTH, auth_type=AuthType.PASS, auth_data=b"abcdefgh")
PASS_SHORT = replace(PASS, auth_data=b"abc")
OTHER_GROUP = replace(NO_AUTH, source=IPv4Address("10.0.0.77"), destinations=(IPv4Address("224.0.0.99"),))
VERSION_3 = replace(NO_AUTH, version=3, advert_interval=37)
PEERS = (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3"))
UNICAST_TTL = replace(NO_AUTH, destinations=PEERS[:1], ttl=7)
UNICAST_3 = replace(NO_AUTH, version=3, advert_interval=100, destinations=PEERS)
UNICAST_3_OLD = replace(UNICAST_3, destinations=PEERS[:1], checksum_form=ChecksumForm.OLD_UNICAST)

# One destination each: advert, IP id, packet.
IPV4 = [
    (NO_AUTH, 1, "45c0002800010000ff70d0910a000001e00000122133ff010001d5650a0000640000000000000000"),
    (NO_AUTH, 3, "45c0002800030000ff70d08f0a000001e00000122133ff010001d5650a0000640000000000000000"),
    (replace(NO_AUTH, priority=0), 4, "45c0002800040000ff70d08e0a000001e0000012213300010001d4660a0000640000000000000000"),
    (PASS, 1, "45c0002800010000ff70d0910a000001e00000122133ff01010142d00a0000646162636465666768"),
    (replace(PASS, priority=0), 4, "45c0002800040000ff70d08e0a000001e000001221330001010141d10a0000646162636465666768"),
    (PASS_SHORT, 1, "45c0002800010000ff70d0910a000001e00000122133ff01010110030a0000646162630000000000"),
    (replace(PASS_SHORT, priority=0), 4, "45c0002800040000ff70d08e0a000001e00000122133000101010f040a0000646162630000000000"),
    (OTHER_GROUP, 1, "45c0002800010000ff70cff40a00004de00000632133ff010001d5650a0000640000000000000000"),
    (VERSION_3, 1, "45c0002000010000ff70d0990a000001e00000123133ff010025dab10a000064"),
    (UNICAST_TTL, 1, "45c000280001000007709ea30a0000010a0000022133ff010001d5650a0000640000000000000000"),
    (UNICAST_3_OLD, 1, "45c0002000010000ff70a6aa0a0000010a0000023133ff010064da720a000064"),
    (replace(UNICAST_3_OLD, priority=0), 4, "45c0002000040000ff70a6a70a0000010a000002313300010064d9730a000064"),
]  # fmt: skip

UNICAST_3_PACKETS = (
    "45c0002000010000ff70a6aa0a0000010a0000023133ff010064b0830a000064",
    "45c0002000010000ff70a6a90a0000010a0000033133ff010064b0820a000064",
)

# The password of the captures with AH; the sequence number grows from 1.
AH = replace(NO_AUTH, auth_type=AuthType.AH, auth_data=b"secret")
AH_PACKETS = (
    "45c0004000010000ff33d0b60a000001e0000012700400000a00000100000001d59783e6d8170e945456f2702133ff010201d3650a0000640000000000000000",
    "45c0004000020000ff33d0b50a000001e0000012700400000a00000100000002077329199a490712d70547db2133ff010201d3650a0000640000000000000000",
    "45c0004000030000ff33d0b40a000001e0000012700400000a00000100000003801e0219564109971cc218152133ff010201d3650a0000640000000000000000",
)
AH_RESIGNING = "45c0004000040000ff33d0b30a000001e0000012700400000a00000100000004f359320d6b61a8356b7da61d213300010201d2660a0000640000000000000000"
AH_UNICAST = replace(AH, destinations=PEERS)
AH_UNICAST_PACKETS = (
    (
        "45c0004000010000ff33a6c70a0000010a000002700400000a0000010000000125c6ffff2f0499ebcc7f52f42133ff010201d3650a0000640000000000000000",
        "45c0004000010000ff33a6c60a0000010a000003700400000a0000010000000190d96be98783cfcecc0c8d972133ff010201d3650a0000640000000000000000",
    ),
    (
        "45c0004000020000ff33a6c60a0000010a000002700400000a000001000000027660c273f70a14f6cea8c1ba2133ff010201d3650a0000640000000000000000",
        "45c0004000020000ff33a6c50a0000010a000003700400000a000001000000029b05ae4394f0257a17b9b0682133ff010201d3650a0000640000000000000000",
    ),
)

SIGNING = Signing(key_id=1, key=b"0123456789abcdef0123456789abcdef", monotonic=False, time_window_s=5)
HMAC = replace(
    VERSION_3,
    source=IPv4Address("10.88.0.1"),
    vrid=9,
    advert_interval=100,
    addresses=(IPv4Address("10.88.0.100"),),
    signing=SIGNING,
)
HMAC_PACKETS = (
    "45c0003c00010000ff70d0250a580001e00000123109ff010064d9ec0a580064010100006b009ab36557000050c71708e7b19b72da4ce04ad6c919eb",
    "45c0003c00020000ff70d0240a580001e00000123109ff010064d9ec0a580064010100006b009ab467d200005bb1bae3865e2ab280d11db65fec9aff",
    "45c0003c00030000ff70d0230a580001e00000123109ff010064d9ec0a580064010100006b009ab567dc0000c90c3e8df2282d7ebb7bf95a17eb2197",
)

IPV6 = replace(
    NO_AUTH,
    source=IPv6Address("fe80::ff:fe00:1"),
    destinations=(IPv6Address("ff02::12"),),
    version=3,
    advert_interval=150,
    addresses=(IPv6Address("fe80::100"), IPv6Address("fd00::100")),
)
_IPV6_ADDRESSES = "fe800000000000000000000000000100fd000000000000000000000000000100"
# Advert, message; the checksum is what the kernel wrote.
IPV6_MESSAGES = [
    (IPV6, "3133ff020096d482" + _IPV6_ADDRESSES),
    (replace(IPV6, priority=0), "313300020096d383" + _IPV6_ADDRESSES),
    (replace(IPV6, version=2, advert_interval=1), "2133ff020001e517" + _IPV6_ADDRESSES),
    (
        replace(IPV6, version=2, advert_interval=1, auth_type=AuthType.PASS, auth_data=b"abcdefgh"),
        "2133ff020101e417" + _IPV6_ADDRESSES,
    ),
]


def without_header_checksum(text: str) -> bytes:
    """The packet as it was handed to the kernel, which writes this checksum."""
    raw = bytes.fromhex(text)
    return raw[:10] + b"\0\0" + raw[12:]
