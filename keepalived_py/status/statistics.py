"""keepalived's statistics file (`keepalived.stats`), written on SIGUSR2.

The text is the real program's of version 2.2.7, line for line; an instance with
`auth_hmac` has the section that came with it in 2.4 too.  The file is for its
owner only (0600), is written under another name and moved into place, and stands
in $TMPDIR or /tmp.
"""

import os
import tempfile
from collections.abc import Iterable

from keepalived_py.core.vrrp.state import InstanceState

_LINES: tuple[tuple[str, str | None], ...] = (
    ("  Advertisements:", None),
    ("    Received", "advert_rcvd"),
    ("    Sent", "advert_sent"),
    ("  Became master", "become_master"),
    ("  Released master", "release_master"),
    ("  Packet Errors:", None),
    ("    Length", "packet_len_err"),
    ("    TTL", "ip_ttl_err"),
    ("    Invalid Type", "invalid_type_rcvd"),
    ("    Advertisement Interval", "advert_interval_err"),
    ("    Address List", "addr_list_err"),
    ("  Authentication Errors:", None),
    ("    Invalid Type", "invalid_authtype"),
    ("    Type Mismatch", "authtype_mismatch"),
    ("    Failure", "auth_failure"),
)
_EXTENSION: tuple[tuple[str, str | None], ...] = (
    ("  Authentication Extension Errors:", None),
    ("    Missing", "auth_ext_missing"),
    ("    Malformed", "auth_ext_malformed"),
    ("    Unknown Key", "auth_ext_unknown_key"),
    ("    Invalid HMAC", "auth_ext_invalid_hmac"),
    ("    Stale", "auth_ext_stale"),
    ("    Replay", "auth_ext_replay"),
)
_LAST_LINES: tuple[tuple[str, str | None], ...] = (
    ("  Priority Zero:", None),
    ("    Received", "pri_zero_rcvd"),
    ("    Sent", "pri_zero_sent"),
)


def statistics(instances: Iterable[InstanceState]) -> str:
    """The whole file."""
    return "".join(f"VRRP Instance: {state.name}\n{_counted(state)}" for state in instances)


def _counted(state: InstanceState) -> str:
    signed = state.settings.auth_hmac is not None
    lines = (*_LINES, *(_EXTENSION if signed else ()), *_LAST_LINES)
    return "".join(
        f"{label}\n" if field is None else f"{label}: {getattr(state.counters, field)}\n"
        for label, field in lines
    )


def write(name: str, text: str) -> str:
    """Write `text` as `name` where keepalived writes its dumps; the path.  Raises OSError."""
    directory = os.environ.get("TMPDIR", "/tmp")
    path = os.path.join(directory, name)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    return path
