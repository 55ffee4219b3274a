"""What it means when the kernel refuses something, in words, and whether to ask again.

The beginning of the line is keepalived's (`Netlink: error: ...`); what follows
names the thing and says what can be done about it.  A refusal that cannot
change as long as the configuration stays (`PERMANENT`) is reported once; all
others are asked again with growing pauses.
"""

import errno

from keepalived_py.core.holder.things import text_of, thing_of
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    Failed,
    KernelChange,
    TimedOut,
    UnblockAddresses,
)

Trouble = Failed | TimedOut

# The kernel's numbers and names of its requests (linux/rtnetlink.h).
_REQUESTS: dict[type, str] = {
    AddAddress: "RTM_NEWADDR(20)",
    DeleteAddress: "RTM_DELADDR(21)",
    AddRoute: "RTM_NEWROUTE(24)",
    DeleteRoute: "RTM_DELROUTE(25)",
    AddRule: "RTM_NEWRULE(32)",
    DeleteRule: "RTM_DELRULE(33)",
    CreateDevice: "RTM_NEWLINK(16)",
}

_WORDS: dict[int, tuple[str, str]] = {
    errno.EPERM: ("Operation not permitted", "the program has no right to do this (CAP_NET_ADMIN)"),
    errno.EACCES: ("Permission denied", "the program has no right to do this"),
    errno.ENODEV: ("No such device", "its interface does not exist"),
    errno.ENXIO: ("No such device or address", "its interface does not exist"),
    errno.EINVAL: ("Invalid argument", "the kernel finds a contradiction in it"),
    errno.EOPNOTSUPP: ("Operation not supported", "this kernel was built without it"),
    errno.EAFNOSUPPORT: ("Address family not supported by protocol", "this kernel has the family disabled"),
    errno.EPROTONOSUPPORT: ("Protocol not supported", "this kernel was built without it"),
    errno.ENETUNREACH: ("Network is unreachable", "there is no way to its gateway yet"),
    errno.EHOSTUNREACH: ("No route to host", "there is no way to its gateway yet"),
    errno.ENETDOWN: ("Network is down", "its interface is down"),
    errno.EADDRNOTAVAIL: ("Cannot assign requested address", "it cannot be used on that interface"),
    errno.ENOBUFS: ("No buffer space available", "the kernel is short of memory"),
    errno.ENOMEM: ("Cannot allocate memory", "the kernel is short of memory"),
    errno.ENOSPC: ("No space left on device", "the kernel's table is full"),
    errno.EBUSY: ("Device or resource busy", "the kernel is occupied with it"),
    errno.EAGAIN: ("Resource temporarily unavailable", "the kernel is occupied"),
    errno.EEXIST: ("File exists", "something else has its place"),
    errno.ESRCH: ("No such process", "the table or target does not exist"),
    errno.ENOENT: ("No such file or directory", "what it refers to does not exist"),
    errno.ETIMEDOUT: ("Connection timed out", "the kernel did not answer in time"),
}

PERMANENT = frozenset(
    {
        errno.EINVAL,
        errno.EOPNOTSUPP,
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
        errno.ERANGE,
        errno.ENOPROTOOPT,
    }
)


def number_of(trouble: Trouble) -> int:
    """The errno of `trouble`."""
    return trouble.errno if isinstance(trouble, Failed) else errno.ETIMEDOUT


def is_permanent(effect: Effect, trouble: Trouble) -> bool:
    """Whether asking again is in vain.

    A route whose preferred source is not there yet is refused as invalid, so a route with one may
    become possible.
    """
    if isinstance(effect, AddRoute) and effect.route.preferred_source is not None:
        return number_of(trouble) in PERMANENT - {errno.EINVAL}
    return number_of(trouble) in PERMANENT


def needs_nothing(effect: Effect, trouble: Trouble) -> bool:
    """Whether a deletion failed because its interface is gone, and all on it with it."""
    return isinstance(effect, DeleteAddress | DeleteRoute | DeleteRule) and number_of(trouble) in (
        errno.ENODEV,
        errno.ENXIO,
    )


def line_for(effect: Effect, trouble: Trouble, pause_s: float | None) -> str:
    """The log line; `pause_s` None: it is not tried again."""
    number = number_of(trouble)
    name, meaning = _WORDS.get(number, (f"errno {number}", "the kernel refuses"))
    if isinstance(effect, AddRoute) and number == errno.EINVAL and effect.route.preferred_source is not None:
        meaning = "its preferred source is not an address of this machine yet"
    head = f"Netlink: error: {name}({number})"
    request = _REQUESTS.get(type(effect))
    if request is not None:
        head += f", type={request}"
    ahead = "not tried again" if pause_s is None else f"next try in {pause_s:g} s"
    return f"{head}: {subject(effect)}: {meaning}; {ahead}"


def subject(effect: Effect) -> str:
    """Who wanted what."""
    what = type(effect).__name__
    match effect:
        case AddAddress() | AddRoute() | AddRule() | DeleteAddress() | DeleteRoute() | DeleteRule():
            return f"{_owner(effect)}{'adding' if what.startswith('Add') else 'removing'} {_text(effect)}"
        case BlockAddresses():
            return f"({effect.instance}) setting firewall drop rule"
        case UnblockAddresses():
            return f"({effect.instance}) removing firewall drop rule"
        case CreateDevice():
            return f"({effect.instance}) creating interface {effect.device.name}"
        case _:
            return what


def _owner(effect: KernelChange) -> str:
    return f"({effect.instance}) " if effect.instance else "static: "


def _text(effect: KernelChange) -> str:
    return text_of(thing_of(effect))
