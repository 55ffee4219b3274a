"""Which virtual interfaces a configuration needs, what they are called, and who lives on them.

RFC 9568 section 7.3 gives every virtual router a MAC address of its own.  Linux
answers for a second MAC address on an interface through a macvlan on top of it,
so an instance with `use_vmac` moves to such a device: its adverts, and its
addresses that have no `dev` of their own, leave by it.  Addresses of the other
family stay on the configured interface; `use_vmac_addr`, or `use_vmac` at one
address, puts those that did not move onto further devices.  An ipvlan shares
the MAC address of its interface and has an address of its own to send from;
virtual addresses never move onto one.

Names are chosen as keepalived does (`create_vmac_name`): PREFIX.VRID, for IPv6
then PREFIX6.VRID, and then PREFIX1.VRID and upwards, the first that is free.  A
device that exists already on the same interface, with the same MAC address, is
taken as it is: one that a killed run has left behind under its own name, one of
this run (a reload) unless the file asks for another name now.  The name of a
device that nobody needs after a reload is not free yet: the device stays until
its instance has said farewell through it.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import NamedTuple

from keepalived_py.base.names import InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.interfaces import Device, DeviceKind

Interfaces = Mapping[InterfaceName, InterfaceFacts]

PRIVATE = "private"
DEFAULT_PREFIX = "vrrp"
LONGEST_NAME = 15  # IFNAMSIZ of linux/if.h less the final NUL
LINK_LOCAL_LENGTH = 64
_ETHERNET_ADDRESS = 6  # bytes
# The interface that a macvlan sits on, and its MAC address: there is no second one like it.
_Place = tuple[InterfaceName, bytes]
_VIRTUAL_MAC = b"\x00\x00\x5e\x00"


class ExistingDevice(NamedTuple):
    """A macvlan or ipvlan that the kernel has.  `base`: the interface below it; `ours`: this run made it."""

    name: InterfaceName
    base: InterfaceName
    kind: DeviceKind
    mode: str
    mac: bytes
    ours: bool = False


def plan(
    configuration: Configuration, interfaces: Interfaces, existing: Sequence[ExistingDevice] = ()
) -> Configuration:
    """`configuration` with its devices, and with instances and addresses moved onto them.

    A configuration that needs none comes back unchanged; one that was planned before, too.
    """
    return _Plan(configuration, interfaces, existing).made()


def is_ethernet(interfaces: Interfaces, name: InterfaceName) -> bool:
    """Whether the interface may carry a virtual MAC address; one that does not exist yet may."""
    facts = interfaces.get(name)
    return facts is None or not facts.index or len(facts.mac) == _ETHERNET_ADDRESS


def virtual_mac(vrid: int, family: int) -> bytes:
    """The MAC address of a virtual router (RFC 9568 section 7.3)."""
    return _VIRTUAL_MAC + bytes((1 if family == 4 else 2, vrid))


def name_candidates(prefix: str, vrid: int, family: int) -> Iterable[InterfaceName]:
    """Names for a device, best first, without end; the prefix is cut to fit."""
    number = 0
    while True:
        tail = f"{number or ''}.{vrid}"
        yield InterfaceName(prefix[: LONGEST_NAME - len(tail)] + tail)
        if family == 6 and number in (0, 6):
            number = 6 if number == 0 else 1
        else:
            number += 1 + (family == 6 and number == 5)


class _Plan:
    """One planning."""

    def __init__(
        self, configuration: Configuration, interfaces: Interfaces, existing: Sequence[ExistingDevice]
    ) -> None:
        self.configuration = configuration
        self.interfaces = interfaces
        self.existing = {one.name: one for one in existing}
        self.devices: dict[InterfaceName, Device] = {}
        self._existing_macvlans: dict[_Place, ExistingDevice] = {}
        self._planned_macvlans: dict[_Place, InterfaceName] = {}
        for one in self.existing.values():
            if one.kind is DeviceKind.MACVLAN and one.mode == PRIVATE:
                self._existing_macvlans.setdefault((one.base, one.mac), one)
        for device in configuration.devices:
            self._add(device)
        self.taken = {*interfaces, *self.devices} | set(_names_asked_for(configuration))

    def made(self) -> Configuration:
        """The configuration with all its devices."""
        instances = tuple(self._settled(instance) for instance in self.configuration.instances)
        if len(self.devices) == len(self.configuration.devices):
            return self.configuration
        return replace(self.configuration, instances=instances, devices=tuple(self.devices.values()))

    def _settled(self, instance: Instance) -> Instance:
        if instance.base_interface is not None:
            return instance
        own = self._own_device(instance)
        if own is not None:
            self._add(own)
        return replace(
            instance,
            interface=instance.interface if own is None else own.name,
            base_interface=None if own is None else own.base,
            addresses=self._placed(instance, own, instance.addresses),
            excluded_addresses=self._placed(instance, own, instance.excluded_addresses),
        )

    def _add(self, device: Device) -> None:
        self.devices[device.name] = device
        if device.mac is not None:
            self._planned_macvlans.setdefault((self._root(device.base), device.mac), device.name)

    # -- the device of an instance ----------------------------------------------

    def _own_device(self, instance: Instance) -> Device | None:
        base = instance.interface
        if not base or not is_ethernet(self.interfaces, base):
            return None
        if instance.vmac is not None:
            return self._macvlan(instance)
        return self._ipvlan(instance) if instance.ipvlan is not None else None

    def _macvlan(self, instance: Instance) -> Device:
        vmac = instance.vmac
        assert vmac is not None
        mac = vmac.mac or virtual_mac(instance.vrid, instance.family)
        found = self._existing_macvlan(instance.interface, mac)
        own_source = instance.family == 6 and not instance.vmac_xmit_base
        source = instance.source if own_source and isinstance(instance.source, IPv6Address) else None
        return Device(
            name=self._name(instance, vmac.interface, found),
            base=instance.interface,
            kind=DeviceKind.MACVLAN,
            instance=instance.name,
            family=instance.family,
            mode=PRIVATE,
            mac=mac,
            address=source,
            prefix_length=None if source is None else LINK_LOCAL_LENGTH,
            transmits_by_base=instance.vmac_xmit_base,
            other_family=_has_other_family(instance),
            notify=vmac.netlink_notify,
            group=vmac.group,
        )

    def _ipvlan(self, instance: Instance) -> Device:
        ipvlan = instance.ipvlan
        assert ipvlan is not None
        return Device(
            name=self._name(instance, ipvlan.interface, self._existing_ipvlan(instance)),
            base=instance.interface,
            kind=DeviceKind.IPVLAN,
            instance=instance.name,
            family=instance.family,
            mode=ipvlan.mode.value,
            address=ipvlan.address,
            prefix_length=ipvlan.prefix_length,
            other_family=_has_other_family(instance),
            group=ipvlan.group,
        )

    def _name(
        self, instance: Instance, asked_for: InterfaceName | None, found: ExistingDevice | None
    ) -> InterfaceName:
        if found is not None and (asked_for is None or asked_for == found.name or not found.ours):
            return found.name
        kind = DeviceKind.MACVLAN if instance.vmac is not None else DeviceKind.IPVLAN
        if asked_for is not None and not self._is_something_else(asked_for, kind):
            return asked_for
        return self._free_name(self.configuration.globals.vmac_prefix, instance.vrid, instance.family)

    def _is_something_else(self, name: InterfaceName, kind: DeviceKind) -> bool:
        """Whether there is an interface of that name that cannot become the device."""
        facts = self.interfaces.get(name)
        if facts is None or not facts.index:
            return False
        known = self.existing.get(name)
        if known is None or known.kind is not kind:
            return True
        return known.mode != PRIVATE if kind is DeviceKind.MACVLAN else not known.mode

    def _free_name(self, prefix: str | None, vrid: int, family: int) -> InterfaceName:
        for name in name_candidates(prefix or DEFAULT_PREFIX, vrid, family):
            if name not in self.taken:
                self.taken.add(name)
                return name
        raise AssertionError("the candidates have no end")

    # -- what exists ------------------------------------------------------------

    def _root(self, base: InterfaceName) -> InterfaceName:
        """The interface a device on `base` really sits on: the kernel skips a macvlan or ipvlan."""
        below = self.existing.get(base)
        return base if below is None else below.base

    def _existing_macvlan(self, base: InterfaceName, mac: bytes) -> ExistingDevice | None:
        found = self._existing_macvlans.get((self._root(base), mac))
        return None if found is None or found.name == base or found.name in self.devices else found

    def _existing_ipvlan(self, instance: Instance) -> ExistingDevice | None:
        wanted = instance.ipvlan
        assert wanted is not None
        if wanted.interface is None and wanted.address is None and instance.family == 6:
            return None
        for one in self.existing.values():
            if one.kind is not DeviceKind.IPVLAN or one.mode != wanted.mode.value:
                continue
            named = wanted.interface in (None, one.name) and one.name not in self.devices
            if named and one.base == self._root(instance.interface) and self._carries(one, wanted.address):
                return one
        return None

    def _carries(self, one: ExistingDevice, address: object) -> bool:
        facts = self.interfaces.get(one.name)
        known = () if facts is None else facts.addresses
        return address is None or any(own.address == address for own in known)

    # -- addresses ----------------------------------------------------------------

    def _placed(
        self, instance: Instance, own: Device | None, addresses: tuple[VirtualAddress, ...]
    ) -> tuple[VirtualAddress, ...]:
        return tuple(self._place(instance, own, virtual) for virtual in addresses)

    def _place(self, instance: Instance, own: Device | None, virtual: VirtualAddress) -> VirtualAddress:
        same_family = virtual.address.version == instance.family
        at_home = virtual.interface == instance.interface
        if at_home and same_family and own is not None and own.kind is DeviceKind.MACVLAN:
            return replace(virtual, interface=own.name)
        moves = virtual.use_vmac or (instance.vmac_addresses and not (at_home and same_family))
        if not moves or not virtual.interface or not is_ethernet(self.interfaces, virtual.interface):
            return virtual
        return replace(virtual, interface=self._address_device(instance, virtual), use_vmac=True)

    def _address_device(self, instance: Instance, virtual: VirtualAddress) -> InterfaceName:
        family, base = virtual.address.version, virtual.interface
        given = instance.vmac.mac if instance.vmac is not None else None
        mac = given or virtual_mac(instance.vrid, family)
        planned = self._planned_macvlans.get((self._root(base), mac))
        if planned is not None:
            return planned
        found = self._existing_macvlan(base, mac)
        prefix = self.configuration.globals.vmac_address_prefix or self.configuration.globals.vmac_prefix
        name = found.name if found is not None else self._free_name(prefix, instance.vrid, family)
        self._add(
            Device(
                name=name,
                base=base,
                kind=DeviceKind.MACVLAN,
                instance=instance.name,
                family=family,
                mode=PRIVATE,
                mac=mac,
                for_address=True,
            )
        )
        return name


def _names_asked_for(configuration: Configuration) -> Iterable[InterfaceName]:
    for instance in configuration.instances:
        for wanted in (instance.vmac, instance.ipvlan):
            if wanted is not None and wanted.interface is not None:
                yield wanted.interface


def _has_other_family(instance: Instance) -> bool:
    return any(one.address.version != instance.family for one in instance.excluded_addresses)
