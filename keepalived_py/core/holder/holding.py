"""Holding: what a MASTER puts into the kernel, and how it announces its addresses.

Becoming MASTER closes the firewall for the addresses (`no_accept`), puts them
on in configuration order, the excluded ones after them, then the routes and
rules, and announces all addresses `garp_master_repeat` times ("all addresses,
then again", not one address five times).  Another such burst follows after
`garp_master_delay`; with `garp_master_refresh` a smaller one is repeated for
ever, counted from the end of that delay.  Leaving MASTER undoes it: rules,
routes, addresses, excluded addresses, firewall; every burst still due is
forgotten.  What leaving undoes stands here once and serves every way out.

`garp_extra_if`: switches forget a virtual MAC that is never heard.  Adverts
keep the instance's own device known; for the other interfaces that carry its
addresses one announcement each is repeated (`extra_at`).
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import Instance, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    BlockAddresses,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    SendNeighbour,
    UnblockAddresses,
    WriteLog,
)

OWNER = 255


class Announcements(NamedTuple):
    """When the next bursts of gratuitous ARP are due; None: none is."""

    second_at: Micros | None = None
    refresh_at: Micros | None = None
    lower_priority_at: Micros | None = None
    extra_at: Micros | None = None


SILENT = Announcements()


def all_addresses(settings: Instance) -> tuple[VirtualAddress, ...]:
    """Every address that follows the master: the advertised ones, then the excluded ones."""
    return settings.addresses + settings.excluded_addresses


def blocks(settings: Instance) -> bool:
    """Whether the firewall must drop what goes to the addresses: `no_accept`, unless we own them."""
    return not settings.accept and settings.base_priority != OWNER


def take(settings: Instance, now: Micros, out: list[Effect]) -> Announcements:
    """Put everything into the kernel and announce it; returns when to announce it again."""
    name = settings.name
    if blocks(settings):
        out.append(WriteLog(f"({name}) setting firewall drop rule", detail=True))
        out.append(BlockAddresses(name, all_addresses(settings)))
    if settings.addresses:
        out.append(WriteLog(f"({name}) setting VIPs.", detail=True))
        out.extend(AddAddress(name, address) for address in settings.addresses)
    if settings.excluded_addresses:
        out.append(WriteLog(f"({name}) setting E-VIPs.", detail=True))
        out.extend(AddAddress(name, address) for address in settings.excluded_addresses)
    if settings.routes:
        out.append(WriteLog(f"({name}) setting Virtual Routes", detail=True))
        out.extend(AddRoute(name, route) for route in settings.routes)
    if settings.rules:
        out.append(WriteLog(f"({name}) setting Virtual Rules", detail=True))
        out.extend(AddRule(name, rule) for rule in settings.rules)
    return announce_new(settings, now, out)


def release(settings: Instance, out: list[Effect]) -> Announcements:
    """Take everything out of the kernel; returns the announcements still due (none)."""
    log_release(settings, out)
    name = settings.name
    out.extend(DeleteRule(name, rule) for rule in settings.rules)
    out.extend(DeleteRoute(name, route) for route in settings.routes)
    out.extend(DeleteAddress(name, address) for address in all_addresses(settings))
    if blocks(settings):
        out.append(UnblockAddresses(name, all_addresses(settings)))
    return SILENT


def log_release(settings: Instance, out: list[Effect]) -> None:
    """keepalived's lines while everything is taken out."""
    name = settings.name
    for kind, configured in (
        ("Virtual Rules", settings.rules),
        ("Virtual Routes", settings.routes),
        ("VIPs.", settings.addresses),
        ("E-VIPs.", settings.excluded_addresses),
        ("firewall drop rule", blocks(settings)),
    ):
        if configured:
            out.append(WriteLog(f"({name}) removing {kind}", detail=True))


def announce_new(settings: Instance, now: Micros, out: list[Effect]) -> Announcements:
    """The burst right after addresses were put on."""
    garp = settings.garp
    burst(settings, all_addresses(settings), garp.repeat, out)
    second_at = Micros(now + garp.delay_us) if garp.delay_us else None
    refresh_at = Micros(now + garp.delay_us + garp.refresh_us) if garp.refresh_us else None
    return Announcements(second_at, refresh_at, extra_at=_extra_at(settings, now))


def adjusted(settings: Instance, due: Announcements, now: Micros) -> Announcements:
    """What remains due after a reload: repeated bursts begin, end or go on as they are configured now."""
    garp = settings.garp
    refresh_at, extra_at = due.refresh_at, due.extra_at
    if not garp.refresh_us:
        refresh_at = None
    elif refresh_at is None or refresh_at > now + garp.delay_us + garp.refresh_us:
        refresh_at = Micros(now + garp.refresh_us)
    wanted = _extra_at(settings, now)
    if wanted is None:
        extra_at = None
    elif extra_at is None or extra_at > wanted:
        extra_at = wanted
    due = due._replace(refresh_at=refresh_at, extra_at=extra_at)
    return due if any(at is not None for at in due) else SILENT


def _extra_at(settings: Instance, now: Micros) -> Micros | None:
    interval = settings.garp.extra_interfaces.interval_us
    return Micros(now + interval) if interval and extra_addresses(settings) else None


def extra_addresses(settings: Instance) -> tuple[VirtualAddress, ...]:
    """The first address on each interface that sends no adverts: virtual MAC devices, or every one."""
    every = settings.garp.extra_interfaces.every
    found: dict[InterfaceName, VirtualAddress] = {}
    for virtual in all_addresses(settings):
        device = virtual.use_vmac or (
            settings.base_interface is not None and virtual.interface == settings.interface
        )
        if (device or every) and virtual.interface != settings.advert_interface:
            found.setdefault(virtual.interface, virtual)
    return tuple(found.values())


def announce_against_lower_priority(
    settings: Instance, due: Announcements, now: Micros, out: list[Effect]
) -> Announcements:
    """The burst after a lower-priority master was heard: hosts may have believed it."""
    garp = settings.garp
    if not garp.lower_priority_repeat:
        return due
    burst(settings, all_addresses(settings), garp.lower_priority_repeat, out)
    if not garp.lower_priority_delay_us:
        return due
    return due._replace(lower_priority_at=Micros(now + garp.lower_priority_delay_us))


def announce_due(settings: Instance, due: Announcements, now: Micros, out: list[Effect]) -> Announcements:
    """All bursts whose time has come."""
    garp = settings.garp
    if due.second_at is not None and due.second_at <= now:
        burst(settings, all_addresses(settings), garp.repeat, out)
        due = due._replace(second_at=None)
    if due.lower_priority_at is not None and due.lower_priority_at <= now:
        burst(settings, all_addresses(settings), garp.lower_priority_repeat, out)
        due = due._replace(lower_priority_at=None)
    if due.refresh_at is not None and due.refresh_at <= now:
        burst(settings, all_addresses(settings), garp.refresh_repeat, out)
        again = Micros(max(due.refresh_at + garp.refresh_us, now + 1)) if garp.refresh_us else None
        due = due._replace(refresh_at=again)
    if due.extra_at is not None and due.extra_at <= now:
        burst(settings, extra_addresses(settings), 1, out)
        interval = garp.extra_interfaces.interval_us
        due = due._replace(extra_at=Micros(max(due.extra_at + interval, now + 1)) if interval else None)
    return due if any(at is not None for at in due) else SILENT


def burst(settings: Instance, addresses: tuple[VirtualAddress, ...], repeat: int, out: list[Effect]) -> None:
    """Announce each of `addresses` `repeat` times, round by round; a repetition is the very same effect."""
    if not repeat:
        return
    again: list[Effect] = []
    for address in addresses:
        inet = address.address.version == 4
        where = f"on {address.interface} for {address.address}"
        what = "gratuitous ARP" if inet else "Unsolicited Neighbour Advert"
        once = what if inet else "unsolicited Neighbour Advert"
        sending = SendNeighbour(settings.name, address)
        said = WriteLog(f"Sending {once} {where}", detail=True)
        out += (WriteLog(f"({settings.name}) Sending/queueing {what}s {where}", detail=True), sending, said)
        again += (sending, said)
    for _ in range(repeat - 1):
        out += again
