"""`lvs_method`: how packets get to a server, with the options of a tunnel.

When an option is wrong keepalived keeps the kind of forwarding and leaves the
tunnel as it was; so is it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keepalived_py.base.record import Struct, replace
from keepalived_py.config.blocks.server_address import MAX_PORT
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.model.virtual_server import Forwarding, ForwardingMethod, TunnelChecksum, TunnelType

ARGUMENTS = "NAT|DR|TUN [type ipip|gue|gre] [port <INT 1..65535>] [nocsum|csum|remcsum]"
METHODS = {one.value: one for one in Forwarding}
TUNNELS = {one.value: one for one in TunnelType}
CHECKSUMS = {one.value: one for one in TunnelChecksum}


def _option(name: str, help: str, arguments: str = "", **more: Any) -> Keyword[Any]:
    return Keyword(name, None, arguments, help=help, **more)


OPTIONS: tuple[Keyword[Any], ...] = (
    _option("NAT", "rewrite the addresses; replies come back through this machine"),
    _option("DR", "hand the packet over on the common link; the server replies by itself"),
    _option("TUN", "send the packet through a tunnel; the server replies by itself", "[<OPTION> ...]"),
    _option("type", "kind of the tunnel", "ipip|gue|gre", default="ipip"),
    _option("ipip", "tunnel type: IP in IP"),
    _option("gue", "tunnel type: UDP encapsulation, which needs a port"),
    _option("gre", "tunnel type: generic routing encapsulation"),
    _option("port", "UDP port of a gue tunnel", "<INT 1..65535>"),
    _option("nocsum", "no checksum in the tunnel's header", default="on"),
    _option("csum", "checksum in the tunnel's header (gue and gre)"),
    _option("remcsum", "checksum left to the far end of the tunnel (gue)"),
)


class _Tunnel(Struct):
    """The options read so far."""

    tunnel: TunnelType = TunnelType.IPIP
    port: int = 0
    checksum: TunnelChecksum = TunnelChecksum.NONE


def read_method(run: Run, at: Directive, who: str, before: ForwardingMethod | None) -> Any:
    """The method of a "virtual", "real" or "sorry" server; FAILED (reported) if it is not known."""
    word = at.words[1]
    forwarding = METHODS.get(word)
    if forwarding is None:
        run.error(
            f"PARSER : unknown [{word}] routing method for {who} server.",
            at,
            word=1,
            code="unknown-lvs-method",
            expected="NAT, DR or TUN",
        )
        return FAILED
    if len(at.words) == 2:
        return ForwardingMethod(forwarding)
    options = _Tunnel()
    if all(_read_option(run, at, who, options, at.words, i) for i in _positions(at.words)) and _fits(
        run, at, options
    ):
        return ForwardingMethod(forwarding, options.tunnel, options.port, options.checksum)
    return replace(before or ForwardingMethod(), forwarding=forwarding)


def _positions(words: tuple[str, ...]) -> Iterator[int]:
    """Where options start: `type` and `port` take the next word with them."""
    i = 2
    while i < len(words):
        yield i
        i += 2 if words[i] in ("type", "port") else 1


def _read_option(run: Run, at: Directive, who: str, options: _Tunnel, words: tuple[str, ...], i: int) -> bool:
    name = words[i]
    if name in CHECKSUMS:
        options.checksum = CHECKSUMS[name]
        return True
    if name not in ("type", "port"):
        expected = "type, port, nocsum, csum or remcsum"
        return _wrong(run, at, i, f"Invalid tunnel option {name} for {who} server.", expected)
    if len(words) == i + 1:
        what = (
            f"Missing tunnel type for {who} server."
            if name == "type"
            else f"Missing port for {who} server gue tunnel."
        )
        return _wrong(run, at, i, what)
    value = words[i + 1]
    if name == "port":
        port = integer(run, at, value, 1, MAX_PORT)
        options.port = port or 0
        return port is not None or _wrong(
            run, at, i + 1, f"Invalid gue tunnel port {value} for {who} server."
        )
    if value not in TUNNELS:
        return _wrong(run, at, i + 1, f"Unknown tunnel type {value} for {who} server.", "ipip, gue or gre")
    options.tunnel = TUNNELS[value]
    return True


def _fits(run: Run, at: Directive, options: _Tunnel) -> bool:
    """Whether the options of a tunnel go together."""
    if (options.tunnel is TunnelType.GUE) != (options.port != 0):
        return _wrong(run, at, 2, "gue tunnels require port, otherwise cannot have port.")
    if options.tunnel is TunnelType.IPIP and options.checksum is not TunnelChecksum.NONE:
        return _wrong(run, at, 2, "ipip tunnels do not support checksum option.")
    if options.tunnel is TunnelType.GRE and options.checksum is TunnelChecksum.REMOTE:
        return _wrong(run, at, 2, "gre tunnels do not support remote checksum option.")
    return True


def _wrong(run: Run, at: Directive, word: int, message: str, expected: str = "") -> bool:
    run.error(message, at, word=word, code="invalid-tunnel", expected=expected)
    return False


def show_method(found: ForwardingMethod | None) -> Iterable[str]:
    """The words that write a method."""
    if found is None:
        return ()
    words = [found.forwarding.value]
    if found.tunnel is not TunnelType.IPIP:
        words += ["type", found.tunnel.value]
    if found.port:
        words += ["port", str(found.port)]
    if found.checksum is not TunnelChecksum.NONE:
        words.append(found.checksum.value)
    return (" ".join(words),)


def method(name: str, who: str, help: str, **more: Any) -> Keyword[Any]:
    """The keyword for the method of a "virtual" or "real" server."""

    def convert(run: Run, target: Any, at: Directive) -> Any:
        return read_method(run, at, who, target.method if target.written("method") else None)

    return Keyword(
        name,
        None,
        ARGUMENTS,
        convert=convert,
        attribute="method",
        required=True,
        inherited=True,
        show=show_method,
        schema={"type": "string", "pattern": "^(NAT|DR|TUN)( .*)?$"},
        options=OPTIONS,
        help=help,
        **more,
    )
