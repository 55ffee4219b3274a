"""`use_vmac` and `use_ipvlan`: an interface of its own for an instance.

The words behind them are told apart by their look: a MAC address has colons,
an address has dots or colons, anything else is the interface's name.  Newer
versions of keepalived also know the words `name`, `netlink_notify_msg` and
`group`; 2.2.7 takes them for names, which decides its verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from keepalived_py.base.names import InterfaceName
from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.base.record import replace
from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import BASELINE, Keyword, Run
from keepalived_py.model.vrrp import Instance, Ipvlan, IpvlanMode, Vmac

VIRTUAL_MAC = b"\x00\x00\x5e\x00"
MAC_BYTES = 6
NEWER = ("name", "netlink_notify_msg", "group")
MODES = {mode.value: mode for mode in IpvlanMode}
_MAC_LETTERS = lazy_pattern(r"[0-9A-Fa-f:]+\Z")
_OCTET = lazy_pattern(r"[0-9A-Fa-f]{1,2}")


def own_interface(target: Draft[Instance]) -> InterfaceName | None:
    """The name given to the VMAC or ipvlan of an instance."""
    for owned in (target.vmac, target.ipvlan):
        if owned is not None and owned.interface is not None:
            return InterfaceName(owned.interface)
    return None


def _read_vmac(run: Run, target: Draft[Instance], at: Directive) -> None:
    found: Vmac = target.vmac or Vmac()
    target.vmac = found
    target.given["vmac"] = at
    for position, word in enumerate(at.words[1:3], 1):
        if ":" in word:
            mac = _mac(run, found, at, position)
            found = found if mac is None else replace(found, mac=mac)
        else:
            name = _vmac_name(run, target, at, position)
            found = found if name is None else replace(found, interface=name)
        target.vmac = found
    if any(word in NEWER for word in at.words[1:]):
        target.vmac = _newer_vmac(run, target, at, found)


def _mac(run: Run, found: Vmac, at: Directive, position: int) -> bytes | None:
    """A MAC address; of five bytes, the last one is the virtual router id."""
    word = at.words[position]

    def refuse(message: str, expected: str = "six bytes such as 02:00:5e:10:00:01") -> bytes | None:
        run.error(message, at, word=position, code="invalid-mac", expected=expected)
        return None

    if found.mac is not None:
        return refuse("VMAC interface address already specified", "one address")
    if not _MAC_LETTERS.match(word):
        return refuse(f"VMAC invalid MAC address {word}")
    mac = parse_mac(word)
    if mac is None:
        return refuse(f"VMAC invalid MAC address {word} - ignored")
    if mac[0] & 1:
        return refuse(f"VMAC MAC address is multicast {word} - ignoring", "an even first byte")
    if mac.startswith(VIRTUAL_MAC) and mac[4] in (1, 2):
        return refuse(
            f"VMAC MAC address not allowed to be RFC5798 address ({word}) - ignoring",
            "nothing, to get the address of the virtual router",
        )
    return mac


def parse_mac(word: str) -> bytes | None:
    """Six bytes, or five of an address whose last one is the router id; what follows a sixth is dropped."""
    octets: list[int] = []
    rest = word
    for index in range(MAC_BYTES):
        digits = _OCTET.match(rest)
        if digits is None:
            return None
        octets.append(int(digits[0], 16))
        end = rest[digits.end() :]
        if end[:1] != ":" and (end or index < MAC_BYTES - 2):
            return None
        if index == MAC_BYTES - 2 and end in ("", ":"):
            break
        rest = end[1:]
        if not rest and index < MAC_BYTES - 1:
            return None
    return bytes(octets)


def _vmac_name(run: Run, target: Draft[Instance], at: Directive, position: int) -> InterfaceName | None:
    word = at.words[position]
    if own_interface(target) is not None:
        run.error("VMAC interface name already specified", at, word=position, code="duplicate")
        return None
    if not _valid_name(word):
        run.error(
            f"VMAC interface name '{word}' too long or invalid characters - ignoring",
            at,
            word=position,
            expected="at most 15 characters, none of them a slash",
        )
        return None
    return _free(
        run,
        target,
        at,
        position,
        f"({target.name}) interface {word} already exists and is not a private macvlan; "
        "ignoring vmac if_name",
    )


def _valid_name(word: str) -> bool:
    too_long = len(word.encode(errors="surrogateescape")) > values.MAX_INTERFACE_NAME
    return not (not word or too_long or word in (".", "..") or re.search(r"[/:\s]", word))


def _free(
    run: Run, target: Draft[Instance], at: Directive, position: int, taken: str
) -> InterfaceName | None:
    """The name if neither another instance nor another kind of interface has it (`taken`)."""
    word = at.words[position]
    for other in run.written.instances.values():
        if own_interface(other) == word:
            run.error(
                f"({target.name}) VRRP instance {other.name} is already using {word} - ignoring name",
                at,
                word=position,
                code="duplicate",
            )
            return None
    kind = "ipvlan" if at.keyword == "use_ipvlan" else "macvlan"
    if run.host.interface_is_other_than(word, kind):
        run.error(taken, at, word=position, code="interface-exists", expected="a name that is not in use")
        return None
    return InterfaceName(word)


def _newer_name(run: Run, target: Draft[Instance], at: Directive, name: str | None) -> InterfaceName | None:
    """The name that a newer version reads, if it is one and free; 2.2.7 has its say elsewhere."""
    kind = "ipvlan" if at.keyword == "use_ipvlan" else "macvlan"
    others = tuple(own_interface(one) for one in run.written.instances.values() if one is not target)
    if name is None or name in others or run.host.interface_is_other_than(name, kind):
        return None
    return InterfaceName(name) if _valid_name(name) else None


def _newer_vmac(run: Run, target: Draft[Instance], at: Directive, found: Vmac) -> Vmac:
    """The line as versions with `name`, `netlink_notify_msg` and `group` read it."""
    name, words = None, iter(at.words[1:])
    group, notify = found.group, found.netlink_notify
    for word in words:
        if word == "netlink_notify_msg":
            notify = True
        elif word == "group":
            group = next(words, group)
        elif ":" not in word:
            name = name or (next(words, None) if word == "name" else word)
    return replace(found, interface=_newer_name(run, target, at, name), group=group, netlink_notify=notify)


def _show_vmac(vmac: Vmac | None) -> Iterable[str]:
    if vmac is None:
        return ()
    words = []
    if vmac.interface is not None:
        special = vmac.interface in NEWER or _MAC_LETTERS.match(vmac.interface)
        words.append(f"name {vmac.interface}" if special else str(vmac.interface))
    if vmac.mac is not None:
        words.append(vmac.mac.hex(":"))
    if vmac.netlink_notify:
        words.append("netlink_notify_msg")
    if vmac.group is not None:
        words.append(f"group {vmac.group}")
    return (" ".join(words),)


# ipvlan ----------------------------------------------------------------------


class _Ipvlan:
    """The line being read."""

    def __init__(self, run: Run, target: Draft[Instance], at: Directive) -> None:
        self.run, self.target, self.at = run, target, at
        self.mode: IpvlanMode | None = None

    def word(self, position: int) -> None:
        word = self.at.words[position]
        if word in MODES:
            self._mode(position)
            return
        found = _address(word)
        if found is not None:
            self._address(position, *found)
        else:
            self._name(position)

    def _refuse(self, text: str, position: int, code: str = "duplicate", expected: str = "") -> None:
        message = f"({self.target.name}) {text}"
        self.run.error(message, self.at, word=position, code=code, expected=expected)

    def _mode(self, position: int) -> None:
        word = self.at.words[position]
        if self.mode is not None:
            self._refuse(f"ipvlan type already specified - ignoring '{word}'", position)
            return
        self.mode = MODES[word]
        self.target.ipvlan = replace(self.target.ipvlan, mode=self.mode)

    def _address(self, position: int, address: Any, length: int) -> None:
        target, word = self.target, self.at.words[position]
        if target.ipvlan.address is not None:
            self._refuse(f"ipvlan address already specified - ignoring '{word}'", position)
            return
        if target.family is None:
            target.family = address.version
        elif target.family != address.version:
            self._refuse(
                f"ipvlan address[{word}] MUST match vrrp instance family !!! Skipping...",
                position,
                "mixed-families",
                f"an IPv{target.family} address",
            )
            return
        target.ipvlan = replace(target.ipvlan, address=address, prefix_length=length)
        if target.source is None:
            target.source = address

    def _name(self, position: int) -> None:
        target, word = self.target, self.at.words[position]
        if own_interface(target) is not None:
            self._refuse(f"IPVLAN interface already specified - ignoring '{word}'", position)
        elif len(word.encode(errors="surrogateescape")) > values.MAX_INTERFACE_NAME:
            self._refuse(
                f"IPVLAN interface name '{word}' too long - ignoring",
                position,
                "invalid-value",
                "at most 15 characters",
            )
        else:
            taken = f"({target.name}) interface {word} already exists and is not an l2 ipvlan; "
            name = _free(self.run, target, self.at, position, taken + "ignoring ipvlan if_name")
            target.ipvlan = replace(target.ipvlan, interface=name)


def _address(word: str) -> tuple[Any, int] | None:
    """`ADDRESS[/LENGTH]` if the word looks like one."""
    text, slash, length = word.partition("/")
    found = values.address(text) if ("." in word or ":" in word) and "%" not in word else None
    if found is None or (slash and not (length.isdecimal() and int(length) <= found.max_prefixlen)):
        return None
    return found, int(length) if slash else found.max_prefixlen


def _read_ipvlan(run: Run, target: Draft[Instance], at: Directive) -> None:
    if target.ipvlan is not None:
        run.error(f"({target.name}) use_ipvlan already specified", at, code="duplicate")
        return
    target.ipvlan = Ipvlan()
    target.given["ipvlan"] = at
    line = _Ipvlan(run, target, at)
    for position in range(1, len(at.words)):
        line.word(position)
    if any(word in NEWER for word in at.words[1:]):
        target.ipvlan = _newer_ipvlan(run, target, at, target.ipvlan)


def _newer_ipvlan(run: Run, target: Draft[Instance], at: Directive, found: Ipvlan) -> Ipvlan:
    """The line as versions with `name` and `group` read it."""
    name, group, words = None, None, iter(at.words[1:])
    for word in words:
        if word == "group":
            group = next(words, None)
        elif word not in MODES and _address(word) is None:
            name = name or (next(words, None) if word == "name" else word)
    return replace(found, interface=_newer_name(run, target, at, name), group=group)


def _show_ipvlan(ipvlan: Ipvlan | None) -> Iterable[str]:
    if ipvlan is None:
        return ()
    words = []
    if ipvlan.interface is not None:
        special = ipvlan.interface in (*NEWER, *MODES) or values.connection_address(ipvlan.interface)
        words.append(f"name {ipvlan.interface}" if special else str(ipvlan.interface))
    if ipvlan.address is not None:
        length = f"/{ipvlan.prefix_length}" if ipvlan.prefix_length != ipvlan.address.max_prefixlen else ""
        words.append(f"{ipvlan.address}{length}")
    if ipvlan.mode is not IpvlanMode.BRIDGE:
        words.append(ipvlan.mode.value)
    if ipvlan.group is not None:
        words.append(f"group {ipvlan.group}")
    return (" ".join(words),)


# The keywords ----------------------------------------------------------------


def _option(name: str, arguments: str, help: str, since: str = "", **more: Any) -> Keyword[Any]:
    return Keyword(name, arguments=arguments, help=help, since=since if since > BASELINE else "", **more)


_NAME = _option("name", "<IFNAME>", "the interface's name, even if it looks like another word", "2.3.0")
_GROUP = _option(
    "group", "<NAME>|<NUM>", "link group of the interface", "2.3.0", default="that of the parent"
)

KEYWORDS: tuple[Keyword[Any], ...] = (
    Keyword(
        "use_vmac",
        _read_vmac,
        "[[name] <IFNAME>] [<MAC>] [netlink_notify_msg] [group <GROUP>]",
        default="off",
        help="run on a macvlan that has the virtual MAC address (or the given one)",
        attribute="vmac",
        show=_show_vmac,
        schema={"type": "string"},
        options=(
            _NAME,
            _option(
                "netlink_notify_msg",
                "",
                "make the kernel announce the base interface",
                "2.3.0",
                default="off",
            ),
            _GROUP,
        ),
    ),
    values.flag(
        "use_vmac_addr", "vmac_addresses", help="VMACs also for addresses on other interfaces or families"
    ),
    values.flag("vmac_xmit_base", "vmac_xmit_base", help="send adverts from the interface below the VMAC"),
    Keyword(
        "use_ipvlan",
        _read_ipvlan,
        "[[name] <IFNAME>] [<ADDR>] [bridge|private|vepa] [group <GROUP>]",
        default="off",
        help="run on an ipvlan interface; IPv4 needs an address for it",
        attribute="ipvlan",
        show=_show_ipvlan,
        schema={"type": "string"},
        options=(
            _option("bridge", "", "siblings on the same interface reach each other", default="on"),
            _option("private", "", "siblings do not reach each other"),
            _option("vepa", "", "siblings reach each other through the switch"),
            _NAME,
            _GROUP,
        ),
    ),
)
