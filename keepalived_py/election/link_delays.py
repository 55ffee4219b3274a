"""`interface_up_down_delays`: a link's change counts only after it has lasted a while.

Stands between the kernel's news and the election.  A change that is taken back
within its delay is never seen; everything else that is known of the interface
passes at once.  As in keepalived: an interface that was never up comes up
without delay, and one that comes or goes does so at once.

A delay must be shorter than what a BACKUP waits for lost adverts,
(down_timer_adverts - 1) * advert_int, or a peer that is gone would be replaced
by nobody; a longer one is cut to a little less, and with down_timer_adverts 1
there is none.  A virtual MAC device has the delays of the interface below it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.events import InterfaceFacts, LinkChanged


@dataclass(frozen=True, slots=True)
class Delays:
    """How long an interface must be down or up before it counts."""

    down_us: Micros
    up_us: Micros


def delays_of(configuration: Configuration, say: Callable[[str], None]) -> dict[InterfaceName, Delays]:
    """The delays of every interface that has some, cut to what the instances allow."""
    found = {
        InterfaceName(one.interface): Delays(one.down_us, one.up_us) for one in configuration.interface_delays
    }
    for instance in configuration.instances:
        name = instance.configured_interface
        if name in found:
            found[name] = _allowed(instance, found[name], say)
    for device in configuration.devices:
        if device.base in found:
            found[device.name] = found[device.base]
    return {name: delays for name, delays in found.items() if delays.down_us or delays.up_us}


def _allowed(instance: Instance, delays: Delays, say: Callable[[str], None]) -> Delays:
    name, link, times = instance.name, instance.configured_interface, instance.down_timer_adverts - 1
    if times == 0:
        if delays.down_us or delays.up_us:
            say(f"{name}: cannot use debounce timers with down_timer_adverts = 1 - resetting")
        return Delays(Micros(0), Micros(0))
    limit = times * instance.advert_interval_us
    if delays.down_us < limit and delays.up_us < limit:
        return delays
    say(f"{name}: interface {link} debounce timer(s) not less that {times} * advert_int - resetting")
    cut = Micros(limit - instance.advert_interval_us // 256)
    return Delays(
        cut if delays.down_us >= limit else delays.down_us, cut if delays.up_us >= limit else delays.up_us
    )


@dataclass(slots=True)
class _Link:
    """One interface: what listeners believe, and the change that waits."""

    believed: InterfaceFacts
    seen_up: bool
    waiting: InterfaceFacts | None = None
    timer: asyncio.TimerHandle | None = None

    def forget_waiting(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.waiting = None


class LinkDelays:
    """Hands on the news of interfaces to `emit`, late where delays are configured."""

    def __init__(self, emit: Callable[[LinkChanged], None], say: Callable[[str], None]) -> None:
        self._emit = emit
        self._say = say
        self._delays: Mapping[InterfaceName, Delays] = {}
        self._links: dict[InterfaceName, _Link] = {}

    def follow(self, configuration: Configuration, interfaces: Iterable[InterfaceFacts]) -> None:
        """From now on the delays of `configuration` hold; a change that waits goes on waiting.

        `interfaces` is what listeners know; where no delay is configured any more, what waits counts now.
        """
        self._delays = delays_of(configuration, self._say)
        for name in [name for name in self._links if name not in self._delays]:
            link = self._links.pop(name)
            waiting = link.waiting
            link.forget_waiting()
            if waiting is not None:
                self._emit(LinkChanged(waiting))
        for facts in interfaces:
            if facts.name in self._delays and facts.name not in self._links:
                self._links[facts.name] = _Link(facts, facts.up)

    def feed(self, event: LinkChanged) -> None:
        """The kernel's news of an interface."""
        facts = event.facts
        delays, link = self._delays.get(facts.name), self._links.get(facts.name)
        if delays is None:
            self._emit(event)
        elif link is None or link.believed.index != facts.index:
            if link is not None:
                link.forget_waiting()
            self._links[facts.name] = _Link(facts, facts.up)
            self._emit(event)
        else:
            self._changed(link, facts, delays)

    def close(self) -> None:
        """Nothing that waits is handed on any more."""
        for link in self._links.values():
            link.forget_waiting()
        self._links.clear()

    def _changed(self, link: _Link, facts: InterfaceFacts, delays: Delays) -> None:
        delay = delays.up_us if facts.up else delays.down_us
        if facts.up is link.believed.up:
            link.forget_waiting()
            self._pass(link, facts)
        elif link.waiting is not None:
            link.waiting = facts
            self._pass(link, replace(facts, up=link.believed.up))
        elif not delay or not link.seen_up:
            self._pass(link, facts)
        else:
            self._say(f"{facts.name}: Adding flags change to {_word(facts)} delay by {delay}")
            link.waiting = facts
            loop = asyncio.get_running_loop()
            link.timer = loop.call_later(as_seconds(delay), self._lasted, link)
            self._pass(link, replace(facts, up=link.believed.up))

    def _lasted(self, link: _Link) -> None:
        waiting = link.waiting
        link.forget_waiting()
        if waiting is not None:
            self._pass(link, waiting)

    def _pass(self, link: _Link, facts: InterfaceFacts) -> None:
        link.seen_up = link.seen_up or facts.up
        if facts != link.believed:
            link.believed = facts
            self._emit(LinkChanged(facts))


def _word(facts: InterfaceFacts) -> str:
    return "up" if facts.up else "down"
