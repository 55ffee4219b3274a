"""Where an instance's adverts go and come from: sources, multicast group, unicast peers."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from keepalived_py.config.blocks import lists, values
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run
from keepalived_py.model.vrrp import Instance, UnicastChecksum, UnicastPeer

ADDRESS = {"type": "string"}
MOST_HOPS = 255


def _source(run: Run, target: Draft[Instance], at: Directive) -> object:
    word = at.words[1]
    if at.keyword == "unicast_src_ip":
        target.unicast_keyword = True
    found = _connection(word)
    title = f"Configuration error: VRRP instance[{target.name}]"
    if found is None:
        run.error(
            f"{title} malformed src address[{word}]. Skipping...",
            at,
            word=1,
            code="invalid-address",
            expected="an IPv4 or IPv6 address",
        )
    elif target.family not in (None, found.version):
        run.error(
            f"{title} and src address[{word}] MUST be of the same family !!! Skipping...",
            at,
            word=1,
            code="mixed-families",
            expected=f"an IPv{target.family} address",
        )
    else:
        target.family = found.version
    return found if found is not None and target.family == found.version else None


def _connection(word: str) -> Any:
    return None if "%" in word else values.connection_address(word)


def _destination(run: Run, target: Draft[Instance], at: Directive) -> object:
    word, name = at.words[1], target.name
    found = _connection(word)
    if found is None:
        run.error(
            f"({name}) malformed mcast dest address {word}. Skipping...",
            at,
            word=1,
            code="invalid-address",
            expected="a multicast address",
        )
        return None
    if target.family is None:
        target.family = found.version
    elif target.family != found.version:
        run.error(
            f"({name}) mcast dest address {word} MUST match VRRP instance family. Skipping...",
            at,
            word=1,
            code="mixed-families",
            expected=f"an IPv{target.family} address",
        )
        return None
    if not _is_group(found):
        kind = "" if found.version == 4 else " link-local"
        run.error(
            f"({name}) mcast_dst_ip {word} not{kind} multicast. Skipping...",
            at,
            word=1,
            code="not-multicast",
            expected="224.0.0.0/4" if found.version == 4 else "ff02::/16",
        )
        return None
    return found


def _is_group(found: Any) -> bool:
    if isinstance(found, IPv4Address):
        return found.is_multicast
    return bool(found.packed[0] == 0xFF and found.packed[1] & 0x0F == 2)


def _unicast_flag(run: Run, target: Draft[Instance], at: Directive) -> object:
    target.unicast_keyword = True
    return True


def _checksum(run: Run, target: Draft[Instance], at: Directive) -> object:
    target.unicast_keyword = True
    if len(at.words) < 2:
        return UnicastChecksum.OLD
    if at.words[1] == "never":
        return UnicastChecksum.NEVER
    run.error(
        f"({target.name}) Unknown old_unicast_chksum mode {at.words[1]} - ignoring",
        at,
        word=1,
        expected="never, or nothing",
    )
    return FAILED


def _show_checksum(found: UnicastChecksum) -> Iterable[str]:
    return {UnicastChecksum.AUTO: (), UnicastChecksum.OLD: ("",), UnicastChecksum.NEVER: ("never",)}[found]


# Peers -----------------------------------------------------------------------


def _peers_opened(run: Run, target: Draft[Instance], at: Directive) -> Draft[Instance]:
    target.unicast_keyword = True
    lists.opened(run, target, at)
    return target


def _peer(run: Run, target: Draft[Instance], at: Directive) -> None:
    word = at.words[0]
    found = _connection(word)
    title = f"Configuration error: VRRP instance[{target.name}]"
    if found is None:
        run.error(
            f"{title} malformed unicast peer address[{word}]. Skipping...",
            at,
            word=0,
            code="invalid-address",
            expected="an IPv4 or IPv6 address",
        )
        return
    if target.family not in (None, found.version):
        run.error(
            f"{title} and unicast peer address[{word}] MUST be of the same family !!! Skipping...",
            at,
            word=0,
            code="mixed-families",
            expected=f"an IPv{target.family} address",
        )
        return
    target.family = found.version
    target.add("unicast_peers", UnicastPeer(found, *_hop_limits(run, target, at)), at)


def _hop_limits(run: Run, target: Draft[Instance], at: Directive) -> tuple[int, int]:
    """The limits behind a peer; with any of them the source of adverts is checked."""
    limits, words = {"min_ttl": 0, "max_ttl": MOST_HOPS}, at.words
    for position in range(1, len(words), 2):
        name = words[position]
        if position + 1 >= len(words):
            run.error(f"({target.name}) {name} is missing a value", at, word=position, code="missing-value")
            break
        value = integer(run, at, words[position + 1], 0, MOST_HOPS)
        if value is None:
            continue
        if name not in limits:
            run.error(
                f"({target.name}) unknown unicast_peer option {name}",
                at,
                word=position,
                code="unknown-option",
                expected="min_ttl or max_ttl",
            )
            break
        limits[name] = value
        target.check_unicast_source = True
    least, most = limits.values()
    if least > most:
        run.error(
            f"({target.name}) min_ttl {least} > max_ttl {most} - all packets will be discarded",
            at,
            code="impossible-ttl",
        )
    return least, most


def _show_peer(peer: UnicastPeer) -> str:
    words = [str(peer.address)]
    if peer.min_ttl:
        words.append(f"min_ttl {peer.min_ttl}")
    if peer.max_ttl != MOST_HOPS:
        words.append(f"max_ttl {peer.max_ttl}")
    return " ".join(words)


def _limit(name: str, attribute: str, default: str, help: str) -> Keyword[Any]:
    return Keyword(
        name,
        arguments="<INT 0..255>",
        default=default,
        help=help,
        attribute=attribute,
        schema={"type": "integer", "minimum": 0, "maximum": MOST_HOPS},
    )


_PEERS: Block[Any] = Block(
    "unicast_peer",
    {
        one.name: one
        for one in (
            _limit("min_ttl", "min_ttl", "0", "lowest TTL that is accepted; turns on check_unicast_src"),
            _limit("max_ttl", "max_ttl", "255", "highest TTL that is accepted; turns on check_unicast_src"),
        )
    },
    entry=_peer,
    record=UnicastPeer,
    show_entry=_show_peer,
    entry_help="<IPADDR> [min_ttl <INT>] [max_ttl <INT>]: the address of a peer, and which TTLs count",
)

KEYWORDS: tuple[Keyword[Any], ...] = (
    values.converted(
        "mcast_src_ip",
        "source",
        _source,
        "<IPADDR>",
        default="the interface's first address",
        help="source address of adverts",
        schema=ADDRESS,
        pure=False,
    ),
    values.converted(
        "unicast_src_ip",
        "source",
        _source,
        "<IPADDR>",
        default="the interface's first address",
        help="source address of adverts to unicast peers",
        show=lambda found: (),
        schema=ADDRESS,
        pure=False,
        alias="mcast_src_ip",
    ),
    values.converted(
        "mcast_dst_ip",
        "multicast_destination",
        _destination,
        "<MULTICAST ADDR>",
        default="vrrp_mcast_group4 or vrrp_mcast_group6",
        help="group that adverts are sent to",
        schema=ADDRESS,
        pure=False,
    ),
    Keyword(
        "unicast_peer",
        arguments="{ <ADDR> [min_ttl <INT>] [max_ttl <INT>] ... }",
        default="multicast",
        help="peers that get adverts of their own, in place of multicast",
        block=_PEERS,
        open=_peers_opened,
        attribute="unicast_peers",
    ),
    values.converted(
        "unicast_fault_no_peer",
        "unicast_fault_no_peer",
        _unicast_flag,
        "",
        default="off",
        required=False,
        help="without peers it is in FAULT, and does not fall back to multicast",
        show=lambda found: ("",) if found else (),
        schema={"type": "boolean"},
        pure=False,
    ),
    values.converted(
        "check_unicast_src",
        "check_unicast_source",
        _unicast_flag,
        "",
        default="the global value",
        required=False,
        help="only adverts of the peers are accepted",
        show=lambda found: ("",) if found else (),
        schema={"type": "boolean"},
        pure=False,
        inherited=True,
    ),
    values.number(
        "unicast_ttl",
        "unicast_ttl",
        0,
        MOST_HOPS,
        "({name}): TTL '{word}' not valid - must be between 0 & 255",
        default="255",
        help="TTL of adverts to unicast peers",
    ),
    values.converted(
        "old_unicast_checksum",
        "unicast_checksum",
        _checksum,
        "[never]",
        default="auto",
        required=False,
        help="the checksum that keepalived before 1.3.7 put into version 3 unicast adverts",
        show=_show_checksum,
        schema={"enum": [one.value for one in UnicastChecksum]},
        pure=False,
        options=(Keyword("never", help="do not even accept it"),),
    ),
)
