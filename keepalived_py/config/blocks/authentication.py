"""`authentication` (VRRP version 2) and `auth_hmac` (keepalived 2.4) of an instance."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.vrrp import AntiReplay, AuthHmac, AuthType, HmacKey, HmacMode, Instance

PASSWORD_BYTES = 8
KEY_BYTES = range(32, 65)
KEY_FILE_BYTES = 2 * max(KEY_BYTES) + 12
SINCE = "2.4.0"
_TEXT_KEY = lazy_pattern(r"(?!hex:|file:)[!-~]+\Z")


# VRRP version 2 --------------------------------------------------------------


def _password(run: Run, target: Any, at: Directive) -> object:
    found = at.words[1].encode(errors="surrogateescape")
    if len(found) > PASSWORD_BYTES:
        run.error(
            f"Truncating auth_pass to {PASSWORD_BYTES} characters",
            at,
            word=1,
            code="auth-pass-too-long",
            expected=f"at most {PASSWORD_BYTES} characters",
        )
    return found[:PASSWORD_BYTES].ljust(PASSWORD_BYTES, b"\0")


def _show_password(data: bytes) -> Iterable[str]:
    text = data.rstrip(b"\0").decode(errors="surrogateescape")
    return (values.quoted(text),) if text else ()


_TYPES = {"PASS": AuthType.PASS, "AH": AuthType.AH}
AUTHENTICATION: Block[Any] = block(
    "vrrp_instance/authentication",
    [
        values.choice(
            "auth_type",
            "auth_type",
            _TYPES,
            "({name}) unknown authentication type '{word}'",
            help="password in the clear, or an IPsec authentication header",
        ),
        values.converted(
            "auth_pass",
            "auth_data",
            _password,
            f"<STRING max {PASSWORD_BYTES}>",
            show=_show_password,
            help="the password that all routers of this id share",
            schema={"type": "string", "maxLength": PASSWORD_BYTES},
            secret=True,
        ),
    ],
    record=Instance,
)


# The signed trailer of 2.4 ---------------------------------------------------


def _complain(run: Run, target: Any, at: Directive, text: str, word: int = 1, expected: str = "") -> None:
    run.error(f"({target.name}) auth_hmac {text}", at, word=word, expected=expected)


def _key(run: Run, target: Draft[AuthHmac], at: Directive) -> None:
    if len(at.words) < 3:
        _complain(run, target, at, "key needs an id and a value", 0, "key ID TEXT|hex:HEX|file:PATH")
        return
    word = at.words[1]
    number = values.integer(run, at, word, 1, 255)
    if number is None:
        _complain(run, target, at, f"key id '{word}' must be between 1 and 255")
        return
    text = at.words[2]
    file = text[5:] if text.startswith("file:") else None
    value = _decode(text) if file is None else _from_file(run, target, at, file)
    length = 0 if value is None else len(value)
    if value is None or length not in KEY_BYTES:
        limits = f"[{min(KEY_BYTES)}, {max(KEY_BYTES)}]"
        _complain(run, target, at, f"key {number} length {length} not in range {limits}", 2, "32 to 64 bytes")
    elif any(one.id == number for one in target.keys or ()):
        run.error(f"({target.name}) duplicate auth_hmac key id {number}", at, word=1, code="duplicate")
    else:
        target.keys = (*(target.keys or ()), HmacKey(number, value, file))
        target.given["keys"] = at


def _decode(text: str) -> bytes | None:
    """A key as it is written: text, or hexadecimal digits after `hex:`."""
    if not text.startswith("hex:"):
        return text.encode(errors="surrogateescape")
    try:
        return bytes.fromhex(text[4:])
    except ValueError:
        return None


def _from_file(run: Run, target: Any, at: Directive, path: str) -> bytes | None:
    """The key in a file, which only its owner may read."""
    try:
        with open(path, "rb", opener=_no_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(KEY_FILE_BYTES + 1)
    except (OSError, ValueError):
        _complain(run, target, at, f"key file '{path}' cannot be opened", 2)
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        run.error(
            f"({target.name}) auth_hmac key file '{path}' is readable by group or others",
            at,
            word=2,
            code="readable-secret",
            error_class=ErrorClass.SCRIPT_SECURITY,
            expected="mode 0600",
        )
    if len(content) > KEY_FILE_BYTES:
        _complain(run, target, at, f"key file '{path}' is too large", 2)
        return None
    return _decode(content.rstrip(b"\r\n").decode(errors="surrogateescape"))


def _no_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _show_keys(keys: tuple[HmacKey, ...]) -> Iterable[str]:
    return tuple(f"{key.id} {_key_text(key)}" for key in keys)


def _key_text(key: HmacKey) -> str:
    if key.file is not None:
        return f"file:{key.file}"
    text = key.value.decode("latin-1")
    return text if _TEXT_KEY.match(text) and values.quoted(text) == text else f"hex:{key.value.hex()}"


def _prefixed(message: str) -> str:
    return "({name}) auth_hmac " + message


AUTH_HMAC: Block[Any] = block(
    "vrrp_instance/auth_hmac",
    [
        Keyword(
            "key",
            _key,
            "<ID 1..255> <TEXT>|hex:<HEX>|file:<PATH>",
            help="a signing key of 32 to 64 bytes",
            attribute="keys",
            show=_show_keys,
            schema={"type": "array", "items": {"type": "string"}},
            since=SINCE,
            secret=True,
        ),
        values.number(
            "active_key",
            "active_key",
            1,
            255,
            _prefixed("active_key '{word}' must be between 1 and 255"),
            default="0",
            help="id of the key that signs what is sent",
            since=SINCE,
        ),
        values.number(
            "time_window",
            "time_window_s",
            1,
            300,
            _prefixed("time_window '{word}' must be between 1 and 300 seconds"),
            default="3 advert intervals, at least 5",
            unit="s",
            help="how far the clocks may differ",
            since=SINCE,
            inherited=True,
        ),
        values.choice(
            "anti_replay",
            "anti_replay",
            {one.value: one for one in AntiReplay},
            _prefixed("anti_replay '{word}' must be time or monotonic"),
            default="time",
            help="whether a repeated advert is known by its time or by its number alone",
            since=SINCE,
        ),
        values.choice(
            "mode",
            "mode",
            {one.value: one for one in HmacMode},
            _prefixed("mode '{word}' must be enforce, permissive or receive-only"),
            default="enforce",
            help="what happens to adverts without a signature",
            since=SINCE,
        ),
    ],
    record=AuthHmac,
)


def _open_hmac(run: Run, target: Draft[Instance], at: Directive) -> Draft[AuthHmac]:
    draft: Draft[AuthHmac] | None = target.auth_hmac
    if draft is None:
        draft = target.auth_hmac = Draft(AuthHmac, at, name=target.name)
        target.given["auth_hmac"] = at
    return draft


KEYWORDS: tuple[Keyword[Any], ...] = (
    Keyword(
        "authentication",
        arguments="{ ... }",
        help="password of VRRP version 2",
        block=AUTHENTICATION,
        attribute=".",
    ),
    Keyword(
        "auth_hmac",
        arguments="{ ... }",
        help="signature on every advert, in place of authentication",
        block=AUTH_HMAC,
        open=_open_hmac,
        attribute="auth_hmac",
        since=SINCE,
    ),
)
