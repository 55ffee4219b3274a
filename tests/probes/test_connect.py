"""TCP_CHECK: who accepts is good; and what is no verdict is told from what is one."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.check_events import CheckResult, Ending, Target
from keepalived_py.model.checks import TcpCheck
from tests.probes.web_server import LABEL, asked, limit, lived

HERE = ip_address("127.0.0.1")


def result(check: TcpCheck, target: Target) -> CheckResult:
    return lived(lambda: asked(check, target))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_accepts(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        found = result(TcpCheck(), Target(ip_address(host), server.getsockname()[1]))
    assert found.good
    assert found.ending is Ending.ANSWERED
    assert found.lines == (f"TCP connection to {LABEL} success.",)
    assert found.took_us > 0


def test_the_connection_is_closed_without_a_byte() -> None:
    async def life() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            found = await asked(TcpCheck(), Target(HERE, server.getsockname()[1]))
            assert found.good
            accepted, _ = await asyncio.get_running_loop().sock_accept(server)
            with accepted:
                return await asyncio.get_running_loop().sock_recv(accepted, 100)

    assert lived(life) == b""


def test_a_port_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = result(TcpCheck(), Target(HERE, port))
    assert (found.good, found.ending, found.text) == (False, Ending.REFUSED, "connection refused")
    assert found.lines == (f"TCP connection to {LABEL} failed.",)


def test_a_port_that_does_not_answer() -> None:
    """Its backlog is full: the kernel drops what else comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
        first.connect(server.getsockname())
        found = result(TcpCheck(connect_timeout_us=limit(0.05)), Target(HERE, server.getsockname()[1]))
    assert (found.good, found.ending) == (False, Ending.TIMED_OUT)
    assert found.lines == (f"TCP connection to {LABEL} timeout.",)
    assert 50_000 <= found.took_us < 5_000_000


def test_an_address_that_is_not_ours_is_no_verdict() -> None:
    found = result(TcpCheck(source_ip=ip_address("192.0.2.1")), Target(HERE, 80))
    assert (found.good, found.ending) == (False, Ending.BROKEN)
    assert found.lines == (
        "Checker bind failed: Cannot assign requested address",
        "TCP socket bind failed. Rescheduling.",
    )


def test_an_interface_that_is_not_there_is_no_verdict() -> None:
    found = result(TcpCheck(source_interface=InterfaceName("nothere0")), Target(HERE, 80))
    assert found.ending is Ending.BROKEN
    assert found.lines[0].startswith("Checker can't bind to device nothere0: ")


def test_the_own_side_is_as_configured() -> None:
    async def life() -> tuple[str, int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            with socket.create_server(("127.0.0.2", 0)) as free:
                port = free.getsockname()[1]
            check = TcpCheck(source_ip=ip_address("127.0.0.2"), source_port=port)
            assert (await asked(check, Target(HERE, server.getsockname()[1]))).good
            accepted, address = await asyncio.get_running_loop().sock_accept(server)
            accepted.close()
            assert address == ("127.0.0.2", port)
            return address[0], address[1]

    lived(life)


def test_no_socket_to_be_had_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("keepalived_py.probes.connect.opened", full)
    found = result(TcpCheck(), Target(HERE, 80))
    assert found.ending is Ending.BROKEN
    assert found.lines == ("TCP connect fail to create socket. Rescheduling.",)


def test_what_is_cancelled_leaves_nothing_open() -> None:
    async def life() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
            first.connect(server.getsockname())
            loop = asyncio.get_running_loop()
            task = loop.create_task(asked(TcpCheck(), Target(HERE, server.getsockname()[1])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            descriptors = set(loop._selector.get_map())  # type: ignore[attr-defined]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(loop._selector.get_map()) == len(descriptors) - 1  # type: ignore[attr-defined]

    lived(life)
