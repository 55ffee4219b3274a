"""With four times the servers there is four times the work, and not more: calls are counted, not seconds."""

import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.model.effects import Done, Outcome
from keepalived_py.model.ipvs import DeleteDestination, DeleteService, IpvsChange
from keepalived_py.status import checks_snapshot
from tests.health.kernel_table import Scene

FEW, MANY = 50, 200
HEAD = "delay_loop 5\nwarmup 0\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nha_suspend\n"
CHECKS = "TCP_CHECK {\nconnect_timeout 1\n}\n"
SHAPES = ("one virtual server", "a virtual server each", "a group each")


def texts(shape: str, count: int) -> Iterator[str]:
    """A configuration with so many real servers, one check for each."""
    addresses = [IPv4Address("10.1.0.0") + number for number in range(1, count + 1)]
    servers = [f"real_server {address} 80 {{\n{CHECKS}}}\n" for address in addresses]
    if shape == "one virtual server":
        yield f"virtual_server 10.0.0.1 80 {{\n{HEAD}{''.join(servers)}}}\n"
        return
    for number, server in enumerate(servers):
        name = f"10.2.0.{number} 80"
        if shape == "a group each":
            yield f"virtual_server_group g{number} {{\n{name}\n}}\n"
            name = f"group g{number}"
        yield f"virtual_server {name} {{\n{HEAD}{server}}}\n"


def calls(work: Callable[[], object]) -> int:
    """How many functions are called by `work`."""
    count = 0

    def hear(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(hear)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def life(tmp_path: Path, shape: str, count: int) -> dict[str, int]:
    """The calls of each part of a life: start, reload, telling of it, stop."""
    scene = Scene(tmp_path)
    text = "".join(texts(shape, count))
    first, second = scene.configuration(text), scene.configuration(text)
    shell = scene.shell
    found = {
        "start": calls(lambda: scene.do(lambda: shell.start(first, ()))),
        "reload": calls(lambda: scene.do(lambda: shell.replace(second, ()))),
        "snapshot": calls(lambda: list(checks_snapshot.pieces(shell.view(), {}, 0.0))),
        "stop": calls(lambda: scene.do(lambda: shell.stop(release=True))),
    }
    assert scene.table.shown() == {}
    scene.loop.close()
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_takes_the_square_of_the_number_of_servers(tmp_path: Path, shape: str) -> None:
    few, many = life(tmp_path, shape, FEW), life(tmp_path, shape, MANY)
    growth = {part: many[part] / few[part] / (MANY / FEW) for part in few}
    assert max(growth.values()) < 1.15, growth


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_is_asked_once(tmp_path: Path, shape: str) -> None:
    scene = Scene(tmp_path)
    asked: list[list[IpvsChange]] = []

    def apply(changes: list[IpvsChange]) -> list[Outcome]:
        asked.append(list(changes))
        return [Done()] * len(changes)

    scene.table.apply = apply  # type: ignore[method-assign, assignment]
    text = "".join(texts(shape, FEW))
    scene.start(text)
    scene.reload(text.replace("connect_timeout 1", "connect_timeout 2"))
    assert [len(changes) for changes in asked] == [FEW + (1 if shape == SHAPES[0] else FEW)]
    scene.reload(text.replace("real_server 10.1.0.7 80 {", "real_server 10.1.0.7 80 {\nweight 7"))
    assert [type(change).__name__ for change in asked[1]] == ["EditDestination"]
    scene.do(lambda: scene.shell.stop(release=True))
    assert len(asked) == 3
    # Servers go with their services, but each is told of.
    assert {type(change) for change in asked[2]} == {DeleteService}
    assert sum(line.startswith("Shutting down service") for line in scene.lines) == FEW
    scene.loop.close()


def test_a_server_goes_alone_if_its_service_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    text = "".join(texts(SHAPES[0], 3))
    scene.start(text)
    scene.table.made.clear()
    scene.reload("".join(texts(SHAPES[0], 2)))
    assert [type(change) for change in scene.table.made] == [DeleteDestination]
    assert list(scene.weights()) == ["10.1.0.1:80", "10.1.0.2:80"]
    scene.do(lambda: scene.shell.stop(release=True))
    scene.loop.close()
