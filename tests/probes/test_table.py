"""The table of probes: each kind has one, and what a configuration brings is used."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import FatalStart
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import (
    Check,
    DnsCheck,
    HttpGet,
    PingCheck,
    SmtpCheck,
    SslGet,
    TcpCheck,
    UdpCheck,
    Url,
)
from keepalived_py.model.config import Configuration
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.model.virtual_server import RealServer, VirtualServer
from keepalived_py.probes import table
from keepalived_py.probes.table import Probes
from tests.probes.web_server import LABEL, limit, lived, page, saying, serving

HERE = ip_address("127.0.0.1")


def configured(*checks: Check, ssl: SslSettings | None = None) -> Configuration:
    server = RealServer(HERE, 80, checks=checks)
    return Configuration(ssl=ssl, virtual_servers=(VirtualServer(HERE, 80, real_servers=(server,)),))


def ticking() -> Any:
    ticks = iter(range(0, 10_000, 7))
    return lambda: Micros(next(ticks))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SmtpCheck, "ask_mail_server"),
        (DnsCheck, "ask_name_server"),
        (UdpCheck, "send_datagram"),
        (TcpCheck, "check_port"),
    ],
)
def test_each_kind_has_its_probe(kind: type[Check], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(order: StartCheck) -> CheckResult:
        return CheckResult(True, text=type(order.check).__name__)

    monkeypatch.setattr(table, name, probe)
    probes = Probes(ticking(), print)
    found = lived(lambda: probes.run(StartCheck(1, kind(), Target(HERE, 1), LABEL)))
    assert found == CheckResult(True, text=kind.__name__, took_us=Micros(7))


def test_pings_have_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ping(pinger: object, order: StartCheck) -> CheckResult:
        return CheckResult(True, text="pinged")

    monkeypatch.setattr("keepalived_py.probes.ping.Pinger.ping", ping)
    found = lived(lambda: Probes(ticking(), print).run(StartCheck(1, PingCheck(), Target(HERE, 0), LABEL)))
    assert found.text == "pinged"


def test_what_is_no_check_over_the_network_is_no_verdict() -> None:
    found = lived(lambda: Probes(ticking(), print).run(StartCheck(1, Check(), Target(HERE, 1), LABEL)))
    assert found.ending is Ending.BROKEN


def test_a_pattern_without_counterpart_is_told_of_once_and_is_no_verdict() -> None:
    said: list[str] = []
    check = HttpGet(
        urls=(Url(path="/a", regex="(?R)"), Url(path="/a", regex="(?R)"), Url(path="/b", regex="ok"))
    )
    probes = Probes(ticking(), said.append)
    probes.follow(configured(check))
    assert len(said) == 1
    assert said[0].startswith("Unable to use regex '(?R)' of url /a: ")
    found = lived(lambda: probes.run(StartCheck(1, check, Target(HERE, 1), LABEL)))
    assert (found.good, found.ending, found.text) == (False, Ending.BROKEN, said[0])


def test_bad_tls_settings_matter_only_to_who_needs_them(tmp_path: Path) -> None:
    bad = SslSettings(ca=str(tmp_path / "absent.pem"))
    probes = Probes(ticking(), print)
    probes.follow(configured(HttpGet(urls=(Url(path="/"),)), ssl=bad))
    with pytest.raises(FatalStart, match=r"absent\.pem"):
        probes.follow(configured(SslGet(urls=(Url(path="/"),)), ssl=bad))


def test_many_at_once_do_not_disturb_each_other() -> None:
    import asyncio

    async def life() -> list[CheckResult]:
        async with serving(saying(page(b"ok"))) as served:
            probes = Probes(ticking(), print)
            good = HttpGet(urls=(Url(path="/", regex="ok"),), connect_timeout_us=limit(10))
            bad = HttpGet(urls=(Url(path="/", regex="no"),), connect_timeout_us=limit(10))
            orders = [StartCheck(n, bad if n % 3 else good, served.target, LABEL) for n in range(90)]
            return await asyncio.gather(*map(probes.run, orders))

    assert [found.good for found in lived(life)] == [n % 3 == 0 for n in range(90)]
