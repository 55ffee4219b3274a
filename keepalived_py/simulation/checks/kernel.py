"""A kernel's table of virtual services that accepts nothing that makes no sense.

The real one answers "exists already" or "no such service", and keepalived goes on;
here that is a broken rule: whoever adds what is there, or edits or deletes what is not,
does not know what is in the table.
"""

from collections.abc import Mapping
from typing import assert_never

from keepalived_py.model import ipvs
from keepalived_py.model.ipvs import Destination, DestinationSettings, Service, ServiceSettings, TableChange


class RuleBroken(Exception):
    """A property does not hold."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class Entry:
    """A service and its servers."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.destinations: dict[Destination, DestinationSettings] = {}


Place = tuple[Service, Destination]


class Kernel:
    """The table.  `moved`: what was added or deleted since `calm`."""

    def __init__(self) -> None:
        self.entries: dict[Service, Entry] = {}
        self.moved: set[Place] = set()
        self.moved_services: set[Service] = set()
        self.changes = 0

    def calm(self) -> None:
        """From now on count what moves."""
        self.moved.clear()
        self.moved_services.clear()

    def places(self) -> Mapping[Place, DestinationSettings]:
        """Every server of every service."""
        return {
            (service, destination): settings
            for service, entry in self.entries.items()
            for destination, settings in entry.destinations.items()
        }

    def services(self) -> Mapping[Service, ServiceSettings]:
        """Every service."""
        return {service: entry.settings for service, entry in self.entries.items()}

    def apply(self, change: TableChange) -> None:
        """Make the change; raises RuleBroken if it makes no sense."""
        self.changes += 1
        match change:
            case ipvs.AddService(service, settings):
                _expect(service not in self.entries, change)
                self.entries[service] = Entry(settings)
                self.moved_services.add(service)
            case ipvs.EditService(service, settings):
                self._entry(change).settings = settings
            case ipvs.DeleteService(service):
                gone = self._entry(change)
                self.moved.update((service, destination) for destination in gone.destinations)
                self.moved_services.add(service)
                del self.entries[service]
            case ipvs.FlushTable():
                self.entries.clear()
            case ipvs.AddDestination() | ipvs.EditDestination() | ipvs.DeleteDestination():
                self._change_destination(change)
            case _:
                assert_never(change)

    def _change_destination(
        self, change: ipvs.AddDestination | ipvs.EditDestination | ipvs.DeleteDestination
    ) -> None:
        known = self._entry(change).destinations
        if isinstance(change, ipvs.DeleteDestination):
            _expect(known.pop(change.destination, None) is not None, change)
        else:
            is_new = isinstance(change, ipvs.AddDestination)
            _expect((change.destination in known) is not is_new, change)
            known[change.destination] = change.settings
        if not isinstance(change, ipvs.EditDestination):
            self.moved.add((change.service, change.destination))

    def _entry(
        self,
        change: ipvs.EditService
        | ipvs.DeleteService
        | ipvs.AddDestination
        | ipvs.EditDestination
        | ipvs.DeleteDestination,
    ) -> Entry:
        entry = self.entries.get(change.service)
        if entry is None:
            raise RuleBroken("strict kernel", f"no such service: {change}")
        return entry


def _expect(sound: bool, change: TableChange) -> None:
    if not sound:
        raise RuleBroken("strict kernel", str(change))
