"""Which virtual or real server is meant, in whatever way it is written.

The file says `10.5.0.1 80`, log lines `[10.5.0.1]:tcp:80` and people `10.5.0.1:80`;
marks are `FWM 7`, `fwmark 7` or `7`, groups their name, `group NAME` or `[NAME]:0`.
An address without a port means all of its servers.  If nothing is called so, the
beginning of a name will do.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.core.checks.names import server_name
from keepalived_py.core.checks.pool import Pool
from keepalived_py.model.virtual_server import Protocol, VirtualServer

_PROTOCOLS = {one.value.lower(): one for one in Protocol}
_MARK_WORDS = ("fwm", "fwmark", "mark")
_MOST_CANDIDATES = 10


class Spelled(NamedTuple):
    """An address as somebody wrote it; None: not said."""

    address: Address
    protocol: Protocol | None
    port: int | None


def find_virtuals(text: str, pools: Sequence[Pool]) -> list[int]:
    """The places of the virtual servers that `text` may mean."""
    named = " ".join(text.split())
    exact = [at for at, pool in enumerate(pools) if named in (pool.name, pool.settings.group)]
    if exact:
        return exact
    spelled = parsed(named)
    if spelled is not None:
        found = [at for at, pool in enumerate(pools) if _is_virtual(spelled, pool.settings)]
    else:
        found = [at for at, pool in enumerate(pools) if _is_named(named, pool.settings)]
    return found or _beginning(named, (_virtual_forms(pool) for pool in pools))


def find_servers(text: str, pool: Pool) -> list[int]:
    """The places of the real servers of `pool` that `text` may mean."""
    named = " ".join(text.split())
    spelled = parsed(named)
    servers = [server.settings for server in pool.servers]
    if spelled is not None:
        protocol = pool.settings.protocol
        found = [
            at
            for at, server in enumerate(servers)
            if server.address == spelled.address
            and spelled.port in (None, server.port)
            and spelled.protocol in (None, protocol)
        ]
        if found:
            return found
    forms = (_forms(server_name(pool.settings, one), one.address, one.port) for one in servers)
    return _beginning(named, forms)


def the_one(
    text: str, found: Sequence[int], names: Callable[[int], str], what: str, count: int, where: str = ""
) -> int | str:
    """The only one that was found of `count`, or what is to be said.

    `what` is "virtual server" or "real server", `where` the words behind it.
    """
    if len(found) == 1:
        return found[0]
    if not count:
        return f"There is no {what}{where}"
    listed = found or range(count)
    some = ", ".join(dict.fromkeys(names(at) for at in listed[:_MOST_CANDIDATES]))
    more = f" and {len(listed) - _MOST_CANDIDATES} more" if len(listed) > _MOST_CANDIDATES else ""
    if found:
        return f"{text} may mean {len(found)} {what}s{where}: {some}{more}"
    return f"No {what}{where} is called {text}; there are {some}{more}"


def parsed(text: str) -> Spelled | None:
    """The address, protocol and port that `text` says; None if it begins with no address."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
    else:
        host, _, rest = text.partition(" ")
        if _address(host) is None:
            host, _, more = host.partition(":")
            rest = f"{more} {rest}"
    address = _address(host)
    if address is None:
        return None
    protocol, port = None, None
    for word in rest.replace(":", " ").lower().split():
        if word in _PROTOCOLS:
            protocol = _PROTOCOLS[word]
        elif word.isascii() and word.isdigit() and len(word) < 6 and port is None:
            port = int(word)
        elif word != "none":
            return None
    return Spelled(address, protocol, port)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_virtual(spelled: Spelled, virtual: VirtualServer) -> bool:
    return (
        virtual.address == spelled.address
        and spelled.port in (None, virtual.port)
        and spelled.protocol in (None, virtual.protocol)
    )


def _is_named(text: str, virtual: VirtualServer) -> bool:
    """Whether these words name a mark or a group."""
    words = text.split()
    if virtual.group is not None:
        return words == ["group", virtual.group]
    if virtual.mark is None:
        return False
    if len(words) == 2 and words[0].lower() in _MARK_WORDS:
        words = words[1:]
    return words == [str(virtual.mark)]


def _virtual_forms(pool: Pool) -> tuple[str, ...]:
    virtual = pool.settings
    if virtual.group is not None:
        return (pool.name, virtual.group)
    if virtual.address is None:
        return (pool.name,)
    return _forms(pool.name, virtual.address, virtual.port)


def _forms(name: str, address: Address, port: int) -> tuple[str, ...]:
    host = f"[{address}]" if address.version == 6 else str(address)
    return name, f"{address} {port}", f"{host}:{port}"


def _beginning(text: str, forms: Iterable[tuple[str, ...]]) -> list[int]:
    if not text:
        return []
    return [at for at, each in enumerate(forms) if any(form.startswith(text) for form in each)]
