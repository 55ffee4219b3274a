"""`UDP_CHECK`: a datagram is not refused, or is answered as expected."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CONNECTION, CheckDraft, reachable, timing
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.model.checks import HexPattern, UdpCheck

HEX = "0123456789abcdefABCDEF"
WILD = "xX"
LONGEST = 65535
EXPECTED = "pairs of hexadecimal digits"
LAST = b"\xff"
REFUSED = "keepalived 2.2.7 takes a last byte of ff for a mistake; newer versions accept it"


def read_hex(text: str, wild: bool) -> HexPattern | None:
    """Bytes in hexadecimal; one digit before a blank is a byte of its own.  None if there is anything else.

    With `wild`, the digit `x` stands for any.
    """
    allowed = HEX + WILD if wild else HEX
    data, mask = bytearray(), bytearray()
    rest = text.lstrip(" \t")
    while rest:
        digits, rest = (rest[0], rest[1:]) if rest[1:2] in ("", " ") else (rest[:2], rest[2:])
        if any(digit not in allowed for digit in digits):
            return None
        data.append(int("".join("0" if digit in WILD else digit for digit in digits), 16))
        mask.append(int("".join("f" if digit in WILD else "0" for digit in digits), 16))
        rest = rest.lstrip(" \t")
    return HexPattern(bytes(data), bytes(mask) if any(mask) else b"") if data else None


def _payload(run: Run, check: object, at: Directive) -> bytes | None:
    found = read_hex(" ".join(at.words[1:]), wild=False)
    if found is None or found.data.endswith(LAST):
        run.error(
            "Invalid hex string for UDP_CHECK payload",
            at,
            word=1,
            expected=EXPECTED,
            notes=(REFUSED,) if found is not None else (),
        )
    return found.data if found is not None else None


def _reply(run: Run, check: object, at: Directive) -> HexPattern:
    """A reply is needed even if it is not understood what it must be."""
    if len(at.words) < 2:
        return HexPattern()
    found = read_hex(" ".join(at.words[1:]), wild=True)
    if found is None or found.data.endswith(LAST):
        run.error(
            "Invalid hex string for UDP_CHECK reply",
            at,
            word=1,
            expected=f"{EXPECTED}, x for a digit that may be any",
            notes=(REFUSED,) if found is not None else (),
        )
    return found or HexPattern()


def _show_reply(found: HexPattern | None) -> Iterable[str]:
    if found is None:
        return ()
    mask = found.mask or bytes(len(found.data))
    pairs = zip(found.data.hex(), mask.hex(), strict=True)
    return ("".join("x" if wild == "f" else digit for digit, wild in pairs),)


def _length(name: str, attribute: str, kind: str, default: str, help: str) -> Keyword[CheckDraft]:
    message = f"UDP_CHECK {kind} length {{word}} not valid - must be between 0 & {LONGEST}"
    return values.number(name, attribute, 0, LONGEST, message, default=default, unit="bytes", help=help)


def closed(run: Run, check: CheckDraft, at: Directive) -> None:
    """The end of the block."""
    if not reachable(run, check, at):
        check.drop()
    elif check.min_reply_length > check.max_reply_length:
        run.error(
            f"UDP_CHECK min_reply length {check.min_reply_length} > max_reply_length {check.max_reply_length}"
            " - will always fail",
            closing(at),
            code="contradiction",
        )


BLOCK: Block[CheckDraft] = block(
    "UDP_CHECK",
    [
        *CONNECTION,
        *timing(),
        values.converted(
            "payload",
            "payload",
            _payload,
            "<HEX> [<HEX> ...]",
            default="a fixed text",
            help="the bytes to send",
            required=False,
            missing="UDP_CHECK payload requires a payload",
            show=lambda found: () if found is None else (found.hex(),),
            schema={"type": "string"},
        ),
        values.converted(
            "require_reply",
            "reply",
            _reply,
            "[<HEX> ...]",
            default="off",
            help="an answer is needed, which begins with these bytes; x stands for any digit",
            required=False,
            show=_show_reply,
            schema={"type": "string"},
        ),
        _length("min_reply_length", "min_reply_length", "min", "0", "the shortest answer that is good"),
        _length("max_reply_length", "max_reply_length", "max", "255", "the longest answer that is good"),
    ],
    record=UdpCheck,
    show_header=lambda check: "",
)
