"""Routes and rules that we have put into the kernel, and how to know one again when it is lost.

A route or rule is held from just before the request that adds it until just
before the one that removes it, so no message about it can come unexpected.
Messages about removals that our own socket asked for bear its port and are
passed over: between leaving and becoming master again there is less time than
a message may take.

What is not to be tracked is not held, and costs nothing.
"""

from collections.abc import Callable, Iterable, Iterator

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.effects import AddRoute, AddRule, DeleteRoute, DeleteRule, KernelChange
from keepalived_py.model.events import RouteLost, RuleLost
from keepalived_py.model.network import Route, Rule
from keepalived_py.system import routes, rtnetlink, rules
from keepalived_py.system.rtnetlink import Message, Request

NameOf = Callable[[int], InterfaceName | None]


class Held:
    """Tracked routes and rules by what the kernel calls them."""

    def __init__(self) -> None:
        self._routes: dict[routes.RouteIdentity, list[Route]] = {}
        self._rules: dict[rules.RuleIdentity, Rule] = {}

    def __bool__(self) -> bool:
        return bool(self._routes or self._rules)

    def requested(self, change: KernelChange, request: Request) -> None:
        """`change` is about to be asked for."""
        match change:
            case AddRoute(route=route):
                if route.tracked and (called := routes.identity(request.payload)):
                    like = self._routes.setdefault(called, [])
                    if route not in like:
                        like.append(route)
            case AddRule(rule=rule):
                if rule.tracked and (name := rules.identity(request.payload)):
                    self._rules[name] = rule
            case DeleteRoute() | DeleteRule():
                self.forget(change, request)
            case _:
                return

    def forget(self, change: KernelChange, request: Request) -> None:
        """What `change` adds (it failed), or removes, is not there any more."""
        if isinstance(change, AddRoute | DeleteRoute):
            called = routes.identity(request.payload)
            if called in self._routes:
                self._drop(called, change.route)
        elif isinstance(change, AddRule | DeleteRule):
            self._rules.pop(rules.identity(request.payload) or (), None)

    def _drop(self, called: routes.RouteIdentity, route: Route) -> None:
        left = [other for other in self._routes[called] if other != route]
        if left:
            self._routes[called] = left
        else:
            del self._routes[called]

    def lost(self, message: Message, name_of: NameOf) -> RouteLost | RuleLost | None:
        """The route or rule of ours that `message` says was removed; it is held no longer."""
        if message.kind == rtnetlink.DELETE_RULE:
            rule = self._rules.pop(rules.identity(message.payload) or (), None)
            return None if rule is None else RuleLost(rule)
        called = routes.identity(message.payload)
        if called not in self._routes:
            return None
        for route in self._routes[called]:
            if _goes_through(route, message.payload, name_of):
                self._drop(called, route)
                return RouteLost(route)
        return None

    def all(self) -> "Snapshot":
        """What is held now, to be compared with what the kernel has."""
        return Snapshot({called: list(like) for called, like in self._routes.items()}, dict(self._rules))

    def missing(self, before: "Snapshot", found: Iterable[Message]) -> Iterator[RouteLost | RuleLost]:
        """What was held already `before` the kernel was asked, still is, and was not `found`."""
        seen_routes = {routes.identity(m.payload) for m in found if m.kind == rtnetlink.NEW_ROUTE}
        seen_rules = {rules.identity(m.payload) for m in found if m.kind == rtnetlink.NEW_RULE}
        for called, like in before.routes.items():
            for route in like:
                if called not in seen_routes and route in self._routes.get(called, ()):
                    self._drop(called, route)
                    yield RouteLost(route)
        for name, rule in before.rules.items():
            if name not in seen_rules and self._rules.get(name) == rule:
                del self._rules[name]
                yield RuleLost(rule)


class Snapshot:
    """Routes and rules that were held at one moment."""

    __slots__ = ("routes", "rules")

    def __init__(
        self, of_routes: dict[routes.RouteIdentity, list[Route]], of_rules: dict[rules.RuleIdentity, Rule]
    ) -> None:
        self.routes = of_routes
        self.rules = of_rules


def _goes_through(route: Route, payload: bytes, name_of: NameOf) -> bool:
    """Several routes may differ in their way only; what is not configured may be any."""
    index, gateway = routes.way(payload)
    if route.gateway is not None and gateway is not None and gateway != route.gateway:
        return False
    return route.interface is None or name_of(index) == route.interface
