"""Makes the virtual interfaces that instances live on, and leaves the machine as it found it.

What a device needs beside itself, as keepalived has it:

* on a macvlan for IPv4: `arp_ignore` 1 (only it answers for its addresses),
  `accept_local` 1 and `rp_filter` 0 (adverts come from an address of the
  interface below), `promote_secondaries` 1; for IPv6 `arp_ignore` 1;
* on the interface below, for IPv4: `arp_ignore` 1 and `arp_filter` 1, so that
  it does not answer for addresses that live on the device; given back when
  its last device goes (2.2.7 keeps them if it had more than one device);
* IPv6 off where nothing needs it; no address that the kernel makes by itself;
* for IPv6 adverts a link-local source: the configured one, else that of the
  interface below, deprecated so that nothing else uses it, else one made from
  that interface's MAC address;
* the link group and the VRF of the interface below.

The kernel needs milliseconds for each device and holds its configuration lock
meanwhile, so all of it is done by one thread, in order, and never by the event
loop.  `settle` is for start and reload: it makes the machine have exactly the
devices of a configuration and does not touch those that stay.  `follow` is for
news from an interface below: its link-local address or its VRF changed.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from os import strerror
from typing import Protocol, TypeVar

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.config.host import RealHost
from keepalived_py.core.holder.devices import LINK_LOCAL_LENGTH, ExistingDevice
from keepalived_py.core.track.interface import virtual_addresses
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, TimedOut
from keepalived_py.model.interfaces import Device, DeviceKind
from keepalived_py.system import sysctl
from keepalived_py.system.device_requests import DeviceRequests, FoundLink

T = TypeVar("T")

_KINDS = {kind.value: kind for kind in DeviceKind}
_WORDS = {DeviceKind.MACVLAN: "VMAC", DeviceKind.IPVLAN: "ipvlan"}
_MACVLAN_IPV4 = {"arp_ignore": 1, "accept_local": 1, "rp_filter": 0, "promote_secondaries": 1}
_MACVLAN_IPV6 = {"arp_ignore": 1}
_BELOW = {"arp_ignore": 1, "arp_filter": 1}


class DeviceLog(Protocol):
    """Where log lines go; `detail` lines are written only with -D."""

    def info(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class Devices:
    """The devices of this network namespace, for one event loop.

    Raises nothing but OSError where not even a netlink socket can be had.
    """

    def __init__(self, log: DeviceLog, requests: Callable[[], DeviceRequests] = DeviceRequests) -> None:
        self._log = log
        self._lines: list[tuple[str, bool]] = []
        self._works = _Works(lambda text, detail: self._lines.append((text, detail)), requests)
        self._worker = ThreadPoolExecutor(1, "devices")
        self.bases: frozenset[InterfaceName] = frozenset()

    async def existing(self) -> list[ExistingDevice]:
        """Every macvlan and ipvlan there is, for `core.holder.devices.plan`."""
        return await self._do(self._works.existing)

    async def settle(self, configuration: Configuration) -> dict[InterfaceName, Outcome]:
        """Have exactly the devices of `configuration`, and `promote_secondaries` where it says.

        Returns what became of each device that was not there as it should be.
        """
        self.bases = frozenset(device.base for device in configuration.devices)
        return await self._do(lambda: self._works.settle(configuration))

    async def add(self, configuration: Configuration) -> dict[InterfaceName, Outcome]:
        """The first half of a reload: make what `configuration` needs, and remove only what is in the way.

        Instances that are about to go still need theirs.  `settle` is the second half.
        """
        self.bases |= {device.base for device in configuration.devices}
        return await self._do(lambda: self._works.add(configuration))

    async def create(self, device: Device) -> Outcome:
        """Make `device` again; AlreadySo if it was there, and is now as it should be.

        Also AlreadySo for a device that a reload is about to do without: it may have given way to another.
        """
        self.bases |= {device.base}
        return await self._do(lambda: self._works.recreate(device))

    async def remove(self, device: Device) -> Outcome:
        """Remove `device` if this run made it or took it over; AlreadySo if there is nothing to remove."""
        return await self._do(lambda: self._works.remove(device.name))

    async def follow(self, base: InterfaceName) -> None:
        """The interface `base` (see `bases`) has changed its VRF or its addresses."""
        await self._do(lambda: self._works.follow(base))

    async def restore(self) -> None:
        """Remove every device and set back every parameter."""
        await self._do(self._works.restore)

    def close(self) -> None:
        """End the thread, after what it was asked to do."""
        self._worker.submit(self._works.close)
        self._worker.shutdown(wait=True)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        finally:
            lines, self._lines[:] = self._lines[:], []
            for text, detail in lines:
                (self._log.detail if detail else self._log.info)(text)


@dataclass(slots=True)
class _Made:
    """A device of ours.  `root_index`: the interface it really sits on, 0 if that is in another namespace."""

    device: Device
    index: int
    root_index: int
    complete: bool = False
    link_local: IPv6Address | None = None


@dataclass(slots=True)
class _Below:
    """What an interface below had before it carried the devices `users`."""

    name: InterfaceName
    before: dict[str, int]
    users: set[InterfaceName] = field(default_factory=set)


class _Works:
    """All the work, done by one thread.  `say(text, detail)` collects log lines."""

    def __init__(self, say: Callable[[str, bool], None], requests: Callable[[], DeviceRequests]) -> None:
        self._say = say
        self._make_requests = requests
        self._open: DeviceRequests | None = None
        self._made: dict[InterfaceName, _Made] = {}
        self._below: dict[int, _Below] = {}
        self._promoted: dict[InterfaceName, int] = {}
        self._virtual: frozenset[Address] = frozenset()
        self._wanted: tuple[Device, ...] | None = None
        self._reverse_path = sysctl.ReversePathFilter(self._set_rp_filter)

    @property
    def _requests(self) -> DeviceRequests:
        if self._open is None:
            self._open = self._make_requests()
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def existing(self) -> list[ExistingDevice]:
        links = self._requests.links()
        names = {link.index: InterfaceName(link.name) for link in links}
        return [
            ExistingDevice(
                InterfaceName(link.name),
                names.get(link.base_index, InterfaceName("")),
                _KINDS[link.kind],
                link.mode,
                link.mac,
                link.name in self._made and self._made[InterfaceName(link.name)].index == link.index,
            )
            for link in links
            if link.kind in _KINDS
        ]

    def settle(self, configuration: Configuration) -> dict[InterfaceName, Outcome]:
        self._virtual = virtual_addresses(configuration)
        wanted: dict[InterfaceName, Device] = {device.name: device for device in configuration.devices}
        self._remove_all(
            name
            for name, made in list(self._made.items())
            if name not in wanted or not _same_place(made.device, wanted[name])
        )
        outcomes = self.add(configuration)
        self._promote(
            {one.interface for one in configuration.instances if one.promote_secondaries and one.interface}
        )
        return outcomes

    def add(self, configuration: Configuration) -> dict[InterfaceName, Outcome]:
        self._virtual |= virtual_addresses(configuration)
        self._wanted = devices = configuration.devices
        return {
            device.name: self.create(device) for device in devices if not self._is_as_it_should_be(device)
        }

    def _is_as_it_should_be(self, device: Device) -> bool:
        made = self._made.get(device.name)
        return made is not None and made.complete and made.device == device

    def restore(self) -> None:
        self._reverse_path.restore(lambda text: self._say(text, False))
        self._remove_all(list(self._made))
        self._promote(set())

    # -- making -------------------------------------------------------------------

    def create(self, device: Device) -> Outcome:
        base = self._requests.link(device.base)
        if base is None:
            return Failed(errno.ENODEV)
        root = self._root(base)
        self._make_way(device, root)
        found = self._requests.link(device.name)
        error = self._add(device, base) if found is None else self._reuse(device, base, root, found)
        made = self._requests.link(device.name)
        if error or made is None:
            return _outcome(error or errno.ENODEV)
        if error := self._equip(device, made.index, base, root):
            return _outcome(error)
        return AlreadySo() if found is not None and found.index == made.index else Done()

    def recreate(self, device: Device) -> Outcome:
        wanted = self._wanted is None or device in self._wanted
        return self.create(device) if wanted else AlreadySo()

    def _make_way(self, device: Device, root: FoundLink) -> None:
        """A device of ours under its former name: two with one MAC address cannot be up together."""
        for name, made in list(self._made.items()):
            same = made.device.mac == device.mac and made.root_index == root.index
            if device.mac is not None and same and name != device.name:
                self._say(f"({device.instance}) Deleting old VMAC interface {name}", False)
                self.remove(name)

    def _add(self, device: Device, base: FoundLink) -> int:
        error = self._requests.add(
            device.name,
            device.kind,
            device.mode,
            base.index,
            mac=device.mac,
            group=_group(device, self._root(base)),
            master=self._vrf(base),
        )
        word = _WORDS[device.kind]
        if error:
            reason = strerror(error)
            reason += f": this kernel has no {device.kind.value}" if error == errno.EOPNOTSUPP else ""
            self._say(
                f"({device.instance}): Unable to create {word} interface {device.name} ({reason})", False
            )
        else:
            self._say(f"({device.instance}): Success creating {word} interface {device.name}", True)
        return error

    def _reuse(self, device: Device, base: FoundLink, root: FoundLink, found: FoundLink) -> int:
        """A link of that name is there: it is the device, can become it, or must give way."""
        name = device.instance
        if found.kind not in _KINDS:
            self._say(f"VMAC {device.name} conflicts with existing interface", False)
            return errno.EEXIST
        fixed_mode = device.kind is DeviceKind.IPVLAN and found.mode != device.mode
        if found.kind != device.kind.value or found.base_index != root.index or fixed_mode:
            self._say(
                f"({name}) Removing old VMAC interface {device.name} due to conflicting interface", False
            )
            error = self._requests.delete(found.index)
            if error:
                self._say(f"({name}) Error removing VMAC interface {device.name}", False)
            return error or self._add(device, base)
        if device.mac is not None and (found.mac != device.mac or found.mode != device.mode):
            return self._alter(device, base, found)
        if device.name not in self._made:
            self._say(f"({name}) Found matching interface {device.name}", False)
        return 0

    def _alter(self, device: Device, base: FoundLink, found: FoundLink) -> int:
        name = device.instance
        # keepalived's line ends with a blank.
        self._say(f"({name}) Update old VMAC interface {device.name} due to wrong MAC/mode ", False)
        error = self._requests.alter(
            found.index, device.kind, device.mode, device.mac or b"", self._vrf(base)
        )
        if error:
            self._say(f"({name}): Unable to create VMAC interface {device.name} ({strerror(error)})", False)
        else:
            self._say(f"({name}): Success updating VMAC interface {device.name}", True)
        return error

    def _equip(self, device: Device, index: int, base: FoundLink, root: FoundLink) -> int:
        """Everything that a device needs beside itself; done again it changes nothing.

        The errno of bringing it up: another macvlan may have its MAC address.
        """
        old = self._made.get(device.name)
        made = _Made(device, index, 0 if root.index == index else root.index)
        if old is not None and old.index == index:
            made.link_local = old.link_local
        self._made[device.name] = made
        if device.kind is DeviceKind.MACVLAN:
            self._set_parameters(made, root)
        needs_ipv6 = device.family == 6 or device.other_family
        sysctl.write(6, device.name, "disable_ipv6", 0 if needs_ipv6 else 1)
        if device.kind is DeviceKind.MACVLAN and self._requests.generate_no_address(index):
            self._say(f"({device.instance}) Error setting ADDR_GEN_MODE to NONE on {device.name}", False)
        error = self._requests.set_up(index)
        if error:
            word, reason = _WORDS[device.kind], strerror(error)
            self._say(
                f"({device.instance}) Unable to bring up {word} interface {device.name} ({reason})", False
            )
        made.complete = not error
        self._give_source(made, base, root)
        if device.notify:
            self._requests.set_group(root.index, root.group)
        return error

    def _set_parameters(self, made: _Made, root: FoundLink) -> None:
        device = made.device
        if device.family == 6:
            self._requests.set_ipv4(made.index, _MACVLAN_IPV6)
            return
        self._reverse_path.clear(lambda text: self._say(text, False))
        if self._requests.set_ipv4(made.index, _MACVLAN_IPV4):
            self._say(f"Unable to set parameters for {device.name}", False)
        if not made.root_index:
            return
        below = self._below.get(root.index)
        if below is None:
            before = {name: sysctl.read(4, root.name, name) or 0 for name in _BELOW}
            below = self._below[root.index] = _Below(InterfaceName(root.name), before)
        below.users.add(device.name)
        if self._requests.set_ipv4(root.index, _BELOW):
            self._say(f"Set base flags on {root.name} failed for VMAC {device.name}", False)

    # -- where adverts come from -----------------------------------------------------

    def _give_source(self, made: _Made, base: FoundLink, root: FoundLink) -> None:
        device = made.device
        if device.kind is DeviceKind.IPVLAN:
            self._give_own_address(made)
            return
        wanted = self._link_local(device, base, root) if _needs_link_local(device) else None
        old = made.link_local
        if wanted == old:
            return
        error = self._change_link_local(made.index, old, wanted)
        if error not in (0, errno.EEXIST):
            self._say(f"({device.instance}) adding link-local address to {device.name} failed", False)
            return
        made.link_local = wanted

    def _change_link_local(self, index: int, old: IPv6Address | None, new: IPv6Address | None) -> int:
        """The errno of adding `new`; a link that is down has lost `old` already."""
        has_old = old is not None and old in self._requests.link_local(index)
        if old is not None and new is not None and has_old:
            return self._requests.replace_address(index, old, new, LINK_LOCAL_LENGTH)
        if old is not None and has_old:
            self._requests.delete_address(index, old, LINK_LOCAL_LENGTH)
        if new is None:
            return 0
        return self._requests.add_address(index, new, LINK_LOCAL_LENGTH, deprecated=True)

    def _give_own_address(self, made: _Made) -> None:
        device = made.device
        if device.address is None:
            return
        length = device.address.max_prefixlen if device.prefix_length is None else device.prefix_length
        error = self._requests.add_address(made.index, device.address, length)
        if error and error != errno.EEXIST:
            self._say(f"{device.instance}: Failed to add interface address to {device.name}", False)

    def _link_local(self, device: Device, base: FoundLink, root: FoundLink) -> IPv6Address:
        if isinstance(device.address, IPv6Address):
            return device.address
        for address in self._requests.link_local(base.index):
            if address not in self._virtual:
                return address
        return _link_local_of(root.mac)

    # -- taking away -------------------------------------------------------------------

    def remove(self, name: InterfaceName) -> Outcome:
        made = self._made.pop(name, None)
        if made is None:
            return AlreadySo()
        self._release_below(made)
        if not self._is_there(made):
            return AlreadySo()
        error = self._requests.delete(made.index)
        self._removed(made, error)
        return _outcome(error)

    def _remove_all(self, names: Iterable[InterfaceName]) -> None:
        """The kernel waits for all processors once for each request, so one request removes them all.

        It does so by link group: the devices get one that no other link has.  If it refuses they are
        removed one by one.
        """
        going = [self._made[name] for name in names]
        together = [made for made in going if self._is_there(made)] if len(going) > 1 else []
        if together and self._delete_together(together):
            for made in together:
                del self._made[made.device.name]
                self._release_below(made)
                self._removed(made, 0)
        for made in going:
            self.remove(made.device.name)

    def _delete_together(self, devices: Sequence[_Made]) -> bool:
        taken = {link.group for link in self._requests.links()}
        group = next(number for number in iter(_random_group, 0) if number not in taken)
        refused = any(self._requests.set_group(made.index, group) for made in devices)
        return not refused and self._requests.delete_group(group) == 0

    def _is_there(self, made: _Made) -> bool:
        """Whether the link is still the one that was made: others may have replaced it."""
        found = self._requests.link(made.device.name)
        return found is not None and found.index == made.index

    def _removed(self, made: _Made, error: int) -> None:
        device = made.device
        if error:
            self._say(f"({device.instance}) Error removing VMAC interface {device.name}", False)
            return
        if device.notify and (root := self._requests.link(index=made.root_index)) is not None:
            self._requests.set_group(root.index, root.group)
        self._say(f"({device.instance}) Success removing VMAC interface {device.name}", True)

    def _release_below(self, made: _Made) -> None:
        """The interface below gets its parameters back with its last device."""
        below = self._below.get(made.root_index)
        if below is None:
            return
        below.users.discard(made.device.name)
        if below.users:
            return
        del self._below[made.root_index]
        root = self._requests.link(index=made.root_index)
        called = below.name if root is None else InterfaceName(root.name)
        values = {
            name: value
            for name, value in below.before.items()
            if value != 1 and sysctl.read(4, called, name) == 1
        }
        if values and self._requests.set_ipv4(made.root_index, values):
            self._say(f"reset interface flags on {below.name} failed", False)

    # -- what changes below --------------------------------------------------------------

    def follow(self, base: InterfaceName) -> None:
        below = self._requests.link(base)
        if below is None:
            return
        root, vrf = self._root(below), self._vrf(below)
        for name, made in list(self._made.items()):
            found = self._requests.link(name) if made.device.base == base else None
            if found is None or found.index != made.index:
                continue
            if made.root_index not in (0, root.index):
                # Names were changed: another interface is called so now.  It will be made again on that one.
                self.remove(name)
                continue
            if found.master_index != vrf:
                self._change_vrf(made, vrf)
            self._give_source(made, below, root)

    def _change_vrf(self, made: _Made, vrf: int) -> None:
        where = f"VRF of VMAC interface {made.device.name} for vrrp_instance {made.device.instance}"
        if self._requests.set_master(made.index, vrf):
            self._say(f"vmac: Error changing {where}!!!", False)
        else:
            self._say(f"vmac: Success changing {where}", True)

    def _root(self, base: FoundLink) -> FoundLink:
        """The interface that the kernel puts a device on `base` onto: below a macvlan or ipvlan."""
        below = (
            self._requests.link(index=base.base_index) if base.kind in _KINDS and base.base_index else None
        )
        return base if below is None else below

    def _vrf(self, base: FoundLink) -> int:
        """The index of the VRF device that `base` belongs to; 0 for none."""
        master = self._requests.link(index=base.master_index) if base.master_index else None
        return master.index if master is not None and master.kind == "vrf" else 0

    # -- parameters ------------------------------------------------------------------------

    def _promote(self, wanted: set[InterfaceName]) -> None:
        """`promote_secondaries` on these interfaces, and as it was on all others."""
        for name in [name for name in self._promoted if name not in wanted]:
            self._set(name, "promote_secondaries", self._promoted.pop(name))
        for name in wanted - self._promoted.keys():
            value = sysctl.read(4, name, "promote_secondaries")
            if value == 0 and self._set(name, "promote_secondaries", 1) == 0:
                self._promoted[name] = value

    def _set_rp_filter(self, name: InterfaceName, value: int) -> int:
        return self._set(name, "rp_filter", value)

    def _set(self, name: InterfaceName, parameter: str, value: int) -> int:
        link = self._requests.link(name)
        return errno.ENODEV if link is None else self._requests.set_ipv4(link.index, {parameter: value})


def _outcome(error: int) -> Outcome:
    if not error:
        return Done()
    return TimedOut() if error == errno.ETIMEDOUT else Failed(error)


def _random_group() -> int:
    """A link group that hardly anybody uses; never 0."""
    return int.from_bytes(os.urandom(4), "little") >> 1 | 1


def _same_place(old: Device, new: Device) -> bool:
    """Whether one can become the other without being removed."""
    return old.base == new.base and old.kind is new.kind


def _needs_link_local(device: Device) -> bool:
    return device.family == 6 and not device.transmits_by_base


def _group(device: Device, root: FoundLink) -> int:
    """The link group of a new device: its own, else that of the interface it sits on."""
    if device.group is None:
        return root.group
    number = int(device.group) if device.group.isdecimal() else RealHost().kernel_name("group", device.group)
    return root.group if number is None else number


def _link_local_of(mac: bytes) -> IPv6Address:
    """The link-local address that belongs to a MAC address (RFC 4291 appendix A)."""
    identifier = bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:6]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)
