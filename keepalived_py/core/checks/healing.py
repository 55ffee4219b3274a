"""What somebody else has changed in our services of the kernel's table, and how it is put back.

keepalived never looks at the table again: a service that somebody deletes stays away
until the next start.  Here everything that is ordered of the kernel is remembered
(`Wanted`), and now and then compared with what is there (`Healing.look`):

- a service or server that is missing is added again, one with other settings is edited;
- a server in one of our services that we have taken out (it failed, and somebody put it
  back) is taken out again;
- a server in one of our services that was never ours is left alone, and told of once;
- a service that is not ours is never touched, nor looked at.

What we change ourselves while the table is read may be read in either way, so it is left
for the next look: among ten thousand servers there is always one that changes.  The
kernel counts where it stands in a service, so when we take a server out meanwhile it
passes over another one; then nothing is believed to be missing there.

What does not become as it was asked to be (the kernel refuses, or somebody undoes it
each time) is tried again less and less often, up to every eighth look, until we ask
something else about it.  An entry that the kernel shows in other words than it was
given is no difference: without a mask for persistence it shows the full one, and of a
way without a tunnel it shows none.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple, assert_never

from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationEntry,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    Service,
    ServiceEntry,
    ServiceSettings,
    Table,
    TableChange,
)
from keepalived_py.model.virtual_server import Forwarding, ForwardingMethod, TunnelType

_FULL_MASK = IPv4Address("255.255.255.255")
_FULL_LENGTH = 128
_LONGEST_WAIT = 8
_MOST_LINES = 10


class Held:
    """One service of ours; `released`: servers of it that we took out at some time."""

    __slots__ = ("destinations", "released", "settings")

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.destinations: dict[Destination, DestinationSettings] = {}
        self.released: set[Destination] = set()


class Wanted:
    """What we believe is in the kernel's table.

    `version` changes with every change of a service.  Since the last look began, `touched` are the servers
    that were changed, and `shrunk` the services that lost one.
    """

    def __init__(self) -> None:
        self.services: dict[Service, Held] = {}
        self.version = 0
        self.touched: set[tuple[Service, Destination]] = set()
        self.shrunk: set[Service] = set()

    def apply(self, change: TableChange) -> None:
        """This has been asked of the kernel, whatever it said to it."""
        if isinstance(change, AddDestination | EditDestination | DeleteDestination):
            self.touched.add((change.service, change.destination))
            if isinstance(change, DeleteDestination):
                self.shrunk.add(change.service)
        else:
            self.version += 1
        match change:
            case AddService() | EditService():
                held = self.services.get(change.service)
                if held is None:
                    self.services[change.service] = Held(change.settings)
                else:
                    held.settings = change.settings
            case DeleteService():
                self.services.pop(change.service, None)
            case AddDestination() | EditDestination():
                held = self.services.get(change.service)
                if held is not None:
                    held.destinations[change.destination] = change.settings
            case DeleteDestination():
                held = self.services.get(change.service)
                if held is not None and held.destinations.pop(change.destination, None) is not None:
                    held.released.add(change.destination)
            case FlushTable():
                self.services.clear()
            case _:
                assert_never(change)

    def configured(self, servers: Mapping[Service, Collection[Destination]]) -> None:
        """After a reload: what is configured no more was ours once, but is not any longer."""
        for service, held in self.services.items():
            held.released.intersection_update(servers.get(service, ()))


class Differences(NamedTuple):
    """What would put our services right, and the servers in them that are none of ours."""

    changes: list[TableChange]
    strangers: set[tuple[Service, Destination]]


def missing(wanted: Wanted, table: Table) -> Differences:
    """What is to be done for `table` to have everything that is wanted."""
    changes: list[TableChange] = []
    strangers: set[tuple[Service, Destination]] = set()
    for service, held in wanted.services.items():
        entry = table.get(service)
        if entry is None:
            changes.append(AddService(service, held.settings))
            changes += (AddDestination(service, *both) for both in held.destinations.items())
            continue
        if not same_service(held.settings, entry.settings):
            changes.append(EditService(service, held.settings))
        known = _put_right(service, held, entry, changes)
        if len(entry.destinations) == known:
            continue
        for extra in entry.destinations.keys() - held.destinations.keys():
            if extra in held.released:
                changes.append(DeleteDestination(service, extra))
            else:
                strangers.add((service, extra))
    return Differences(changes, strangers)


def _put_right(service: Service, held: Held, entry: ServiceEntry, changes: list[TableChange]) -> int:
    """Add what the servers of a service need to `changes`; how many of them are there."""
    there: Callable[[Destination], DestinationEntry | None] = entry.destinations.get
    known = 0
    for destination, settings in held.destinations.items():
        found = there(destination)
        if found is None:
            changes.append(AddDestination(service, destination, settings))
            continue
        known += 1
        if found.settings != settings and not same_destination(settings, found.settings):
            changes.append(EditDestination(service, destination, settings))
    return known


def same_service(ours: ServiceSettings, shown: ServiceSettings) -> bool:
    """Whether the kernel, that has `ours`, may show it as `shown`."""
    return ours == shown or _plain_service(ours) == _plain_service(shown)


def _plain_service(settings: ServiceSettings) -> ServiceSettings:
    granularity = settings.granularity
    if settings.persistence_s is None or granularity in (_FULL_MASK, _FULL_LENGTH):
        granularity = None
    engine = settings.engine or None
    return settings._replace(granularity=granularity, engine=engine)


def same_destination(ours: DestinationSettings, shown: DestinationSettings) -> bool:
    """Whether the kernel, that has `ours`, may show it as `shown`."""
    return _plain_method(ours) == _plain_method(shown)


def _plain_method(settings: DestinationSettings) -> DestinationSettings:
    method = settings.method
    if method.forwarding is not Forwarding.TUNNEL:
        method = ForwardingMethod(method.forwarding)
    elif method.tunnel is TunnelType.IPIP:
        method = ForwardingMethod(method.forwarding, TunnelType.IPIP)
    return settings._replace(method=method)


# -- look after look -------------------------------------------------------------------

# A remedy: where, and which.  What was changed back may be taken out next, which is another story.
_Place = tuple[type[TableChange], Service, Destination | None]


class _Attempt(NamedTuple):
    """How often something was put right in vain, and at which look it is tried again."""

    times: int
    again: int


class Found(NamedTuple):
    """The result of one look: what is to be done now, and what is to be logged."""

    changes: list[TableChange]
    lines: list[str]


class Healing:
    """Compares again and again.  `healed` counts what has been put right, each attempt."""

    def __init__(self) -> None:
        self.healed = 0
        self._looks = 0
        self._attempts: dict[_Place, _Attempt] = {}
        self._strangers: set[tuple[Service, Destination]] = set()

    def begin(self, wanted: Wanted) -> None:
        """The table is going to be read: what we have changed until now is in it."""
        touched = wanted.touched
        if touched:
            self._attempts = {
                place: attempt for place, attempt in self._attempts.items() if place[1:] not in touched
            }
            touched.clear()
        wanted.shrunk.clear()

    def made(self, wanted: Wanted, changes: Iterable[TableChange]) -> None:
        """These remedies were made: what they are about was touched for no other reason."""
        for change in changes:
            _, service, destination = _place(change)
            if destination is not None:
                wanted.touched.discard((service, destination))

    def look(self, wanted: Wanted, table: Table) -> Found:
        """What is to be done, `table` being what the kernel has.

        No service may have changed in `wanted` since `begin` (see its `version`).
        """
        self._looks += 1
        differences = missing(wanted, table)
        changes: list[TableChange] = []
        lines: list[str] = []
        attempts: dict[_Place, _Attempt] = {}
        for change in differences.changes:
            place = _place(change)
            if place[1] in table and _is_unsure(change, wanted):
                continue
            last = self._attempts.get(place, _Attempt(0, 0))
            if self._looks < last.again:
                attempts[place] = last
                continue
            wait = min(2**last.times, _LONGEST_WAIT)
            attempts[place] = _Attempt(min(last.times + 1, _LONGEST_WAIT), self._looks + wait)
            changes.append(change)
            if not last.times:
                lines.append(_told(change))
        self._attempts = attempts
        self.healed += len(changes)
        strangers = differences.strangers - wanted.touched
        new = strangers - self._strangers
        self._strangers = strangers
        lines += sorted(
            f"Server {server} of service {service} is not ours, it stays" for service, server in new
        )
        return Found(changes, _shortened(lines))


def _is_unsure(remedy: TableChange, wanted: Wanted) -> bool:
    """Whether what a remedy is for may come from what we changed while the table was read."""
    if not isinstance(remedy, AddDestination | EditDestination | DeleteDestination):
        return False
    shrank = isinstance(remedy, AddDestination) and remedy.service in wanted.shrunk
    return shrank or (remedy.service, remedy.destination) in wanted.touched


def _place(change: TableChange) -> _Place:
    assert not isinstance(change, FlushTable)
    if isinstance(change, AddDestination | EditDestination | DeleteDestination):
        return type(change), change.service, change.destination
    return type(change), change.service, None


def _told(change: TableChange) -> str:
    match change:
        case AddService(service, _):
            return f"Service {service} has been taken out of the IPVS table by somebody else, adding it again"
        case EditService(service, _):
            return f"Service {service} has been changed by somebody else, changing it back"
        case AddDestination(service, server, _):
            return (
                f"Server {server} of service {service} has been taken out by somebody else, adding it again"
            )
        case EditDestination(service, server, _):
            return f"Server {server} of service {service} has been changed by somebody else, changing it back"
        case DeleteDestination(service, server):
            return f"Server {server} of service {service} has been put back by somebody else, removing it"
        case DeleteService() | FlushTable():  # never a remedy
            return ""
        case _:
            assert_never(change)


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [
        *lines[: _MOST_LINES - 1],
        f"{len(lines) - _MOST_LINES + 1} more changes of the IPVS table by somebody else",
    ]
