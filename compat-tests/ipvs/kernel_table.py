"""What `system.ipvs` writes into a kernel's IPVS table, as `ipvsadm` reads it.

Run as a program inside a kernel that has IPVS (as root, with ip_vs, its schedulers
and ip_vs_pe_sip loaded), it fills and empties that kernel's table and prints one
JSON object:

- "cases": for each a name, what was written, the outcomes, what `ipvsadm` shows,
  what it should show, whether our own reading of the table equals what was
  written, and "good";
- "figures": microseconds for each change and each entry read, with ten thousand
  destinations.

The program ends with 1 if a case is not good.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.model.effects import Outcome
from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
    ServiceEntry,
    ServiceSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    SyncRole,
)
from keepalived_py.model.virtual_server import (
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    TunnelChecksum,
    TunnelType,
)
from keepalived_py.system.ipvs import Ipvs, open_ipvs
from keepalived_py.system.ipvs_words import complaint_of

VIRTUAL = Service(4, Protocol.TCP, ip_address("10.9.0.1"), 80)
VIRTUAL_6 = Service(6, Protocol.TCP, ip_address("fd09::1"), 80)
REAL = Destination(ip_address("10.9.1.1"), 80)
ROUND_ROBIN = ServiceSettings(Scheduler.ROUND_ROBIN)
SYNC_DEVICE = "syncdev"
NAMESPACE = "kernel-table"
MANY = 10_000


def shown(*words: str) -> list[str]:
    """The lines that `ipvsadm` prints, in an order that does not depend on its hash tables."""
    done = subprocess.run(["ipvsadm", *words], capture_output=True, text=True, timeout=30, check=False)
    return sorted(" ".join(line.split()) for line in (done.stdout + done.stderr).splitlines())


def rules() -> list[str]:
    return shown("-Sn")


def thresholds() -> list[str]:
    return [line for line in shown("-Ln", "--thresholds") if line.startswith("->") and "Remote" not in line]


def timeouts() -> list[str]:
    return shown("-l", "--timeout")


def daemons() -> list[str]:
    return shown("-l", "--daemon")


class Cases:
    """Each case starts with an empty table."""

    def __init__(self, ipvs: Ipvs) -> None:
        self.ipvs = ipvs
        self.found: list[dict[str, Any]] = []

    def case(
        self,
        name: str,
        changes: Sequence[IpvsChange],
        expected: Sequence[str],
        outcomes: str = "Done",
        show: Callable[[], list[str]] = rules,
    ) -> None:
        """`outcomes`: the one that all have, or one for each, by the names of their classes."""
        self.ipvs.apply([FlushTable()])
        got = self.ipvs.apply(changes)
        names = [type(outcome).__name__ for outcome in got]
        wanted = outcomes.split() * (len(changes) if " " not in outcomes else 1)
        seen = show()
        read_back = self._reads_back(changes, got)
        self.found.append(
            {
                "name": name,
                "wrote": [repr(change) for change in changes],
                "outcomes": names,
                "said": [said for pair in zip(changes, got, strict=True) if (said := complaint_of(*pair))],
                "expected": sorted(expected),
                "ipvsadm": seen,
                "read_back": read_back,
                "good": seen == sorted(expected) and names == wanted and read_back,
            }
        )

    def _reads_back(self, changes: Sequence[IpvsChange], outcomes: Sequence[Outcome]) -> bool:
        """Whether our own reading is what the changes should have left, if they only add."""
        if any(type(outcome).__name__ != "Done" for outcome in outcomes):
            return True
        services: dict[Service, ServiceSettings] = {}
        servers: dict[tuple[Service, Destination], DestinationSettings] = {}
        for change in changes:
            if isinstance(change, AddService):
                services[change.service] = change.settings
            elif isinstance(change, AddDestination):
                kept = change.settings._replace(weight=min(max(change.settings.weight, 0), 2**31 - 1))
                servers[change.service, change.destination] = kept
            else:
                return True
        table = self.ipvs.table()
        read = {
            (service, place): server.settings
            for service, entry in table.items()
            for place, server in entry.destinations.items()
        }
        return {service: entry.settings for service, entry in table.items()} == services and read == servers


def service_cases(cases: Cases) -> None:
    for scheduler in Scheduler:
        settings = ServiceSettings(scheduler)
        line = f"-A -t 10.9.0.1:80 -s {scheduler.value}"
        if scheduler is Scheduler.TWO_CHOICES and not has_module("ip_vs_twos"):
            cases.case("scheduler twos is not there", [AddService(VIRTUAL, settings)], [], "Failed")
            continue
        cases.case(f"scheduler {scheduler.value}", [AddService(VIRTUAL, settings)], [line])
    flags = ROUND_ROBIN._replace(flag_1=True, flag_2=True, flag_3=True)
    cases.case("all flags", [AddService(VIRTUAL, flags)], ["-A -t 10.9.0.1:80 -s rr -b flag-1,flag-2,flag-3"])
    for scheduler in (Scheduler.SOURCE_HASHING, Scheduler.MAGLEV_HASHING):
        name = scheduler.value
        both = ServiceSettings(scheduler, flag_1=True, flag_2=True)
        line = f"-A -t 10.9.0.1:80 -s {name} -b {name}-fallback,{name}-port"
        cases.case(f"flags of {name}", [AddService(VIRTUAL, both)], [line])
    udp = VIRTUAL._replace(protocol=Protocol.UDP, port=53)
    ops = ROUND_ROBIN._replace(one_packet=True)
    cases.case("one packet", [AddService(udp, ops)], ["-A -u 10.9.0.1:53 -s rr -o"])
    sctp = VIRTUAL._replace(protocol=Protocol.SCTP, port=3868)
    cases.case("SCTP", [AddService(sctp, ROUND_ROBIN)], ["-A --sctp-service 10.9.0.1:3868 -s rr"])


def persistence_cases(cases: Cases) -> None:
    held = ROUND_ROBIN._replace(persistence_s=360)
    masked = held._replace(granularity=IPv4Address("255.255.255.0"))
    every = VIRTUAL._replace(port=0)
    cases.case("persistence", [AddService(VIRTUAL, held)], ["-A -t 10.9.0.1:80 -s rr -p 360"])
    cases.case("every port", [AddService(every, held)], ["-A -t 10.9.0.1:0 -s rr -p 360"])
    cases.case("netmask", [AddService(VIRTUAL, masked)], ["-A -t 10.9.0.1:80 -s rr -p 360 -M 255.255.255.0"])
    cases.case(
        "prefix length",
        [AddService(VIRTUAL_6, held._replace(granularity=64))],
        ["-A -t [fd09::1]:80 -s rr -p 360 -M 64"],
    )
    sip = VIRTUAL._replace(protocol=Protocol.UDP, port=5060)
    cases.case(
        "engine",
        [AddService(sip, held._replace(engine="sip"))],
        ["-A -u 10.9.0.1:5060 -s rr -p 360 --pe sip"],
    )


def identity_cases(cases: Cases) -> None:
    cases.case("IPv6", [AddService(VIRTUAL_6, ROUND_ROBIN)], ["-A -t [fd09::1]:80 -s rr"])
    cases.case("mark", [AddService(Service(4, mark=7), ROUND_ROBIN)], ["-A -f 7 -s rr"])
    cases.case("mark of IPv6", [AddService(Service(6, mark=7), ROUND_ROBIN)], ["-A -f 7 -6 -s rr"])
    greatest = Service(4, mark=4294967295)
    # That is how ipvsadm prints it.
    cases.case("greatest mark", [AddService(greatest, ROUND_ROBIN)], ["-A -f -1 -s rr"])
    cases.case(
        "both families and marks",
        [
            AddService(service, ROUND_ROBIN)
            for service in (VIRTUAL, VIRTUAL_6, Service(4, mark=7), Service(6, mark=7))
        ],
        ["-A -t 10.9.0.1:80 -s rr", "-A -t [fd09::1]:80 -s rr", "-A -f 7 -s rr", "-A -f 7 -6 -s rr"],
    )


METHODS = {
    "-m": ForwardingMethod(),
    "-g": ForwardingMethod(forwarding=Forwarding.DIRECT),
    "-i --tun-type ipip": ForwardingMethod(forwarding=Forwarding.TUNNEL),
}


def gue(checksum: TunnelChecksum) -> ForwardingMethod:
    return ForwardingMethod(forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GUE, port=6080, checksum=checksum)


def gre(checksum: TunnelChecksum) -> ForwardingMethod:
    return ForwardingMethod(forwarding=Forwarding.TUNNEL, tunnel=TunnelType.GRE, checksum=checksum)


TUNNELS = {
    "-i --tun-type gue --tun-port 6080 --tun-nocsum": gue(TunnelChecksum.NONE),
    "-i --tun-type gue --tun-port 6080 --tun-csum": gue(TunnelChecksum.FULL),
    "-i --tun-type gue --tun-port 6080 --tun-remcsum": gue(TunnelChecksum.REMOTE),
    "-i --tun-type gre --tun-nocsum": gre(TunnelChecksum.NONE),
    "-i --tun-type gre --tun-csum": gre(TunnelChecksum.FULL),
}


def destination_cases(cases: Cases) -> None:
    begin = AddService(VIRTUAL, ROUND_ROBIN)
    for words, method in (METHODS | TUNNELS).items():
        cases.case(
            f"method {words}",
            [begin, AddDestination(VIRTUAL, REAL, DestinationSettings(3, method))],
            ["-A -t 10.9.0.1:80 -s rr", line_of("-t 10.9.0.1:80", "10.9.1.1:80", words, 3)],
        )
    real_6 = Destination(ip_address("fd09::11"), 8080)
    cases.case(
        "IPv6 destination",
        [AddService(VIRTUAL_6, ROUND_ROBIN), AddDestination(VIRTUAL_6, real_6, DestinationSettings(0))],
        ["-A -t [fd09::1]:80 -s rr", line_of("-t [fd09::1]:80", "[fd09::11]:8080", "-m", 0)],
    )
    tunnel = DestinationSettings(1, METHODS["-i --tun-type ipip"])
    cases.case(
        "IPv6 destination of an IPv4 service",
        [begin, AddDestination(VIRTUAL, real_6._replace(port=80), tunnel)],
        ["-A -t 10.9.0.1:80 -s rr", line_of("-t 10.9.0.1:80", "[fd09::11]:80", "-i --tun-type ipip", 1)],
    )
    mark = Service(4, mark=7)
    cases.case(
        "destination of a mark",
        [AddService(mark, ROUND_ROBIN), AddDestination(mark, REAL._replace(port=0), DestinationSettings())],
        ["-A -f 7 -s rr", "-a -f 7 -r 10.9.1.1:0 -m -w 1"],
    )
    cases.case(
        "weights",
        [
            begin,
            *(AddDestination(VIRTUAL, at(place), DestinationSettings(weight)) for place, weight in WEIGHTS),
        ],
        [
            "-A -t 10.9.0.1:80 -s rr",
            *(line_of("-t 10.9.0.1:80", f"10.9.1.{place}:80", "-m", kept) for place, kept in KEPT_WEIGHTS),
        ],
    )
    cases.case(
        "thresholds",
        [
            begin,
            AddDestination(VIRTUAL, REAL, DestinationSettings(1, upper_threshold=90, lower_threshold=40)),
        ],
        ["-> 10.9.1.1:80 90 40 0 0"],
        show=thresholds,
    )


# The fourth and fifth are not for the kernel, which would refuse them.
WEIGHTS = ((1, 0), (2, 65535), (3, 2**31 - 1), (4, -5), (5, 2**31))
KEPT_WEIGHTS = ((1, 0), (2, 65535), (3, 2**31 - 1), (4, 0), (5, 2**31 - 1))


def at(place: int) -> Destination:
    return Destination(IPv4Address(f"10.9.1.{place}"), 80)


def line_of(service: str, server: str, words: str, weight: int) -> str:
    """`ipvsadm` writes the method first, then the weight, then what a tunnel has besides."""
    method, _, tunnel = words.partition(" ")
    return f"-a {service} -r {server} {method} -w {weight} {tunnel}".strip()


def change_cases(cases: Cases) -> None:
    begin: list[IpvsChange] = [
        AddService(VIRTUAL, ROUND_ROBIN),
        AddDestination(VIRTUAL, REAL, DestinationSettings()),
    ]
    both = ["-A -t 10.9.0.1:80 -s rr", "-a -t 10.9.0.1:80 -r 10.9.1.1:80 -m -w 1"]
    held = ServiceSettings(Scheduler.WEIGHTED_ROUND_ROBIN, persistence_s=60)
    cases.case(
        "edit a service",
        [*begin, EditService(VIRTUAL, held)],
        ["-A -t 10.9.0.1:80 -s wrr -p 60", both[1]],
    )
    cases.case("edit it back", [*begin, EditService(VIRTUAL, held), EditService(VIRTUAL, ROUND_ROBIN)], both)
    heavy = DestinationSettings(9, METHODS["-g"])
    edited = line_of("-t 10.9.0.1:80", "10.9.1.1:80", "-g", 9)
    cases.case("edit a server", [*begin, EditDestination(VIRTUAL, REAL, heavy)], [both[0], edited])
    cases.case(
        "edit one that is missing", [begin[0], EditDestination(VIRTUAL, REAL, heavy)], [both[0], edited]
    )
    cases.case(
        "edit one that is missing and delete it",
        [begin[0], EditDestination(VIRTUAL, REAL, heavy), DeleteDestination(VIRTUAL, REAL)],
        [both[0]],
    )
    cases.case("add twice", [*begin, *begin], both, "Done Done AlreadySo AlreadySo")
    cases.case("delete a server", [*begin, DeleteDestination(VIRTUAL, REAL)], [both[0]])
    cases.case("delete a service", [*begin, DeleteService(VIRTUAL)], [])
    cases.case(
        "delete what is not there",
        [DeleteDestination(VIRTUAL, REAL), DeleteService(VIRTUAL)],
        [],
        "AlreadySo AlreadySo",
    )
    cases.case(
        "one of three fails",
        [begin[0], AddDestination(VIRTUAL_6, REAL, heavy), begin[1]],
        both,
        "Done Failed Done",
    )
    no_engine = held._replace(engine="nosuch")
    cases.case("an engine that is not there", [AddService(VIRTUAL, no_engine)], [], "Failed")
    cases.case("flush", [*begin, FlushTable()], [])


def global_cases(cases: Cases) -> None:
    original = cases.ipvs.timeouts()
    line = "Timeout (tcp tcpfin udp): {} {} {}"
    cases.case(
        "time-outs",
        [SetTimeouts(LvsTimeouts(tcp=901, tcpfin=31, udp=61))],
        [line.format(901, 31, 61)],
        show=timeouts,
    )
    cases.case("one time-out", [SetTimeouts(LvsTimeouts(udp=62))], [line.format(901, 31, 62)], show=timeouts)
    cases.case("no time-out", [SetTimeouts(LvsTimeouts())], [line.format(901, 31, 62)], show=timeouts)
    cases.case(
        "time-outs as before",
        [SetTimeouts(original)],
        [line.format(original.tcp, original.tcpfin, original.udp)],
        show=timeouts,
    )
    plain = SyncDaemon(interface=SYNC_DEVICE)
    full = SyncDaemon(interface=SYNC_DEVICE, maxlen=1400, port=8900, ttl=3, group=IPv4Address("224.0.0.99"))
    stop = [StopSync(role, 0, plain) for role in SyncRole]
    usual = f"(mcast={SYNC_DEVICE}, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
    cases.case(
        "sync daemon", [StartSync(SyncRole.MASTER, 5, plain)], [f"master sync daemon {usual}"], show=daemons
    )
    cases.case(
        "sync daemon twice",
        [StartSync(SyncRole.MASTER, 5, plain)],
        [f"master sync daemon {usual}"],
        "AlreadySo",
        daemons,
    )
    cases.case("sync daemons stopped", stop, [], "Done AlreadySo", daemons)
    said = f"(mcast={SYNC_DEVICE}, syncid=255, maxlen=1400, group=224.0.0.99, port=8900, ttl=3)"
    cases.case(
        "both sync daemons with everything",
        [StartSync(role, 255, full) for role in SyncRole],
        [f"backup sync daemon {said}", f"master sync daemon {said}"],
        show=daemons,
    )
    kept = replace(full, sync_id=255)
    cases.found[-1]["good"] &= cases.ipvs.sync() == tuple(StartSync(role, 255, kept) for role in SyncRole)
    cases.case("both stopped", stop, [], show=daemons)
    group_6 = IPv6Address("ff02::99")
    said = f"(mcast={SYNC_DEVICE}, syncid=0, maxlen=1452, group=ff02::99, port=8848, ttl=1)"
    cases.case(
        "a sync daemon over IPv6",
        [StartSync(SyncRole.BACKUP, 0, replace(plain, group=group_6))],
        [f"backup sync daemon {said}"],
        show=daemons,
    )
    cases.case("no daemon over IPv6", stop, [], "AlreadySo Done", daemons)


def counter_cases(cases: Cases) -> None:
    """One connection, through the service to a server on this machine."""
    for address in (VIRTUAL.address, REAL.address):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=False, timeout=30)
    cases.ipvs.apply(
        [FlushTable(), AddService(VIRTUAL, ROUND_ROBIN), AddDestination(VIRTUAL, REAL, DestinationSettings())]
    )
    with socket.create_server((str(REAL.address), REAL.port)) as server:
        client = socket.create_connection((str(VIRTUAL.address), VIRTUAL.port), timeout=10)
        accepted, _ = server.accept()
        with client, accepted:
            client.sendall(b"hello")
            accepted.recv(5)
            accepted.sendall(b"hello yourself")
            client.recv(14)
            entry = counted(cases.ipvs)
            seen = shown("-Ln", "--stats", "--exact")
    one = entry.destinations[REAL]
    line = " ".join(str(count) for count in one.counters[:5])
    cases.ipvs.zero(VIRTUAL)
    after = cases.ipvs.table()[VIRTUAL]
    cases.ipvs.apply([FlushTable()])
    cases.found.append(
        {
            "name": "counters of one connection",
            "expected": [f"-> {REAL} {line}"],
            "ipvsadm": seen,
            "read_back": repr(entry),
            "good": f"-> {REAL} {line}" in seen
            and (one.active, one.inactive, one.counters.connections) == (1, 0, 1)
            and one.counters == entry.counters
            and min(one.counters[:5]) > 0
            and after.counters.bytes_in == after.destinations[REAL].counters.connections == 0,
        }
    )


def counted(ipvs: Ipvs) -> ServiceEntry:
    """The service once its counters say something: the kernel sums them up every two seconds."""
    end = time.monotonic() + 15
    while not (entry := ipvs.table()[VIRTUAL]).counters.connections and time.monotonic() < end:
        time.sleep(0.05)
    return entry


def namespace_cases(cases: Cases) -> None:
    """A table of another namespace: what is written there stands there only."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True, timeout=30)
    begin = AddService(VIRTUAL, ROUND_ROBIN)
    try:
        there = open_ipvs(NAMESPACE)
        outcomes = there.apply([begin])
        there.close()
        inside = ["ip", "netns", "exec", NAMESPACE, "ipvsadm", "-Sn"]
        seen = subprocess.run(inside, capture_output=True, text=True, timeout=30, check=False).stdout.split(
            "\n"
        )
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True, timeout=30)
    expected = ["-A -t 10.9.0.1:80 -s rr"]
    cases.found.append(
        {
            "name": "another namespace",
            "wrote": [repr(begin)],
            "outcomes": [type(outcome).__name__ for outcome in outcomes],
            "expected": expected,
            "ipvsadm": [line.strip() for line in seen if line],
            "good": [line.strip() for line in seen if line] == expected and not rules(),
        }
    )


def has_module(name: str) -> bool:
    return subprocess.run(["modprobe", "-n", "-q", name], check=False, timeout=30).returncode == 0


def figures(ipvs: Ipvs) -> dict[str, float]:
    """Microseconds with ten thousand destinations behind a hundred services."""
    services = [VIRTUAL._replace(port=8000 + place) for place in range(100)]
    servers = [Destination(IPv4Address(0x0A0A0000 + place), 80) for place in range(MANY // 100)]
    settings = DestinationSettings()
    pairs = [(service, server) for service in services for server in servers]
    ipvs.apply([FlushTable(), *(AddService(service, ROUND_ROBIN) for service in services)])
    found = {}
    steps: dict[str, list[IpvsChange]] = {
        "add": [AddDestination(*pair, settings) for pair in pairs],
        "edit": [EditDestination(*pair, settings._replace(weight=5)) for pair in pairs],
        "add_again": [AddDestination(*pair, settings) for pair in pairs],
    }
    for name, changes in steps.items():
        found[name], outcomes = timed(partial(ipvs.apply, changes))
        wanted = "AlreadySo" if name == "add_again" else "Done"
        assert {type(outcome).__name__ for outcome in outcomes} == {wanted}, name
    found["read"], table = timed(ipvs.table)
    assert sum(len(entry.destinations) for entry in table.values()) == MANY
    found["one_edit"] = (
        timed(lambda: [ipvs.apply([change]) for change in steps["edit"][:1000]])[0] * MANY / 1000
    )
    found["delete"], _ = timed(lambda: ipvs.apply([DeleteDestination(*pair) for pair in pairs]))
    ipvs.apply([FlushTable()])
    return {name: round(value, 2) for name, value in found.items()}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    before = time.perf_counter()
    result = work()
    return (time.perf_counter() - before) / MANY * 1e6, result


async def opened() -> Ipvs:
    """Opened where a loop runs, as in the daemon."""
    return open_ipvs(None)


def run() -> Iterator[tuple[str, Any]]:
    begin = time.perf_counter()
    ipvs = asyncio.run(opened())
    yield "open_ms", round((time.perf_counter() - begin) * 1000, 1)
    yield "information", ipvs.information()._asdict()
    cases = Cases(ipvs)
    for kind in (service_cases, persistence_cases, identity_cases, destination_cases, change_cases):
        kind(cases)
    subprocess.run(["ip", "link", "add", SYNC_DEVICE, "type", "dummy"], check=False, timeout=30)
    subprocess.run(["ip", "link", "set", SYNC_DEVICE, "up"], check=False, timeout=30)
    subprocess.run(["ip", "address", "add", "10.9.9.1/24", "dev", SYNC_DEVICE], check=False, timeout=30)
    global_cases(cases)
    counter_cases(cases)
    namespace_cases(cases)
    yield "cases", cases.found
    yield "figures", figures(ipvs)
    ipvs.close()


def main() -> int:
    found = dict(run())
    json.dump(found, sys.stdout, indent=1)
    return 0 if all(case["good"] for case in found["cases"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
