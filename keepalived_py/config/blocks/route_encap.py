"""`encap` and `nexthop` of a route: lightweight tunnels, and several ways for one destination.

Words, texts and what is skipped after a mistake are as in keepalived 2.2.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from keepalived_py.config.blocks.kernel_names import BLANKS, named_number, realms, strtoul, unsigned
from keepalived_py.config.blocks.line_options import FAMILIES, Dropped, Line, option, table_of
from keepalived_py.config.blocks.values import quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Keyword, Run
from keepalived_py.model.network import (
    Encapsulation,
    IlaEncapsulation,
    IpEncapsulation,
    MplsEncapsulation,
    NextHop,
)

MAX_LABELS = 2
LARGEST_LABEL = 0xFFFFF
LARGEST_WEIGHT = 256
LARGEST_ID = 2**64 - 1
LOCATOR_GROUPS = 4
NO_INTERFACE = "WARNING - interface {word} for VROUTE nexthop doesn't exist"


def read_encap(run: Run, line: Line[Any], at: Directive) -> None:
    """`encap TYPE ...`, into the line's draft; a mistake in it does not cost the route."""
    line.position += 1
    if line.position >= len(line.words):
        line.error("Missing encap type", "missing-value", "ip, ip6, mpls or ila")
        return
    kind = line.word()
    found = ENCAPSULATIONS.get(kind)
    line.position += 1
    if found is None or found.read is None:  # keepalived skips one word more
        run.error(
            f"Unknown encap type - {kind}",
            at,
            word=line.position - 1,
            code="unknown-option",
            expected="ip, ip6, mpls or ila",
        )
        return
    found.read(run, line, at)
    line.position -= 1


def _mpls(run: Run, line: Line[Any], at: Directive) -> None:
    if line.position >= len(line.words):
        line.error("missing address for MPLS encapsulation", "missing-value")
        return
    word = line.word()
    labels = _labels(word)
    if labels is None:
        line.error(f"invalid mpls address {word} for encapsulation", expected="LABEL or LABEL/LABEL")
    else:
        line.draft.encapsulation = MplsEncapsulation(labels)
    line.position += 1


def _labels(word: str) -> tuple[int, ...] | None:
    labels = []
    for text in word.lstrip(BLANKS).split("/"):
        value, rest, _ = strtoul(text, 0)
        if not text or text[0] in "-" + BLANKS or rest or value > LARGEST_LABEL:
            return None
        labels.append(value)
    return tuple(labels) if len(labels) <= MAX_LABELS else None


def _ila(run: Run, line: Line[Any], at: Directive) -> None:
    if line.position >= len(line.words):
        line.error("missing locator for ILA encapsulation", "missing-value")
        return
    word = line.word()
    locator = _locator(word)
    if locator is None:
        line.error(f"invalid locator {word} for ila encapsulation", expected="four hexadecimal groups")
    else:
        line.draft.encapsulation = IlaEncapsulation(locator)
    line.position += 1


def _locator(word: str) -> int | None:
    groups = word.lstrip(BLANKS).split(":")
    value = 0
    for text in groups:
        number, rest, _ = strtoul(text, 16)
        if text[:1] not in set("0123456789abcdefABCDEF") or not text or rest or number > 0xFFFF:
            return None
        value = value << 16 | number
    return value if len(groups) == LOCATOR_GROUPS else None


class _Tunnel:
    """An `encap ip` or `encap ip6` being read: its values, and the messages of its version."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.values: dict[str, Any] = {}


_TunnelReader = Callable[[Run, Line[Any], _Tunnel, str], bool]


def _tunnel(version: int) -> Callable[[Run, Line[Any], Directive], None]:
    """The reader of `ip` or `ip6`: pairs of words, up to the first that is no option of it."""

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        tunnel = _Tunnel(version)
        readers = _TUNNEL_READERS[version]
        words = line.words
        while line.position + 1 < len(words) and words[line.position] in readers:
            if not readers[words[line.position]](run, line, tunnel, words[line.position + 1]):
                return
            line.position += 2
        found = tunnel.values
        if "destination" not in found and "tunnel_id" not in found:
            name = "ip" if version == 4 else "ip6"
            line.error(f"address or id missing for {name} encapsulation", "missing-value", "id or dst")
            return
        line.draft.encapsulation = IpEncapsulation(version, **found)

    return read


def _number(attribute: str, high: int, messages: dict[int, str], bits: int = 32) -> _TunnelReader:
    def read(run: Run, line: Line[Any], tunnel: _Tunnel, word: str) -> bool:
        value = unsigned(run, line.at, line.position + 1, word, high, bits=bits)
        if value is None:
            return _fault(run, line, messages[tunnel.version].format(word))
        tunnel.values[attribute] = value
        return True

    return read


def _address(attribute: str, keyword: str) -> _TunnelReader:
    def read(run: Run, line: Line[Any], tunnel: _Tunnel, word: str) -> bool:
        name = "ip" if tunnel.version == 4 else "ip6"
        line.position += 1
        found = line.address()
        line.position -= 1
        if found is None:
            return _fault(run, line, f"Invalid encap {name} {keyword} {word}")
        if found.version != tunnel.version:
            return _fault(run, line, f"IPv{found.version} address {word} not valid for {name} encapsulation")
        tunnel.values[attribute] = found
        return True

    return read


def _dsfield(run: Run, line: Line[Any], tunnel: _Tunnel, word: str) -> bool:
    value = named_number(run.host, "rt_dsfield", word)
    if value is None and tunnel.version == 4:
        return _fault(run, line, f"dsfield {word} not valid for ip encapsulation")
    if value is None:
        return _fault(run, line, "tc value tc is invalid for ip6 encapsulation")
    tunnel.values["tos"] = value
    return True


def _fault(run: Run, line: Line[Any], message: str) -> bool:
    run.error(message, line.at, word=line.position + 1)
    return False


_ID = _number(
    "tunnel_id",
    LARGEST_ID,
    {4: "encap id {} value is invalid", 6: "id {} value invalid for IPv6 encapsulation"},
    bits=64,
)
_FLAGS = _number(
    "flags",
    0xFFFF,
    {4: "flags {} is not valid for ip encapsulation", 6: "flags {} is not valid for ip6 encapsulation"},
)
_TTL = _number(
    "ttl",
    255,
    {
        4: "ttl {} is not valid for ip encapsulation",
        6: "Invalid hoplimit {} specified for ip6 encapsulation",
    },
)
_ADDRESSES: dict[str, _TunnelReader] = {
    "id": _ID,
    "dst": _address("destination", "dst"),
    "src": _address("source", "src"),
    "flags": _FLAGS,
}
_TUNNEL_READERS: dict[int, dict[str, _TunnelReader]] = {
    4: {**_ADDRESSES, "tos": _dsfield, "ttl": _TTL},
    6: {**_ADDRESSES, "tc": _dsfield, "hoplimit": _TTL},
}


def _part(name: str, arguments: str, help: str) -> Keyword[Any]:
    """A word behind the type of an encapsulation; the type's reader reads it."""
    return Keyword(name, arguments=arguments, help=help)


ENCAPSULATIONS = table_of(
    [
        option(
            "ip",
            _tunnel(4),
            "[id <INT>] [dst <IPV4>] ...",
            "tunnel over IPv4; id or dst is needed",
            options=(
                _part("id", "<INT 0..18446744073709551615>", "key of the tunnel"),
                _part("dst", "<IPV4>", "far end of the tunnel"),
                _part("src", "<IPV4>", "near end of the tunnel"),
                _part("tos", "<NAME>|<INT 0..255>", "type of service of the tunnel's packets"),
                _part("ttl", "<INT 0..255>", "time to live of the tunnel's packets"),
                _part("flags", "<INT 0..65535>", "flags of the tunnel"),
            ),
        ),
        option(
            "ip6",
            _tunnel(6),
            "[id <INT>] [dst <IPV6>] ...",
            "tunnel over IPv6; id or dst is needed",
            options=(
                _part("id", "<INT 0..18446744073709551615>", "key of the tunnel"),
                _part("dst", "<IPV6>", "far end of the tunnel"),
                _part("src", "<IPV6>", "near end of the tunnel"),
                _part("tc", "<NAME>|<INT 0..255>", "traffic class of the tunnel's packets"),
                _part("hoplimit", "<INT 0..255>", "hop limit of the tunnel's packets"),
                _part("flags", "<INT 0..65535>", "flags of the tunnel"),
            ),
        ),
        option(
            "mpls",
            _mpls,
            "<LABEL>[/<LABEL>]",
            "MPLS labels",
            options=(
                _part("<LABEL>[/<LABEL>...]", "", "one or two labels, each 0..1048575, the outer one first"),
            ),
        ),
        option(
            "ila",
            _ila,
            "<LOCATOR>",
            "identifier-locator addressing",
            options=(_part("<LOCATOR>", "", "the upper half of an IPv6 address: four hexadecimal groups"),),
        ),
    ]
)


# Next hops -------------------------------------------------------------------


def read_next_hops(line: Line[Any]) -> None:
    """All `nexthop`s to the end of the line; one with a mistake ends the reading, those before it stay."""
    outer = line.draft
    line.ended = True
    try:
        while line.position < len(line.words) and line.word() == "nexthop":
            line.position += 1
            hop: Draft[NextHop] = Draft(NextHop, line.at)
            line.draft = hop
            _read_hop(line)
            outer.add("next_hops", hop)
    except _HopRefused:
        line.position = len(line.words)
    finally:
        line.draft = outer
    if line.position < len(line.words):
        line.error(f"Route has trailing nonsense after nexthops - {line.word()}", "unknown-option")
        line.position = len(line.words)


class _HopRefused(Exception):
    """The hop cannot be used; the route can."""


def _read_hop(line: Line[Any]) -> None:
    while line.position < len(line.words):
        found = HOP_OPTIONS.get(line.word())
        if found is None or found.read is None:
            return
        try:
            found.read(line.run, line, line.at)
        except Dropped:
            if line.run.stopped:
                raise
            raise _HopRefused from None
        line.position += 1


def _via(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    if word in FAMILIES:
        family = FAMILIES[word]
        word = line.argument()
        line.agree(family, "IPv4/6 mismatch for nexthop")
    found = line.address()
    if found is None:
        line.drop(f"invalid nexthop address {word}", "invalid-address")
    line.agree(found.version, "Address family mismatch for next hop")
    line.draft.gateway = found


def _hop_dev(run: Run, line: Line[Any], at: Directive) -> None:
    line.draft.interface = line.interface(NO_INTERFACE)


def _weight(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    value = line.number(LARGEST_WEIGHT)
    if not value:
        line.drop(f"Invalid weight {word if value is None else 0} specified for route", expected="1 to 256")
    line.draft.weight = value


def _hop_onlink(run: Run, line: Line[Any], at: Directive) -> None:
    line.draft.onlink = True


def _hop_realms(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = realms(run.host, word)
    if found is None:
        line.drop(f"Invalid realms {word} for route", "unknown-name")
    line.agree(4, "realms are only supported for IPv4")
    line.draft.realms = found


def _hop_as(run: Run, line: Line[Any], at: Directive) -> None:
    if line.argument() == "to":
        line.position += 1
    line.drop("'as [to]' (nat) not supported", "not-supported")


HOP_OPTIONS = table_of(
    [
        option("via", _via, "[inet|inet6] <IPADDR>", "gateway of this way"),
        option("dev", _hop_dev, "<IF>", "interface of this way"),
        option("weight", _weight, "<INT 1..256>", "share of the traffic that goes this way", default="1"),
        option(
            "onlink",
            _hop_onlink,
            "",
            "the gateway is reached directly, whatever the addresses say",
            default="off",
        ),
        option(
            "encap",
            read_encap,
            "ip|ip6|mpls|ila ...",
            "encapsulation of packets that go this way",
            options=tuple(ENCAPSULATIONS.values()),
        ),
        option("realms", _hop_realms, "[<SRC>/]<DST>", "routing realms of this way (IPv4 only)"),
        option(
            "as",
            _hop_as,
            "[to] <ADDR>",
            "address translation; always refused",
            meaningless="keepalived refuses it too",
        ),
    ]
)


# Writing them back -----------------------------------------------------------


def show_encapsulation(found: Encapsulation) -> str:
    """The words from `encap` on."""
    if isinstance(found, MplsEncapsulation):
        return "encap mpls " + "/".join(map(str, found.labels))
    if isinstance(found, IlaEncapsulation):
        groups = (f"{found.locator >> shift & 0xFFFF:x}" for shift in (48, 32, 16, 0))
        return "encap ila " + ":".join(groups)
    names = ("ip", "tos", "ttl") if found.version == 4 else ("ip6", "tc", "hoplimit")
    parts = (
        ("id", found.tunnel_id),
        ("dst", found.destination),
        ("src", found.source),
        (names[1], found.tos),
        (names[2], found.ttl),
        ("flags", found.flags),
    )
    return " ".join([f"encap {names[0]}", *(f"{name} {value}" for name, value in parts if value is not None)])


def hop_words(hop: NextHop) -> Iterator[str]:
    """The words from `nexthop` on."""
    yield "nexthop"
    if hop.gateway is not None:
        yield f"via {hop.gateway}"
    if hop.interface is not None:
        yield f"dev {quoted(hop.interface)}"
    if hop.weight != 1:
        yield f"weight {hop.weight}"
    if hop.onlink:
        yield "onlink"
    if hop.encapsulation is not None:
        yield show_encapsulation(hop.encapsulation)
    if hop.realms is not None:
        yield f"realms {hop.realms}"
