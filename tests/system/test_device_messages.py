"""Requests about devices: what no kernel here can show."""

import subprocess
import sys

import pytest

from keepalived_py.model.interfaces import DeviceKind
from keepalived_py.system import device_messages
from keepalived_py.system.attributes import split

LINK_HEADER_BYTES = 16
LINK_INFO, INFO_KIND, INFO_DATA = 18, 1, 2


@pytest.mark.parametrize(("mode", "flags"), [("bridge", b"\0\0"), ("private", b"\1\0"), ("vepa", b"\2\0")])
def test_an_ipvlan_is_of_layer_2_and_told_by_its_flags(mode: str, flags: bytes) -> None:
    if sys.byteorder == "big":
        flags = flags[::-1]
    request = device_messages.add("v", DeviceKind.IPVLAN, mode, 5, mac=None, group=0, master=0)
    info = split(split(request.payload, LINK_HEADER_BYTES)[LINK_INFO])
    assert info[INFO_KIND].rstrip(b"\0") == b"ipvlan"
    assert split(info[INFO_DATA]) == {1: b"\0\0", 2: flags}


def test_who_changes_no_device_does_not_pay_for_pyroute2() -> None:
    program = """
import sys
from keepalived_py.daemon import vrrp_parts
from keepalived_py.system.device_requests import DeviceRequests

loading = []


class Observer:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("pyroute2"):
            loading.append(name)


sys.meta_path.insert(0, Observer())
DeviceRequests().links()
assert not loading
assert DeviceRequests().delete(0x7FFFFFFF) != 0
assert "pyroute2.netlink.rtnl.ifinfmsg" in loading and "pyroute2.ndb.main" not in loading

# The whole of it can still be had.
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2 import IPRoute

assert len(list(IPRoute().link("dump"))) >= 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
