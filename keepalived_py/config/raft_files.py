"""What a member of a quorum has on its machine (its address, its key, its folders), and what it can send."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import quote

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, LeaseName, MemberId
from keepalived_py.base.record import Record
from keepalived_py.config.host import Host
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.raft import Heartbeat, Standing

NO_KEY = (
    "WARNING - the cluster has no key: its messages are not signed, "
    "and whoever can send from the address of a member can take part"
)
KEY_BYTES = range(32, 1025)
DATA_ROOT = "/var/lib/keepalived-py"
RUN_ROOT = "/run/keepalived-py"


class Fault(Record):
    """What is wrong with a file, and what would be right."""

    code: str
    message: str
    expected: str
    error_class: ErrorClass = ErrorClass.GENERAL


def local_address(host: str) -> Address | None:
    """The address that `host` is, without its interface; None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def reachable(known: tuple[Address, ...]) -> str:
    """The addresses of this machine by which others can reach it; all of them if there are no such."""
    others = [one for one in known if not (one.is_loopback or one.is_link_local)]
    return ", ".join(map(str, others or known)) or "none"


def read_key(path: str, host: Host) -> bytes | Fault:
    """The key in the file `path`, without the line end; b"" where the file is not to be looked at."""
    found = host.secret(path, KEY_BYTES.stop)
    if found is None:
        return b""
    make = f"head -c 32 /dev/urandom > {path}; chmod 600 {path}; the same file on every member"
    if found.fault:
        return Fault("key-file", f"key_file '{path}' cannot be read ({found.fault})", make)
    if not stat.S_ISREG(found.mode):
        return Fault("key-file", f"key_file '{path}' is no plain file", "a file with 32 to 1024 bytes")
    if found.mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"mode {stat.S_IMODE(found.mode):04o}"
        text = f"key_file '{path}' is readable by its group or by others ({mode})"
        return Fault("readable-secret", text, f"chmod 600 {path}", ErrorClass.SCRIPT_SECURITY)
    key = found.content.rstrip(b"\r\n")
    if len(key) not in KEY_BYTES:
        size = f"more than {KEY_BYTES.stop - 1}" if len(key) >= KEY_BYTES.stop else len(key)
        return Fault("key-file", f"key_file '{path}' has {size} bytes, not 32 to 1024", make)
    return key


def default_folder(root: str, cluster: str, member: str) -> str:
    """Where a member keeps its files; whatever the names hold, they stay below `root`."""
    return "/".join((root, *(_safe(name) for name in (cluster, member))))


def _safe(name: str) -> str:
    quoted = quote(name, safe="", errors="surrogateescape")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


# What it can send ---------------------------------------------------------------

_LARGE_TOKEN = 10**9  # as many leases of one name as nobody will ever see


def unsendable(
    leases: Iterable[str], members: Iterable[str], groups: Mapping[str, Iterable[str]] | None = None
) -> str:
    """Why the names do not go into the messages of members, as a clause; "" if they do.

    `groups`: the instances of each lease that is a sync group's.
    """
    from keepalived_py.wire.raft import LONGEST_BODY, MOST_LEASES, Malformed, decode, encode

    names = [LeaseName(name) for name in leases]
    standing = Standing(1, False, False, False, _LARGE_TOKEN)
    largest = Heartbeat(
        stamp=Micros(10**15),
        promise_us=Micros(10**8),
        standings=dict.fromkeys(names, standing),
        asks=dict.fromkeys(names, _LARGE_TOKEN),
        freed=dict.fromkeys(names),
        members=frozenset(map(MemberId, members)),
        covers={
            LeaseName(name): frozenset(map(InstanceName, instances))
            for name, instances in (groups or {}).items()
        },
    )
    data = encode(largest)
    if len(names) > MOST_LEASES or len(data) > LONGEST_BODY:
        return f"{len(names)} leases and their names do not fit into one message"
    try:
        decode(data)
    except Malformed as fault:
        return f"a name cannot be sent: {fault}"
    return ""
