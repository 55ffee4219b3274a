"""Everything the two programs change in a kernel, as lines of text that can be compared.

Addresses, links, routes, rules and memberships of groups are read with `ip -d -j`,
the packet filter with `nft`, the parameters of interfaces from /proc/sys/net.  Only
what must differ between two namespaces is taken out: the numbers of interfaces,
counters of packets, and lifetimes that run (rounded up to ten seconds).
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from space import inside, run

_NUMBERS = frozenset({"ifindex", "link_index", "link_netnsid"})
_RUNNING = frozenset({"valid_life_time", "preferred_life_time", "expires"})
_FOREVER = 4294967295
_STEP_S = 10
# Parameters that change on their own, or that may not be read.
_LEFT_OUT = frozenset({"stable_secret"})
_SINGLE = ("ipv4/igmp_link_local_mcast_reports", "ipv4/ip_forward", "ipv4/ip_nonlocal_bind")


def view(namespace: str) -> list[str]:
    """All lines of one namespace."""
    return [*_tables(namespace), *_ruleset(namespace), *_parameters(namespace)]


def differences(real: list[str], ours: list[str]) -> list[str]:
    """`- line` for what stands in `real` only, `+ line` for `ours`; `~ kind` where only the order differs."""
    missing, extra = _without(real, ours), _without(ours, real)
    kinds = {line.split(" ", 1)[0] for line in (*missing, *extra)}
    found = [f"- {line}" for line in missing] + [f"+ {line}" for line in extra]
    for kind in sorted({line.split(" ", 1)[0] for line in real} - kinds):
        orders = [[line for line in lines if line.startswith(f"{kind} ")] for lines in (real, ours)]
        if orders[0] != orders[1]:
            found.append(f"~ {kind}")
    return found


def _without(lines: list[str], others: list[str]) -> list[str]:
    left, found = list(others), []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            found.append(line)
    return found


def _tables(namespace: str) -> Iterator[str]:
    links, addresses, groups = _ip(namespace, (), "link show", "addr show", "maddr show")
    for link in links:
        yield f"link {_words(link)}"
    for link in addresses:
        for address in link["addr_info"]:
            yield f"addr {link['ifname']} {_words(address)}"
    for family in ("-4", "-6"):
        routes, rules = _ip(namespace, (family,), "route show table all", "rule show")
        yield from (f"route{family} {_words(route)}" for route in routes)
        yield from (f"rule{family} {_words(rule)}" for rule in rules)
    for link in groups:
        for group in sorted(link.get("maddr", ()), key=str):
            yield f"group {link['ifname']} {_words(group)}"


def _ip(namespace: str, family: tuple[str, ...], *looks: str) -> Iterator[list[dict[str, Any]]]:
    """What each of `looks` shows; one process for all of them."""
    lines = "".join(f"{look}\n" for look in looks)
    shown = run("ip", "-n", namespace, "-d", "-j", *family, "-batch", "-", text_in=lines).strip()
    decoder = json.JSONDecoder()
    for _ in looks:
        found, end = decoder.raw_decode(shown)
        shown = shown[end:].lstrip()
        yield [one for one in found if one]


def _words(fields: dict[str, Any]) -> str:
    return " ".join(f"{key}={_value(key, value)}" for key, value in fields.items() if key not in _NUMBERS)


def _value(key: str, value: object) -> str:
    if isinstance(value, dict):
        return f"({_words(value)})"
    if isinstance(value, list):
        return f"[{' '.join(_value(key, one) for one in value)}]"
    if key in _RUNNING and isinstance(value, int) and value != _FOREVER:
        return str(math.ceil(value / _STEP_S) * _STEP_S)
    return str(value)


def _ruleset(namespace: str) -> Iterator[str]:
    with inside(namespace):
        text = run("nft", "list", "ruleset")
    table = chain = ""
    text = re.sub(r",\n\s+", ", ", re.sub(r"packets \d+ bytes \d+", "packets bytes", text))
    for line in text.splitlines():
        words = " ".join(line.split())
        if line.startswith("table"):
            table, chain = words.removesuffix(" {"), ""
        elif words.startswith(("chain", "set", "map")):
            chain = words.removesuffix(" {")
        if words not in ("", "}"):
            yield f"nft {table}: {chain}: {words}"


def _parameters(namespace: str) -> list[str]:
    root = Path("/proc/sys/net")
    found = []
    with inside(namespace):
        files = [file for family in ("ipv4", "ipv6") for file in (root / family / "conf").glob("*/*")]
        for file in sorted([*files, *(root / one for one in _SINGLE)]):
            if file.name not in _LEFT_OUT:
                found.append(f"sysctl {file.relative_to(root)}={file.read_text().strip()}")
    return found
