"""Holding: the addresses of a MASTER and their announcements.

Becoming MASTER puts the addresses on in configuration order, the excluded
ones after them, then announces all of them `garp_master_repeat` times ("all
addresses, then again", not one address five times).  Another such burst
follows after `garp_master_delay`; with `garp_master_refresh` a smaller one is
repeated for ever, counted from the end of that delay.  Leaving MASTER takes
all addresses off and forgets every burst still due.  What leaving undoes
stands here once and serves every way out.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.model.config import Instance, VirtualAddress
from keepalived_py.model.effects import AddAddress, DeleteAddress, Effect, SendNeighbour, WriteLog


class Announcements(NamedTuple):
    """When the next bursts of gratuitous ARP are due; None: none is."""

    second_at: Micros | None = None
    refresh_at: Micros | None = None
    lower_priority_at: Micros | None = None


SILENT = Announcements()


def all_addresses(settings: Instance) -> tuple[VirtualAddress, ...]:
    """Every address that follows the master: the advertised ones, then the excluded ones."""
    return settings.addresses + settings.excluded_addresses


def take(settings: Instance, now: Micros, out: list[Effect]) -> Announcements:
    """Put all addresses on and announce them; returns when to announce them again."""
    name = settings.name
    if settings.addresses:
        out.append(WriteLog(f"({name}) setting VIPs.", detail=True))
        out.extend(AddAddress(name, address) for address in settings.addresses)
    if settings.excluded_addresses:
        out.append(WriteLog(f"({name}) setting E-VIPs.", detail=True))
        out.extend(AddAddress(name, address) for address in settings.excluded_addresses)
    return announce_new(settings, now, out)


def release(settings: Instance, out: list[Effect]) -> Announcements:
    """Take all addresses off; returns the announcements still due (none)."""
    name = settings.name
    if settings.addresses:
        out.append(WriteLog(f"({name}) removing VIPs.", detail=True))
        out.extend(DeleteAddress(name, address) for address in settings.addresses)
    if settings.excluded_addresses:
        out.append(WriteLog(f"({name}) removing E-VIPs.", detail=True))
        out.extend(DeleteAddress(name, address) for address in settings.excluded_addresses)
    return SILENT


def announce_new(settings: Instance, now: Micros, out: list[Effect]) -> Announcements:
    """The burst right after addresses were put on."""
    garp = settings.garp
    burst(settings, all_addresses(settings), garp.repeat, out)
    second_at = Micros(now + garp.delay_us) if garp.delay_us else None
    refresh_at = Micros(now + garp.delay_us + garp.refresh_us) if garp.refresh_us else None
    return Announcements(second_at, refresh_at)


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
    return due if any(at is not None for at in due) else SILENT


def burst(settings: Instance, addresses: tuple[VirtualAddress, ...], repeat: int, out: list[Effect]) -> None:
    """Announce each of `addresses` `repeat` times, round by round."""
    for number in range(repeat):
        for address in addresses:
            _announce(settings, address, number == 0, out)


def _announce(settings: Instance, address: VirtualAddress, first: bool, out: list[Effect]) -> None:
    what = "gratuitous ARP" if address.address.version == 4 else "Unsolicited Neighbour Advert"
    where = f"on {address.interface} for {address.address}"
    if first:
        out.append(WriteLog(f"({settings.name}) Sending/queueing {what}s {where}", detail=True))
    out.append(SendNeighbour(settings.name, address))
    once = what if address.address.version == 4 else "unsolicited Neighbour Advert"
    out.append(WriteLog(f"Sending {once} {where}", detail=True))
