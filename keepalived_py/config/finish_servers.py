"""What keepalived checks about virtual servers once everything is read.

The order is that of the checker process of 2.2.7: virtual servers find their
groups; each is checked and corrected by itself; at last the scripts.  What
cannot work is dropped.  None of the messages has a line of its own; where the
virtual server begins stands in a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from keepalived_py.base.names import Address
from keepalived_py.base.record import replace
from keepalived_py.config import script_security
from keepalived_py.config.blocks.server_address import shown
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Run
from keepalived_py.config.server_drafts import RealServerDraft, VirtualServerDraft
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.checks import ConnectedCheck
from keepalived_py.model.scripts import Command
from keepalived_py.model.virtual_server import (
    DEFAULT_PERSISTENCE_S,
    AddressRange,
    FirewallMark,
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    ServerGroup,
    SorryServer,
)

VIOLATION = "SECURITY VIOLATION - check scripts are being executed but script_security not enabled."
WRAP = 0xFFFFFFFF  # keepalived adds and subtracts weights in 32 bits
NAT = ForwardingMethod(Forwarding.NAT)
ANY = IPv4Address(0)

Server = VirtualServerDraft
Group = Draft[ServerGroup]


def finish(run: Run) -> None:
    """Check and correct all virtual servers and their real servers; drop what cannot work."""
    written = run.written
    if not written.virtual_servers:
        return
    _link(run, written)
    kept: list[Server] = []
    changed: list[Server] = []
    for server in written.virtual_servers:
        if not isinstance(server, Server):
            continue
        if server.real_servers:
            kept.append(server)
            if _Check(run, server).all():
                changed.append(server)
        else:
            _say(
                run,
                server,
                f"Virtual server {name_of(server)} has no real servers - ignoring",
                "no-real-servers",
                "a real_server block in the virtual_server",
            )
    written.virtual_servers = list(kept)
    _checks_and_scripts(run, kept)
    for server in changed:
        _drop_twins(run, server)


# What a person should look at, where it is not the block itself.
_ABOUT = {
    "ha-suspend-with-mark": "ha_suspend",
    "hysteresis-too-high": "hysteresis",
    "ops-needs-udp": "one_packet",
    "protocol-with-mark": "protocol",
    "quorum-too-high": "quorum",
}


def _say(
    run: Run, server: Server, message: str, code: str, expected: str = "", real: RealServerDraft | None = None
) -> None:
    about = server.at(_ABOUT.get(code, "")) if real is None else real.header
    run.error(message, code=code, expected=expected, about=about)


def name_of(server: Server) -> str:
    """A virtual server as keepalived names it."""
    if server.group is not None:
        return f"[{server.group}]:{server.place}"
    if server.mark:
        return f"FWM {server.mark}"
    protocol: Protocol | None = server.protocol
    return _trio(server.address or ANY, protocol, server.port)


def _checked_at(real: RealServerDraft, port: int) -> None:
    """Checks go on asking the port that was written: it is a packet through IPVS that keeps another one."""
    for check in real.checks:
        if issubclass(check.record_type, ConnectedCheck) and not check.written("connect_port"):
            check.connect_port = port


def _trio(address: Address, protocol: Protocol | None, port: int) -> str:
    return f"[{shown(address)}]:{protocol.value.lower() if protocol else 'none'}:{port}"


def _key(address: Address, port: int) -> tuple[int, int, int]:
    """An address with a port as numbers, which compare a good deal faster."""
    return int(address), address.version, port


# Groups ----------------------------------------------------------------------


def _link(run: Run, written: Written) -> None:
    """Give each virtual server by group its group; those without one, or of the wrong family, go."""
    places: dict[str, int] = {}
    every: list[Any] = written.virtual_servers
    kept: list[Any] = []
    for server in every:
        if server.group is not None and not _linked(run, server, written.server_groups.get(server.group)):
            continue
        if server.group is not None:
            server.place = places.get(server.group, 0)
            places[server.group] = server.place + 1
        kept.append(server)
    written.virtual_servers = kept


def _linked(run: Run, server: Server, group: Group | None) -> bool:
    name = f"[{server.group}]:0"
    if group is None:
        run.log(
            f"Virtual server group {server.group} specified but not configured"
            f" - ignoring virtual server {name}",
            server.header,
            code="unknown-server-group",
        )
        return False
    server.server_group = group
    families = _families(group)
    if len(families) == 2:
        if server.family is None:
            return True
        run.log(
            f"{server.group}: virtual server group with IPv4 & IPv6 doesn't"
            f" match virtual server {name} - ignoring",
            server.header,
            code="family-mismatch",
        )
        return False
    if families and server.family is not None and server.family not in families:
        run.log(
            f"{server.group}: address family doesn't match virtual server {name} - ignoring",
            server.header,
            code="family-mismatch",
        )
        return False
    if families:
        server.family = families.copy().pop()
    elif server.family is None:
        run.log(
            f"{server.group}: Virtual server {name} address family cannot be determined, defaulting to IPv4",
            server.header,
        )
    return True


def _families(group: Group) -> set[int]:
    """The address families that the entries name."""
    every = (one.family if isinstance(one, FirewallMark) else one.first.version for one in group.entries)
    return {family for family in every if family is not None}


# One virtual server ------------------------------------------------------------


class _Check:
    """The checks of one virtual server, in keepalived's order."""

    def __init__(self, run: Run, server: Server) -> None:
        self.run = run
        self.server = server
        group: Group | None = server.server_group
        entries = group.entries if group is not None else []
        self.ranges = [one for one in entries if isinstance(one, AddressRange)]
        self.by_mark = bool(server.mark)
        self.has_marks = self.by_mark or len(self.ranges) < len(entries)
        self.ports_changed = False
        self.has_addresses = bool(self.ranges) if group is not None else not self.by_mark

    @property
    def name(self) -> str:
        return name_of(self.server)

    def say(self, message: str, code: str, expected: str = "", real: RealServerDraft | None = None) -> None:
        _say(self.run, self.server, message, code, expected, real)

    def all(self) -> bool:
        """Everything about the virtual server and what belongs to it; whether a server got another port."""
        self._service()
        self._scheduler()
        weight = self._real_servers()
        self._sorry_method()
        self._quorum(weight)
        if self.server.server_group is not None:
            self._ports_of_group()
        else:
            self._ports()
        return self.ports_changed

    def _service(self) -> None:
        server = self.server
        if server.ha_suspend and self.has_marks:
            self.say(
                f"Virtual server {self.name}: cannot use ha_suspend with fwmarks - clearing ha_suspend",
                "ha-suspend-with-mark",
            )
            server.ha_suspend = False
        if self.has_addresses:
            self._service_of_addresses()
        if server.persistence_timeout_s is None and any(not one.port for one in self.ranges):
            self._needs_persistence()
        if server.protocol is not None and not self.has_addresses:
            self.say(
                f"Warning: Virtual server {self.name}: protocol specified for fwmark"
                " - protocol will be ignored",
                "protocol-with-mark",
            )
            server.protocol = None

    def _service_of_addresses(self) -> None:
        server = self.server
        if server.protocol is None:
            self.say(
                f"Virtual server {self.name}: no protocol set - defaulting to UDP",
                "no-protocol",
                "protocol TCP, UDP or SCTP",
            )
            server.protocol = Protocol.UDP
        if server.one_packet and server.protocol is not Protocol.UDP:
            self.say(
                f"Virtual server {self.name}: one packet scheduling requires UDP - resetting", "ops-needs-udp"
            )
            server.one_packet = False
        if server.persistence_timeout_s is None and server.server_group is None and not server.port:
            self._needs_persistence()

    def _needs_persistence(self) -> None:
        self.say(
            f"Virtual server {self.name}: zero port only valid for persistent services - setting",
            "port-zero",
            "a port, or persistence_timeout",
        )
        self.server.persistence_timeout_s = DEFAULT_PERSISTENCE_S

    def _scheduler(self) -> None:
        if not self.server.written("scheduler"):
            self.say(
                f"Virtual server {self.name}: no scheduler set, setting default 'wlc'",
                "no-scheduler",
                "lvs_sched wlc, for example",
            )
            self.server.scheduler = Scheduler.WEIGHTED_LEAST_CONNECTION

    def _real_servers(self) -> int:
        """Check the real servers; returns the sum of their weights."""
        server = self.server
        sorry: SorryServer | None = server.sorry_server
        sorry_key = None if sorry is None else _key(sorry.address, sorry.port)
        default: int = server.weight
        seen: set[tuple[int, int, int]] = set()
        kept: list[RealServerDraft] = []
        total = 0
        for real in server.real_servers:
            key = _key(real.address, real.port)
            if key in seen:
                self.say(
                    f"VS {self.name}: real server {self._real_name(real)} is duplicated - removing second rs",
                    "duplicate-real-server",
                    real=real,
                )
                continue
            seen.add(key)
            kept.append(real)
            if "method" not in real.__dict__:
                real.method = self._default_method()
            total += real.__dict__.get("weight", default)
            if key == sorry_key:
                self._same_as_sorry(real)
        server.real_servers = kept
        return total & WRAP

    def _real_name(self, real: RealServerDraft) -> str:
        return _trio(real.address, self.server.protocol, real.port)

    def _default_method(self) -> ForwardingMethod:
        server = self.server
        if not server.written("method"):
            self.say(
                f"Virtual server {self.name}: no forwarding method set, setting default NAT",
                "no-lvs-method",
                "lvs_method NAT, DR or TUN",
            )
            server.method = NAT
        method: ForwardingMethod = server.method
        return method

    def _same_as_sorry(self, real: RealServerDraft) -> None:
        sorry: SorryServer = self.server.sorry_server
        inhibit = bool(real.effective("inhibit_on_failure"))
        if sorry.inhibit != inhibit:
            self.say(
                f"Virtual server {self.name}: real server {self._real_name(real)} matches sorry server,"
                f" but inhibit setting differs, {'sett' if inhibit else 'clear'}ing on sorry server",
                "sorry-server-inhibit",
                real=real,
            )
            self.server.sorry_server = replace(sorry, inhibit=inhibit)

    def _sorry_method(self) -> None:
        sorry: SorryServer | None = self.server.sorry_server
        if sorry is not None and not self.server.sorry_method_known:
            self.server.sorry_server = replace(sorry, method=self._default_method())

    def _quorum(self, weight: int) -> None:
        server = self.server
        if server.quorum > weight:
            self.say(
                f"Warning - quorum {server.quorum} for {self.name} exceeds total weight of real servers"
                f" {weight}, reducing quorum to {weight}",
                "quorum-too-high",
                f"a quorum of at most {weight}",
            )
            server.quorum = weight
        if server.hysteresis >= server.quorum:
            self.say(
                f"Virtual server {self.name}: hysteresis {server.hysteresis} >= quorum {server.quorum};"
                f" setting hysteresis to {(server.quorum - 1) & WRAP}",
                "hysteresis-too-high",
                "a hysteresis below the quorum",
            )
            server.hysteresis = max(server.quorum - 1, 0)

    # Ports: without NAT a packet keeps its port ---------------------------------

    def _ports(self) -> None:
        server = self.server
        port: int = server.port
        for real in server.real_servers:
            if real.port == port:
                continue
            if real.method.forwarding is not Forwarding.NAT:
                self._settle_port(real)
                self.ports_changed = True
            elif not self.by_mark and not real.port:
                real.port = port
                self.ports_changed = True
        sorry: SorryServer | None = server.sorry_server
        if sorry is None or sorry.method.forwarding is Forwarding.NAT or sorry.port == port:
            return
        if self.by_mark:
            self.say(
                f"WARNING - virtual server {self.name}, sorry server has port specified - clearing",
                "port-with-mark",
            )
        elif sorry.port:
            self.say(
                f"WARNING - virtual server {self.name} and sorry server ports don't match - resetting",
                "port-mismatch",
            )
        server.sorry_server = replace(sorry, port=port)
        self.ports_changed = True

    def _settle_port(self, real: RealServerDraft) -> None:
        if self.by_mark:
            self.say(
                f"WARNING - fwmark virtual server {self.name}, real server {self._real_name(real)}"
                " has port specified - clearing",
                "port-with-mark",
                real=real,
            )
        elif real.port:
            self.say(
                f"WARNING - virtual server {self.name} and real server {self._real_name(real)}"
                " ports don't match - resetting",
                "port-mismatch",
                "the port of the virtual server, or lvs_method NAT",
                real,
            )
        if real.port:
            _checked_at(real, real.port)
        real.port = self.server.port

    def _ports_of_group(self) -> None:
        kept = [one for one in self._without_nat() if one[1]]
        if self.has_marks:
            for real, _ in kept:
                message = (
                    "sorry server has port specified - port will be ignored"
                    if real is None
                    else f"real server {self._real_name(real)} has port specified - port will be ignored"
                )
                text = f"WARNING - fwmark virtual server {self.name}, {message}"
                self.say(text, "port-with-mark", real=real)
        for entry in self.ranges:
            for real, port in kept:
                if port != entry.port:
                    self._group_mismatch(entry, real)

    def _group_mismatch(self, entry: AddressRange, real: RealServerDraft | None) -> None:
        if real is None:
            self.say(
                f"WARNING - virtual server {self.name}, sorry server has port specified"
                " - port will be ignored",
                "port-mismatch",
            )
            return
        first, last = shown(entry.first), shown(entry.last)
        both = first if first == last else f"{first}-{last}"
        self.say(
            f"virtual server {self.name}:[{both},{entry.port}] and real server {self._real_name(real)}"
            " ports don't match",
            "port-mismatch",
            "the port of the group, or lvs_method NAT",
            real,
        )

    def _without_nat(self) -> Iterator[tuple[RealServerDraft | None, int]]:
        """The servers, with their ports, whose packets keep their port; None is the sorry server."""
        for real in self.server.real_servers:
            if real.method.forwarding is not Forwarding.NAT:
                yield real, real.port
        sorry: SorryServer | None = self.server.sorry_server
        if sorry is not None and sorry.method.forwarding is not Forwarding.NAT:
            yield None, sorry.port


# Checks and scripts --------------------------------------------------------------


def _checks_and_scripts(run: Run, servers: list[Server]) -> None:
    """Health checks first, then scripts; running any without enable_script_security is a violation."""
    written = run.written
    for server in servers:
        if server.skipped or any("checks" in real.__dict__ for real in server.real_servers):
            from keepalived_py.config import finish_checks  # paid only by files with health checks

            finish_checks.finish(run, server)
    for server in servers:
        _judge(run, server, ("quorum_up", "quorum_down"))
        for real in server.real_servers:
            _judge(run, real, ("notify_up", "notify_down"))
    if servers:
        _fifo_scripts(run)
    if written.checker_scripts_run and not written.globals.script_security:
        more = " There are insecure scripts." if written.checker_scripts_insecure else ""
        run.error(VIOLATION + more, code="script-security", error_class=ErrorClass.SCRIPT_SECURITY)


def _fifo_scripts(run: Run) -> None:
    """The programs that read the notify pipes count for virtual servers, too."""
    for name in ("notify_fifo", "lvs_notify_fifo"):
        script = getattr(getattr(run.written.globals, name, None), "script", None)
        if script is not None:
            judged = script_security.judge(run, script)
            _count(run, judged)


def _count(run: Run, judged: script_security.Judged) -> None:
    run.written.checker_scripts_run |= judged.runs
    run.written.checker_scripts_insecure |= judged.insecure


def _judge(run: Run, draft: Server | RealServerDraft, names: tuple[str, ...]) -> None:
    for name in names:
        command: Command | None = draft.__dict__.get(name)
        if command is None:
            continue
        judged = script_security.judge(run, command)
        _count(run, judged)
        setattr(draft, name, judged.command)


# After all ports are settled -----------------------------------------------------


def _drop_twins(run: Run, server: Server) -> None:
    """Servers that are the same since ports were changed; keepalived leaves that to the kernel."""
    first: dict[tuple[int, int, int], RealServerDraft] = {}
    for real in server.real_servers:
        if first.setdefault(_key(real.address, real.port), real) is not real:
            name = _trio(real.address, server.protocol, real.port)
            run.log(
                f"VS {name_of(server)}: real server {name} is there twice - using the first",
                real.header,
                code="duplicate-real-server",
            )
    server.real_servers = list(first.values())
    weight = sum(real.effective("weight") for real in server.real_servers) & WRAP
    server.quorum = min(server.quorum, weight)
    server.hysteresis = min(server.hysteresis, max(server.quorum - 1, 0))
    sorry: SorryServer | None = server.sorry_server
    twin = None if sorry is None else first.get(_key(sorry.address, sorry.port))
    if sorry is not None and twin is not None:
        server.sorry_server = replace(sorry, inhibit=bool(twin.effective("inhibit_on_failure")))
