"""The samples of what VRRP can do, as they stand in their files: what each of them promises happens.

Only paths are changed: of scripts that write down how they were called, of the
pipe and of the tracked file.  The machines are those that the samples speak of:
10.1.0.1 and 10.1.0.2, and a router, 10.1.0.3, that is a node of its own.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from capture import Frame
from lab import SECOND_NS, Lab, laboratory
from space import run
from test_samples import SAMPLES, recorder, text_of
from variants import held

# The far ends of the sessions of both nodes.
ROUTER = "".join(
    f"bfd_instance node{node} {{\n neighbor_ip 10.1.0.{node}\n source_ip 10.1.0.3\n"
    f" min_rx 100\n min_tx 100\n multiplier 3\n}}\n"
    for node in (1, 2)
)


@contextmanager
def machines(directory: Path, nodes: int = 2) -> Iterator[Lab]:
    """The machines of the samples; names and addresses of both families are given."""
    with laboratory(directory, nodes=nodes, net=1, ipv6=True) as lab:
        yield lab


@pytest.fixture
def pair_of(tmp_path: Path) -> Iterator[Lab]:
    """Two machines."""
    with machines(tmp_path) as lab:
        yield lab


@pytest.fixture
def with_router(tmp_path: Path) -> Iterator[Lab]:
    """Two machines, and the router 10.1.0.3."""
    with machines(tmp_path, 3) as lab:
        yield lab


def begin(lab: Lab, kind: str, sample: str) -> None:
    """Both nodes run the sample."""
    for node in (1, 2):
        lab.start(node, kind, text_of(sample, node, lab.directory / "unused"))


def wait_held(lab: Lab, node: int, *addresses: str, timeout_s: float = 12) -> None:
    """Until `node` holds all of them, and the other one none."""

    def settled() -> bool:
        return set(addresses) <= held(lab, node) and not set(addresses) & held(lab, 3 - node)

    lab.wait(settled, timeout_s, f"node {node} alone holds {addresses}")


def first_advert(lab: Lab, node: int, since_ns: int = 0) -> Frame:
    """The first advert of `node` after a time."""
    lab.wait(lambda: bool(lab.capture.adverts(node, since_ns)), 5, f"an advert of node {node}")
    return lab.capture.adverts(node, since_ns)[0]


def test_version_3_takes_over_within_a_second(pair_of: Lab, subject: str) -> None:
    """And whoever comes back leaves the address where it is."""
    lab = pair_of
    texts = {node: text_of("version-3", node, lab.directory / "unused") for node in (1, 2)}
    # Whoever is there first stays, so node 1 is.
    lab.start(1, subject, texts[1])
    lab.wait(lambda: bool(lab.capture.adverts(1)), 8, "node 1 is MASTER")
    lab.start(2, subject, texts[2])
    lab.wait_logged(2, "Entering BACKUP STATE")
    wait_held(lab, 1, "10.1.0.101")
    killed = lab.programs[1].kill_all()
    last = lab.last_advert(1, before_ns=killed)
    assert last.vrrp[0] >> 4 == 3
    gap_s = (first_advert(lab, 2, killed).time_ns - last.time_ns) / SECOND_NS
    assert 0.6 < gap_s < 1.0
    lab.wait(lambda: "10.1.0.101" in held(lab, 2), 3, "node 2 holds the address")
    back = lab.start(1, subject, texts[1])
    lab.wait(lambda: back.logged("Entering BACKUP STATE"), 5, "node 1 is back")
    seen = lab.last_advert(2).time_ns
    lab.wait(lambda: lab.last_advert(2).time_ns > seen + 2 * SECOND_NS, 5, "two more seconds of node 2")
    wait_held(lab, 2, "10.1.0.101")


def test_addresses_of_both_families_move_together(pair_of: Lab, subject: str) -> None:
    lab = pair_of
    begin(lab, subject, "ipv6")
    wait_held(lab, 1, "fe80::22", "2001:db8:1::22", "10.1.0.102")
    advert = lab.last_advert(1)
    assert (advert.source, advert.vrrp[3]) == ("fe80::1", 2)
    lab.programs[1].send(signal.SIGTERM)
    wait_held(lab, 2, "fe80::22", "2001:db8:1::22", "10.1.0.102")


def test_peers_are_told_one_by_one(pair_of: Lab, subject: str) -> None:
    lab = pair_of
    begin(lab, subject, "unicast")
    wait_held(lab, 1, "10.1.0.103")
    advert = lab.last_advert(1)
    assert (advert.raw[:6], advert.ip[16:20]) == (lab.space.mac(2), bytes((10, 1, 0, 2)))


def test_the_hardware_address_moves_too(pair_of: Lab, subject: str) -> None:
    lab = pair_of
    begin(lab, subject, "virtual-mac")
    wait_held(lab, 1, "10.1.0.104")
    virtual = bytes.fromhex("00005e000118")
    assert lab.last_advert(1).raw[6:12] == virtual
    assert {frame.raw[6:12] for frame in lab.capture.arps(1) if frame.arp_target == "10.1.0.104"} == {virtual}
    for node in (1, 2):
        assert "vrrp.24@eth0" in lab.space.ip(node, "link")
        lab.programs[node].send(signal.SIGTERM)
        assert lab.programs[node].wait_end() == 0
        assert "vrrp.24" not in lab.space.ip(node, "link")


def test_routes_and_rules_follow_the_address(pair_of: Lab, subject: str) -> None:
    lab = pair_of
    begin(lab, subject, "routes-and-rules")
    wait_held(lab, 1, "10.1.0.107")

    def routed(node: int) -> list[bool]:
        routes = lab.space.ip(node, "route", "show", "table", "all")
        rules = lab.space.ip(node, "rule")
        wanted = ("table 107", "203.0.113.0/24 via 10.1.0.254", "blackhole 192.0.2.0/24")
        return [*(words in routes for words in wanted), "from 10.1.0.107 lookup 107" in rules]

    lab.wait(lambda: all(routed(1)), 3, "routes and rules of the master")
    assert not any(routed(2))
    for node in (1, 2):
        assert "198.51.100.0/24 via 10.1.0.253" in lab.space.ip(node, "route")
    lab.programs[1].send(signal.SIGTERM)
    lab.wait(lambda: all(routed(2)) and not any(routed(1)), 8, "they move")


def test_who_loses_the_router_gives_up(with_router: Lab, subject: str) -> None:
    """Node 1 keeps its link, hears nobody, and is no second master."""
    lab = with_router
    lab.start(3, subject, ROUTER)
    begin(lab, subject, "bfd")
    wait_held(lab, 1, "10.1.0.108", timeout_s=20)
    lab.space.cut(1)
    wait_held(lab, 2, "10.1.0.108")
    assert lab.programs[1].logged("Entering FAULT STATE")
    lab.space.heal(1)
    wait_held(lab, 1, "10.1.0.108", timeout_s=20)


def test_nobody_talks_to_the_gateway(pair_of: Lab, subject: str) -> None:
    lab = pair_of
    begin(lab, subject, "no-accept")
    wait_held(lab, 1, "10.1.0.109")

    def answers(address: str) -> bool:
        words = ["ip", "netns", "exec", lab.space.node(2), "ping", "-c", "1", "-W", "1", address]
        return subprocess.run(words, capture_output=True, timeout=10).returncode == 0

    def rules(node: int) -> str:
        return run("ip", "netns", "exec", lab.space.node(node), "nft", "list", "ruleset")

    assert answers("10.1.0.1")
    assert not answers("10.1.0.109")
    assert "10.1.0.109" in rules(1) and "counter" in rules(1)
    assert "10.1.0.109" not in rules(2)


def test_one_program_reads_all_changes(pair_of: Lab, subject: str) -> None:
    """`STOP` too (keepalived 2.2.7 ends the program before it has read that)."""
    lab = pair_of
    told = lab.directory / "told"
    sample = (SAMPLES / "notify-fifo" / "reader.sh").read_text()
    reader = lab.directory / "reader.sh"
    reader.write_text(sample.replace("logger -t vrrp-state", "echo").replace('"\ndone', f'" >>{told}\ndone'))
    reader.chmod(0o755)
    text = text_of("notify-fifo", 1, reader).replace("/etc/keepalived/reader.sh", str(reader))
    program = lab.start(1, subject, text.replace("/run/keepalived-vrrp.fifo", str(lab.directory / "fifo")))
    lab.wait(lambda: "10.1.0.110" in held(lab, 1), 8, "node 1 is master")
    program.send(signal.SIGTERM)
    program.wait_end()
    words = ("BACKUP", "MASTER", "STOP")
    wanted = [f'INSTANCE "VIR_1" is {word} with priority 100' for word in words]
    lab.wait(lambda: told.exists() and told.read_text().splitlines() == wanted, 3, "the reader was told")


def test_signed_adverts(pair_of: Lab) -> None:
    """What is signed is 28 bytes longer, and believed; keepalived 2.2.7 knows nothing of it."""
    lab = pair_of
    begin(lab, "ours", "auth-hmac")
    wait_held(lab, 1, "10.1.0.111")
    assert len(lab.last_advert(1).vrrp) == 8 + 4 + 28
    assert lab.last_advert(1).vrrp[12:14] == b"\1\1"
    lab.programs[1].send(signal.SIGTERM)
    wait_held(lab, 2, "10.1.0.111", timeout_s=2.5)


def more_networks(lab: Lab) -> None:
    """eth1 joins nodes 1 and 2 and has addresses of its own; eth2 of each leads to the switch."""
    one, two = (lab.space.node(node) for node in (1, 2))
    run("ip", "link", "add", "eth1", "netns", one, "type", "veth", "peer", "name", "eth1", "netns", two)
    for node in (1, 2):
        far, name = lab.space.switch, f"up{node}"
        run(
            "ip",
            "link",
            "add",
            name,
            "netns",
            far,
            "type",
            "veth",
            "peer",
            "name",
            "eth2",
            "netns",
            lab.space.node(node),
        )
        run("ip", "-n", far, "link", "set", name, "up")
        for name in ("eth1", "eth2"):
            lab.space.ip(node, "link", "set", name, "up")
        lab.space.ip(node, "addr", "add", f"192.168.26.{node + 1}/24", "dev", "eth1")


def test_the_group_moves_as_one(with_router: Lab, subject: str, tmp_path: Path) -> None:
    """By the number in a file, by a link; and the group's script is told, not one of each instance.

    The kernel tells nobody in a network namespace of processes: to both nodes the proxy is missing.
    """
    lab, both = with_router, ("10.1.0.105", "192.168.26.1")
    more_networks(lab)
    lab.start(3, subject, ROUTER)
    notify = recorder(tmp_path)
    files = {node: tmp_path / f"handover{node}" for node in (1, 2)}
    for node in (1, 2):
        files[node].write_text("0\n")
        text = text_of("sync-group", node, notify)
        lab.start(node, subject, text.replace("/etc/keepalived/handover", str(files[node])))
    wait_held(lab, 1, *both, timeout_s=20)
    files[1].write_text("-30\n")
    wait_held(lab, 2, *both)
    files[1].write_text("0\n")
    wait_held(lab, 1, *both)
    lab.space.ip(1, "link", "set", "eth2", "down")
    wait_held(lab, 2, *both)
    called = tmp_path / "called"
    lab.wait(lambda: called.read_text().split().count("master") >= 4, 3, "the script was told of each master")
