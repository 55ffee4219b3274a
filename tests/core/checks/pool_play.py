"""A virtual server to play with: servers 10.5.0.11 and up behind 10.5.0.1, and effects in few words."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, assert_never

from keepalived_py.base.names import Address
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.verdicts import CheckerVerdict
from keepalived_py.model import ipvs
from keepalived_py.model.check_events import CheckEffect, SendAlert, StartCheck
from keepalived_py.model.effects import RunNotify, WriteFifo, WriteLog
from keepalived_py.model.globals import Globals, Lvs
from keepalived_py.model.scripts import Command
from keepalived_py.model.virtual_server import Protocol, RealServer, ServerGroup, SorryServer, VirtualServer

VS = "[10.5.0.1]:tcp:80"


def at(text: str) -> Address:
    return ip_address(text)


def script(name: str) -> Command:
    return Command((name,), 0, 0)


def real(number: int, **settings: Any) -> RealServer:
    """10.5.0.NUMBER:80."""
    return RealServer(**{"address": at(f"10.5.0.{number}"), "port": 80, **settings})


def sorry(number: int = 99, **settings: Any) -> SorryServer:
    return SorryServer(**{"address": at(f"10.5.0.{number}"), "port": 80, **settings})


def virtual(*servers: RealServer, **settings: Any) -> VirtualServer:
    """10.5.0.1:80 over TCP, but for `settings`."""
    usual = {"address": at("10.5.0.1"), "port": 80, "protocol": Protocol.TCP, "real_servers": servers}
    return VirtualServer(**{**usual, **settings})


def name(number: int) -> str:
    return f"[10.5.0.{number}]:tcp:80"


def short(effect: CheckEffect) -> str:
    """An effect in few words: "+" is an addition, "=" an edit, "-" a removal."""
    match effect:
        case WriteLog():
            return effect.text
        case WriteFifo():
            return f"fifo {effect.line}"
        case RunNotify():
            return f"run {effect.command.argv[0]}"
        case SendAlert():
            return f"mail {effect.subject}: {effect.body}"
        case ipvs.AddService() | ipvs.EditService():
            sign = "+" if isinstance(effect, ipvs.AddService) else "="
            return f"{sign} {effect.service} {effect.settings.scheduler.value}"
        case ipvs.DeleteService():
            return f"- {effect.service}"
        case ipvs.AddDestination() | ipvs.EditDestination():
            sign = "+" if isinstance(effect, ipvs.AddDestination) else "="
            return f"{sign} {_place(effect)} w{effect.settings.weight}"
        case ipvs.DeleteDestination():
            return f"- {_place(effect)}"
        case StartCheck() | ipvs.FlushTable():
            raise AssertionError(effect)
        case _:
            assert_never(effect)


def _place(change: ipvs.AddDestination | ipvs.EditDestination | ipvs.DeleteDestination) -> str:
    usual = ipvs.Service(4, Protocol.TCP, at("10.5.0.1"), 80)
    return str(change.destination) if change.service == usual else f"{change.service} {change.destination}"


class Play:
    """A pool; each step answers with its effects in few words."""

    def __init__(
        self,
        settings: VirtualServer,
        failed: Sequence[int] | None = None,
        *,
        group: ServerGroup | None = None,
        lvs: Lvs | None = None,
        place: int = 0,
        added: Sequence[int] = (),
    ) -> None:
        counts = failed or [0] * len(settings.real_servers)
        self.pool = pools.begun(settings, group, place, counts, Globals(lvs=lvs or Lvs()), added)

    def start(self, **how: Any) -> list[str]:
        return self._step(pools.initialised, **how)

    def say(self, index: int, up: bool, *, before: bool | None = None, **verdict: bool) -> list[str]:
        """A check says `up`; it said the opposite before, if nothing else is said."""
        was = not up if before is None else before
        said = CheckerVerdict(up, was, verdict.get("had_run", True), verdict.get("alpha", False))
        return self._step(pools.verdict, index, said)

    def weigh(self, index: int, weight: int) -> list[str]:
        return self._step(pools.weight_changed, index, weight)

    def stop(self, **how: Any) -> list[str]:
        return self._step(pools.dissolved, **{"stopping": True, **how})

    def _step(self, step: Any, *arguments: Any, **how: Any) -> list[str]:
        out: list[CheckEffect] = []
        self.pool = step(self.pool, *arguments, out, **how)
        return [short(effect) for effect in out]
