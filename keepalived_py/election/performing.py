"""Which part of the machine performs an effect, and in which lane.

A lane is an instance, a group, or a check script: what belongs to one stays in
order.  Changes of the kernel's tables go there in batches; whatever returns at
once is done on the spot.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from os import strerror

from keepalived_py.base.names import Address
from keepalived_py.election.announcing import Announcer
from keepalived_py.election.ports import Machine
from keepalived_py.model import effects as fx


class Performer:
    """Hands effects to `machine`; neighbours are told by `announcer`, which may space them out."""

    def __init__(self, machine: Machine, announcer: Announcer) -> None:
        self._machine = machine
        self._announcer = announcer

    def batch(self, changes: Sequence[fx.KernelChange]) -> Awaitable[Sequence[fx.Outcome]]:
        """Change the kernel's tables, all in one request."""
        return self._machine.kernel.apply(changes)

    def one(self, effect: fx.Effect) -> fx.Outcome | Awaitable[fx.Outcome]:
        """Perform any other effect that goes through a lane."""
        if isinstance(effect, fx.SendNeighbour):
            return self._announcer.announce(effect.instance, effect.address)
        self._announcer.flush()
        machine = self._machine
        match effect:
            case fx.RunNotify():
                return _outcome(machine.scripts.notify(effect.command))
            case fx.RunCheck():
                return _outcome(machine.scripts.check(effect))
            case fx.RunProbe():
                machine.probes.connect(effect)
                return fx.Done()
            case fx.AskServer():
                machine.servers.ask(effect)
                return fx.Done()
            case fx.WriteFifo():
                machine.fifos.write(effect.line)
                return fx.Done()
            case fx.BlockAddresses():
                return asyncio.ensure_future(machine.firewall.block(effect.instance, effect.addresses))
            case fx.UnblockAddresses():
                return asyncio.ensure_future(machine.firewall.unblock(effect.instance, effect.addresses))
            case fx.CreateDevice():
                return asyncio.ensure_future(machine.devices.create(effect.device))
            case _:
                raise AssertionError(f"{effect} does not go through a lane of its own")


def lane_of(effect: fx.Effect) -> str:
    """The lane that `effect` waits in."""
    match effect:
        case fx.RunCheck() | fx.RunProbe() | fx.AskServer():
            return f"script {effect.name}"
        case fx.RunNotify() | fx.WriteFifo():
            return lane_of_owner(effect.owner)
        case fx.SendAdvert() | fx.RaiseSequence() | fx.RoleChanged() | fx.WriteLog() | fx.EndProgram():
            raise AssertionError(f"{effect} does not go through a lane")
        case _:
            return lane_of_owner(effect.instance)


def lane_of_owner(name: str) -> str:
    """The lane of an instance or group; that of what is static has no name."""
    return f"owner {name}"


def explanation(change: fx.RoleChanged) -> fx.WriteLog:
    """Why an instance has changed its role; keepalived has no such line."""
    text = f"({change.instance}) {change.old.name} to {change.new.name}: {change.reason} ({change.evidence})"
    return fx.WriteLog(text, detail=True)


def refusal(effect: fx.SendAdvert, destination: Address, error: int) -> fx.WriteLog | None:
    """keepalived's line about an advert that could not be sent; None for a resignation, which may fail."""
    name, advert = effect.instance, effect.advert
    if not advert.priority:
        return None
    if advert.multicast:
        return fx.WriteLog(f"({name}): send advert error {error} ({strerror(error)})")
    return fx.WriteLog(f"({name}) Cant send advert to {destination} ({strerror(error)})")


def _outcome(error: int) -> fx.Outcome:
    return fx.Failed(error) if error else fx.Done()
