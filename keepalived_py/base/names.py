"""Names that must not be mixed up: each kind has a type of its own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NewType

InstanceName = NewType("InstanceName", str)
InterfaceName = NewType("InterfaceName", str)
ScriptName = NewType("ScriptName", str)
GroupName = NewType("GroupName", str)
MemberId = NewType("MemberId", str)
LeaseName = NewType("LeaseName", str)

Address = IPv4Address | IPv6Address
