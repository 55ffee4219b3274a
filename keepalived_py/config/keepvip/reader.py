"""A keep-vip file becomes a `Cluster`.

keep-vip reads its file through viper: upper and lower case of keys do not
count, unknown keys are passed over in silence.  The former holds here, too;
the latter becomes a warning, since it is nearly always a misspelt key.
"""

from __future__ import annotations

import os
import stat
from ipaddress import IPv4Address, ip_address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record
from keepalived_py.config.host import Host
from keepalived_py.config.keepvip import tree, values
from keepalived_py.config.keepvip.tree import Mapping, Node
from keepalived_py.config.keepvip.values import TOP, Keys, Reading
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass
from keepalived_py.model.cluster import (
    Backend,
    BalancerKind,
    Cluster,
    Endpoint,
    LoadBalancer,
    Member,
    Prometheus,
    TcpCheck,
)
from keepalived_py.model.raft import PRESETS

MOST_BYTES = 4 * 1024 * 1024
MAX_INTERFACE_NAME = 15
LONGEST_SECONDS = 86_400
SECOND = 1_000_000
NONE: list[Mapping] = []
DEFAULT_TIMEOUT_US = Micros(500_000)

KEYS = ("cluster", "interface", "vip", "ChecksInterval", "prometheus", "checks", "members", "loadBalancers")
OWN_KEYS = ("onCheckFailure", "keyFile", "dataDirectory", "timing")  # keep-vip passes over them
ON_CHECK_FAILURE = {"exit": True, "stepdown": False}
PROMETHEUS_KEYS = ("enabled", "address")
CHECK_KEYS = ("name", "protocol", "address", "timeout")
MEMBER_KEYS = ("id", "address")
BALANCER_KEYS = ("name", "bindAddress", "type", "backends")
BACKEND_KEYS = ("name", "address")


class Read(Record):
    """The cluster, and everything that is to be said; None if something it needs is missing or wrong.

    `readable`: the file could be opened.
    """

    cluster: Cluster | None
    diagnostics: tuple[Diagnostic, ...]
    readable: bool = True


def read_file(path: str, host: Host) -> Read:
    """The keep-vip file at `path`."""
    try:
        content = _content(path)
    except OSError as fault:
        message = f"Unable to read {path}: {fault.strerror or fault}"
        said = Diagnostic("unreadable-file", message, error_class=ErrorClass.GENERAL)
        return Read(None, (said,), readable=False)
    return read_bytes(content, path, host)


def _content(path: str) -> bytes:
    """The bytes of a regular file; anything else would wait or never end.  Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(f"more than {MOST_BYTES} bytes")
    return content


def read_bytes(content: bytes, name: str, host: Host) -> Read:
    """The cluster in `content`; `name` is that of the file, for diagnostics."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        before = content[: fault.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        shown = content.split(b"\n")[line - 1].decode("utf-8", "replace").rstrip("\r")
        at = Origin(name, line, column, column + 1, shown)
        return Read(None, (Diagnostic("not-utf-8", "The file is not UTF-8", origin=at),))
    reading = Reading()
    cluster = None
    try:
        cluster = _Cluster(reading, host).read(*tree.read(text, name))
    except tree.Fault as fault:
        reading.error(f"Not usable: {fault.message}", fault.origin, "yaml-syntax", note=fault.note)
    return Read(None if reading.failed else cluster, tuple(reading.diagnostics))


class _Cluster:
    def __init__(self, reading: Reading, host: Host) -> None:
        self.reading = reading
        self.host = host

    def read(self, node: Node | None, second: Origin | None) -> Cluster | None:
        if second is not None:
            self.reading.warn("Only the first document of the file counts", second, "second-document")
        if node is None:
            self.reading.error("The file is empty", None, "empty-file")
            return None
        top = values.mapping(self.reading, node, "The file")
        if top is None:
            return None
        keys = Keys(self.reading, top, TOP, (*KEYS, *OWN_KEYS))
        name = keys.get("cluster", values.text, "")
        interface = keys.need("interface", values.text)
        vip = keys.need("vip", _vip)
        interval_us = keys.need("ChecksInterval", _interval)
        prometheus = self.prometheus(keys)
        checks = self.checks(keys, interval_us or Micros(LONGEST_SECONDS * SECOND))
        members = self.members(keys)
        balancers = self.balancers(keys)
        if interface is not None:
            self.interface(interface, keys.at("interface"))
        if interface is None or vip is None or interval_us is None:
            return None
        if any(member.address == vip for member in members):
            self.reading.error(
                f"The vip {vip} is the address of a member",
                keys.at("vip"),
                "invalid-value",
                expected="an address that no machine has by itself",
            )
        return Cluster(
            name,
            interface,
            vip,
            interval_us,
            members,
            checks,
            prometheus,
            balancers,
            ON_CHECK_FAILURE[keys.get("onCheckFailure", _on_check_failure, "stepdown")],
            keys.get("keyFile", _path, ""),
            keys.get("dataDirectory", _path, ""),
            keys.get("timing", _timing, "lan"),
        )

    def interface(self, name: str, at: Origin) -> None:
        if not name or len(name) > MAX_INTERFACE_NAME or "/" in name:
            self.reading.error(
                f"interface '{name}' cannot exist", at, "invalid-value", expected="1 to 15 characters"
            )
        elif not self.host.interface_exists(name):
            self.reading.warn(f"interface '{name}' does not exist on this machine", at, "unknown-interface")

    def prometheus(self, keys: Keys) -> Prometheus:
        node = keys.get("prometheus", values.mapping, Mapping(keys.origin))
        inner = Keys(self.reading, node, "prometheus", PROMETHEUS_KEYS)
        enabled = inner.get("enabled", values.boolean, False)
        if enabled:
            return Prometheus(True, inner.need("address", values.endpoint))
        return Prometheus(False, inner.get("address", _maybe_endpoint, None))

    def checks(self, keys: Keys, interval_us: Micros) -> tuple[TcpCheck, ...]:
        found = []
        for number, node in enumerate(keys.get("checks", values.mappings, NONE), start=1):
            inner = Keys(self.reading, node, f"check {number}", CHECK_KEYS)
            name = inner.get("name", values.text, "")
            protocol = inner.need("protocol", values.text)
            if protocol is not None and protocol != "tcp":
                self.reading.error(
                    f"check {number}: protocol '{protocol}' is not known",
                    inner.at("protocol"),
                    "invalid-value",
                    expected="tcp",
                )
            address = inner.need("address", values.remote)
            timeout_us = self.timeout(inner, number, interval_us)
            if address is not None:
                found.append(TcpCheck(name, address, timeout_us))
        return tuple(found)

    def timeout(self, keys: Keys, number: int, interval_us: Micros) -> Micros:
        """Of no use if it is not above 0, or longer than the time to the next check."""
        seconds = keys.get("timeout", values.integer, None)
        if seconds is None:
            return DEFAULT_TIMEOUT_US
        if 0 < seconds * SECOND <= interval_us:
            return Micros(seconds * SECOND)
        why = "is not above 0" if seconds <= 0 else "is longer than ChecksInterval"
        self.reading.warn(
            f"check {number}: timeout {seconds} {why}, 500 ms are used",
            keys.at("timeout"),
            "timeout-replaced",
        )
        return DEFAULT_TIMEOUT_US

    def members(self, keys: Keys) -> tuple[Member, ...]:
        found: list[Member] = []
        ids: set[str] = set()
        addresses: set[str] = set()
        nodes = keys.need("members", values.mappings)
        if nodes == []:
            self.reading.error("There are no members", keys.at("members"), "missing-key")
        for number, node in enumerate(nodes or [], start=1):
            inner = Keys(self.reading, node, f"member {number}", MEMBER_KEYS)
            member_id = inner.need("id", values.text)
            place = inner.need("address", _member_address)
            if member_id is None or place is None:
                continue
            made = Member(member_id, *place)
            self.unique(inner, "id", member_id, ids)
            self.unique(inner, "address", str(made.endpoint), addresses)
            found.append(made)
        if len(found) == len(nodes or []) == 2:
            self.reading.warn(
                "Two members cannot spare one: each needs the other to lead",
                keys.at("members"),
                "even-members",
                note="three members can spare one",
            )
        return tuple(found)

    def balancers(self, keys: Keys) -> tuple[LoadBalancer, ...]:
        found: list[LoadBalancer] = []
        taken: dict[bool, set[str]] = {True: set(), False: set()}
        for number, node in enumerate(keys.get("loadBalancers", values.mappings, NONE), start=1):
            inner = Keys(self.reading, node, f"load balancer {number}", BALANCER_KEYS)
            name = inner.get("name", values.text, "")
            kind = inner.need("type", _kind)
            bind = inner.need("bindAddress", values.endpoint)
            backends = self.backends(inner, number)
            if kind is None or bind is None:
                continue
            self.unique(inner, "bindAddress", str(bind), taken[kind is BalancerKind.UDP])
            found.append(LoadBalancer(name, bind, kind, backends))
        return tuple(found)

    def backends(self, keys: Keys, number: int) -> tuple[Backend, ...]:
        found = []
        nodes = keys.need("backends", values.mappings)
        if nodes == []:
            self.reading.error(f"load balancer {number} has no backends", keys.at("backends"), "missing-key")
        for index, node in enumerate(nodes or [], start=1):
            inner = Keys(self.reading, node, f"load balancer {number}, backend {index}", BACKEND_KEYS)
            name = inner.get("name", values.text, "")
            address = inner.need("address", values.remote)
            if address is not None:
                found.append(Backend(name, address))
        return tuple(found)

    def unique(self, keys: Keys, name: str, value: str, others: set[str]) -> None:
        """Report a value that another has; `others` takes it in."""
        if value in others:
            self.reading.error(f"{keys.title}: {name} '{value}' is used twice", keys.at(name), "duplicate")
        others.add(value)


def _maybe_endpoint(reading: Reading, node: Node, name: str) -> Endpoint | None:
    return values.endpoint(reading, node, name)


def _vip(reading: Reading, node: Node, name: str) -> IPv4Address | None:
    found = values.text(reading, node, name)
    try:
        return None if found is None else IPv4Address(found)
    except ValueError:
        reading.error(
            f"{name} '{found}' is not an IPv4 address",
            node.origin,
            "invalid-value",
            expected="an IPv4 address without prefix length",
        )
        return None


def _interval(reading: Reading, node: Node, name: str) -> Micros | None:
    seconds = values.integer(reading, node, name)
    if seconds is not None and not 0 < seconds <= LONGEST_SECONDS:
        reading.error(
            f"{name} {seconds} is out of range", node.origin, "invalid-value", expected="1 to 86400 seconds"
        )
        return None
    return None if seconds is None else Micros(seconds * SECOND)


def _member_address(reading: Reading, node: Node, name: str) -> tuple[Address, int] | None:
    found = values.remote(reading, node, name)
    if found is None:
        return None
    try:
        return ip_address(found.host), found.port
    except ValueError:
        reading.error(
            f"{name} '{found}' is not an IP address with a port",
            node.origin,
            "invalid-value",
            expected="IP:PORT: by its address a machine finds out which member it is",
        )
        return None


def _path(reading: Reading, node: Node, name: str) -> str | None:
    found = values.text(reading, node, name)
    if found is not None and not found.startswith("/"):
        reading.error(
            f"{name} '{found}' is no absolute path",
            node.origin,
            "invalid-value",
            expected="a path that begins with /",
        )
        return None
    return found


def _on_check_failure(reading: Reading, node: Node, name: str) -> str | None:
    return _one_of(reading, node, name, tuple(ON_CHECK_FAILURE))


def _timing(reading: Reading, node: Node, name: str) -> str | None:
    return _one_of(reading, node, name, tuple(PRESETS))


def _one_of(reading: Reading, node: Node, name: str, words: tuple[str, ...]) -> str | None:
    found = values.text(reading, node, name)
    if found is not None and found not in words:
        expected = " or ".join(words)
        reading.error(f"{name} '{found}' is not known", node.origin, "invalid-value", expected=expected)
        return None
    return found


def _kind(reading: Reading, node: Node, name: str) -> BalancerKind | None:
    found = values.text(reading, node, name)
    kinds = {kind.value: kind for kind in BalancerKind}
    if found is not None and found not in kinds:
        reading.error(
            f"{name} '{found}' is not known", node.origin, "invalid-value", expected="tcp, udp or http"
        )
        return None
    return None if found is None else kinds[found]
