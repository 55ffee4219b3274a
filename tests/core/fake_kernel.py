"""A kernel that applies effects in lanes, with the real one's rules for equal addresses, and a node on top of it.

Changes that follow each other in a lane are one batch.  Batches of different
lanes come in a random order.  After each batch every address that must never
be missing is looked for.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.core import node as core
from keepalived_py.core.holder.devices import ExistingDevice, plan
from keepalived_py.core.holder.moving import of_master, of_statics
from keepalived_py.core.holder.things import bare, place_of, slot
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.interfaces import Device
from keepalived_py.model.network import Route, Rule

_NO_LANE = fx.SendAdvert | fx.WriteLog | fx.RoleChanged | fx.WriteFifo | fx.RunNotify

Where = tuple[InterfaceName, Address]


class FakeKernel:
    """Addresses, routes and rules.  `refusals` gives the outcome of changes that are refused.

    An address is `blocked` as long as one owner wants it.
    """

    def __init__(self) -> None:
        self.addresses: list[VirtualAddress] = []
        self.routes: list[Route] = []
        self.rules: list[Rule] = []
        self.blocks: set[tuple[InstanceName, Where]] = set()
        self.refusals: dict[object, int] = {}

    def there(self) -> set[Where]:
        """Which addresses are on which interfaces."""
        return {(each.interface, each.address) for each in self.addresses}

    def apply(self, effect: fx.Effect) -> tuple[fx.Outcome, list[ev.Event]]:
        """The outcome, and what the kernel reports."""
        match effect:
            case fx.AddAddress(_, virtual):
                return self._add_address(virtual)
            case fx.DeleteAddress(_, virtual):
                return self._delete_address(virtual)
            case fx.AddRoute(_, route):
                return self._add(self.routes, route), []
            case fx.DeleteRoute(_, route):
                return self._delete(self.routes, route), []
            case fx.AddRule(_, rule):
                return self._add(self.rules, rule), []
            case fx.DeleteRule(_, rule):
                return self._delete(self.rules, rule), []
            case fx.BlockAddresses(owner, addresses):
                self.blocks |= {(owner, (each.interface, each.address)) for each in addresses}
            case fx.UnblockAddresses(owner, addresses):
                self.blocks -= {(owner, (each.interface, each.address)) for each in addresses}
            case _:
                pass
        return fx.Done(), []

    def _add_address(self, virtual: VirtualAddress) -> tuple[fx.Outcome, list[ev.Event]]:
        if virtual.address in self.refusals:
            return fx.Failed(self.refusals[virtual.address]), []
        if any(slot(each) == slot(virtual) for each in self.addresses):
            return fx.AlreadySo(), []
        self.addresses.append(virtual)
        return fx.Done(), [ev.AddressAdded(virtual.interface, _reported(virtual))]

    def _delete_address(self, virtual: VirtualAddress) -> tuple[fx.Outcome, list[ev.Event]]:
        for each in self.addresses:
            if place_of(each) == place_of(virtual):
                self.addresses.remove(each)
                return fx.Done(), [ev.AddressRemoved(virtual.interface, _reported(virtual))]
        return fx.AlreadySo(), []

    @staticmethod
    def _add(table: list[Route] | list[Rule], thing: Route | Rule) -> fx.Outcome:
        if any(bare(each) == bare(thing) for each in table):
            return fx.AlreadySo()
        table.append(thing)  # type: ignore[arg-type]  # each table gets its own kind
        return fx.Done()

    @staticmethod
    def _delete(table: list[Route] | list[Rule], thing: Route | Rule) -> fx.Outcome:
        for each in table:
            if bare(each) == bare(thing):
                table.remove(each)  # type: ignore[arg-type]  # as above
                return fx.Done()
        return fx.AlreadySo()

    def contents(self) -> tuple[frozenset[object], ...]:
        """Everything, for comparison."""
        return (
            frozenset(bare(each) for each in self.addresses),
            frozenset(bare(each) for each in self.routes),
            frozenset(bare(each) for each in self.rules),
            frozenset(self.blocks),
        )


def _reported(virtual: VirtualAddress) -> ev.InterfaceAddress:
    return ev.InterfaceAddress(virtual.address, place_of(virtual).prefix_length)


class Life:
    """A node on a kernel.  `verdicts` are the exit codes of the check scripts by name."""

    def __init__(
        self, configuration: Configuration, interfaces: Iterable[ev.InterfaceFacts], seed: int = 0
    ) -> None:
        self.kernel = FakeKernel()
        self.now = Micros(0)
        self.random = Random(seed)
        self.interfaces = {facts.name: facts for facts in interfaces}
        self.must_stay: set[Where] = set()
        self.missing: set[Where] = set()
        self.effects: list[fx.Effect] = []
        self.lanes: dict[str, deque[fx.Effect]] = {}
        self.working = False
        self.verdicts: dict[str, int] = {}
        self.devices: tuple[Device, ...] = ()
        self.configuration = self._planned(configuration)
        self.node: core.Node
        self._take(core.start(self.configuration, self.interfaces, self.now))

    def _planned(self, configuration: Configuration) -> Configuration:
        existing = [
            ExistingDevice(each.name, each.base, each.kind, each.mode, each.mac or b"", ours=True)
            for each in self.devices
        ]
        planned = plan(configuration, self.interfaces, existing)
        self.devices = planned.devices
        for number, device in enumerate(planned.devices):
            own = tuple(each for each in self.interfaces[device.base].addresses if each.address.is_link_local)
            self.interfaces[device.name] = ev.InterfaceFacts(
                device.name, 100 + number, True, mac=device.mac or b"\2\0\0\0\0\7", addresses=own
            )
        return planned

    def reload(self, configuration: Configuration) -> None:
        """Devices are made first, then the node is told, then those no longer needed go."""
        before, old = self.wanted(), self.configuration
        self.configuration = self._planned(configuration)
        for device in self.configuration.devices:
            if device not in old.devices:
                self.feed(ev.LinkChanged(self.interfaces[device.name]))
        self.effects = []
        step = core.step(self.node, ev.SettingsReplaced(self.configuration), self.now)
        self.node = step.node
        self.must_stay = before & self.wanted()
        self._take(step)
        for device in old.devices:
            if device.name not in {each.name for each in self.devices}:
                self.set_link(device.name, up=False, index=0)
                del self.interfaces[device.name]

    def wanted(self) -> set[Where]:
        """What all holders have on interfaces: masters, owners about to be, and static ones."""
        holdings = [
            of_master(state.settings)
            for state in self.node.instances.values()
            if state.role is fx.Role.MASTER or (state.role is fx.Role.INIT and state.deadline is not None)
        ]
        holdings.append(of_statics(self.node.configuration))
        return {(each.interface, each.address) for held in holdings for each in held.addresses}

    def feed(self, event: ev.Event) -> None:
        """One event, and what follows from it."""
        self._take(core.step(self.node, event, self.now))

    def until(self, at_s: float) -> None:
        """Let time pass."""
        end = Micros(round(at_s * 1_000_000))
        while (due := core.next_deadline(self.node)) is not None and due <= end:
            self.now = Micros(max(due, self.now))
            self.feed(ev.Tick())
        self.now = end

    def _take(self, step: core.Step) -> None:
        self.node = step.node
        self.must_stay &= self.wanted()
        for effect in step.effects:
            self.effects.append(effect)
            if isinstance(effect, fx.RunCheck):
                self.lanes.setdefault(f"check {effect.name}", deque()).append(effect)
            elif not isinstance(effect, _NO_LANE):
                self.lanes.setdefault(getattr(effect, "instance", ""), deque()).append(effect)
        if not self.working:
            self._work()

    def _work(self) -> None:
        self.working = True
        while self.lanes:
            name = self.random.choice(list(self.lanes))
            batch = self.lanes.pop(name)
            events = [event for effect in batch for event in self._perform(effect)]
            self.missing |= self.must_stay - self.kernel.there()
            for event in events:
                self.feed(event)
        self.working = False

    def _perform(self, effect: fx.Effect) -> list[ev.Event]:
        if isinstance(effect, fx.RunCheck):
            return [ev.ScriptFinished(effect.name, self.verdicts.get(effect.name, 0))]
        if isinstance(effect, fx.SendNeighbour):
            return []
        outcome, events = self.kernel.apply(effect)
        answer: ev.Event = ev.EffectDone(effect, outcome)
        return [*events, answer] if self.random.random() < 0.5 else [answer, *events]

    def steal(self, where: Where) -> None:
        """Somebody else takes an address off."""
        for each in tuple(self.kernel.addresses):
            if (each.interface, each.address) == where:
                self.kernel.addresses.remove(each)
                self.feed(ev.AddressRemoved(each.interface, _reported(each)))

    def set_link(self, name: str, *, up: bool = True, index: int | None = None) -> None:
        """An interface changes."""
        facts = self.interfaces[InterfaceName(name)]
        facts = replace(facts, up=up, index=facts.index if index is None else index)
        self.interfaces[facts.name] = facts
        self.feed(ev.LinkChanged(facts))

    def state(self, name: str) -> core.InstanceState:
        """One instance."""
        return self.node.instances[InstanceName(name)]

    def summary(self) -> dict[str, tuple[object, ...]]:
        """What must be the same however the node got here."""
        return {
            name: (
                state.role,
                state.effective_priority,
                state.source,
                state.advert,
                state.faults,
                state.group_fault and not state.faults,
                state.settings,
            )
            for name, state in self.node.instances.items()
        }
