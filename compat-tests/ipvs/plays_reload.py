"""Reloads: what stays stays as it is, what is gone goes first, what is new comes last."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from play import (
    Play,
    Reload,
    Start,
    Step,
    Stop,
    both,
    contacted,
    down,
    has,
    lacks,
    logged,
    services,
    up,
    weighs,
)
from texts import ONE, SORRY, THREE, TWO, group, life, real, text, virtual

_HERE = ("10.5.0.2", "10.5.0.1")
_ALL: dict[str, dict[str, str]] = {ONE: {}, TWO: {}, THREE: {}}
_PAIR: dict[str, dict[str, str]] = {ONE: {}, TWO: {}}
_SORRY = "sorry_server 10.5.0.99 80"
_READY = Step("started", (Start(),), contacted(ONE, TWO, times=2), any_order=True)
_END = Step("stopped", (Stop(),), services(0))
_AGAIN = logged("einitializing ipvs")
_LIMITS = ("ipvsadm -Ln --thresholds",)


def reload(name: str, file: int, until: object = _AGAIN, looks: tuple[str, ...] = ()) -> Step:
    """Another file, and the two first servers asked again."""
    asked = contacted(ONE, times=2)
    return Step(name, (Reload(file),), lambda view: until(view) and asked(view), looks=looks)  # type: ignore[operator]


def before_and_after(name: str, before: str, after: str, *more: Step, until: object = _AGAIN) -> Play:
    """Start, reload, perhaps more, back to the first file, stop."""
    steps = (
        _READY,
        reload("reloaded", 1, until, _LIMITS),
        *more,
        reload("as before", 0),
        Step("stopped", (Stop(),)),
    )
    return Play(name, (before, after), steps, _ALL, _HERE)


_ONE, _TWO, _THREE = real(ONE), real(TWO), real(THREE)
_BASE = text(virtual(_ONE, _TWO))
_OTHER = virtual(_ONE, where="10.5.0.2 80")
_DEAD = Step("one dead", (down(TWO),), lacks(TWO))
_DYING = (
    _READY,
    _DEAD,
    reload("reloaded", 1, _AGAIN),
    Step("back", (up(TWO),), has(TWO)),
    _END,
)


def kept(name: str, after: str, before: str = _BASE, new: str = "") -> Play:
    """A server is dead while the file is read again, and comes back; `new` is one that the reload brings."""
    steps = tuple(
        replace(step, until=both(step.until, contacted(new, times=2)))
        if new and step.name == "reloaded"
        else step
        for step in _DYING
    )
    return Play(name, (before, after), steps, _ALL, _HERE)


# One file after the other; each step is a reload from the file before to this one.
_ATTRIBUTES = {
    "the same": _BASE,
    "weights": text(virtual(real(ONE, more="weight 7"), real(TWO, more="weight 0"))),
    "a scheduler and its flag": text(virtual(_ONE, _TWO, algo="mh\n mh-port")),
    "persistence": text(
        virtual(_ONE, _TWO, more="persistence_timeout 50\n persistence_granularity 255.255.0.0")
    ),
    "a tunnel": text(virtual(_ONE, _TWO, kind="TUN type gue port 6080")),
    "routing": text(virtual(_ONE, real(TWO, more="lvs_method DR"), kind="NAT")),
    "thresholds": text(virtual(real(ONE, more="uthreshold 40\n lthreshold 20"), _TWO)),
    "a sorry server": text(virtual(_ONE, _TWO, more=f"{_SORRY}\n sorry_server_inhibit")),
    "nothing of it": _BASE,
}
_MEMBERS = {
    "without a server": (text(virtual(_ONE)), lacks(TWO)),
    "with two more": (text(virtual(_ONE, _THREE, _TWO)), has(TWO, THREE)),
    "with others": (text(virtual(_THREE, _ONE, more=_SORRY)), lacks(TWO)),
    "with one more service": (text(_OTHER, virtual(_ONE, _TWO)), services(2)),
    "without the first service": (_BASE, services(1)),
    "with another service": (
        text(virtual(_ONE, _TWO, where="10.5.0.1 81")),
        lambda view: "TCP 10.5.0.1:81" in view.table,
    ),
    "by a mark": (text(virtual(_ONE, _TWO, where="fwmark 8")), lambda view: "FWM 8" in view.table),
    "as at the start": (_BASE, lambda view: "TCP 10.5.0.1:80" in view.table),
}


def again(name: str, until: object, looks: tuple[str, ...] = ()) -> Callable[[int], Step]:
    """A reload whose file's place in the play is given later."""
    return lambda file: reload(name, file, until, looks)


def one_by_one(name: str, files: Sequence[str], steps: Sequence[Callable[[int], Step]]) -> Play:
    """The base, then each file in its turn."""
    made = tuple(step(number) for number, step in enumerate(steps, 1))
    return Play(name, (_BASE, *files), (_READY, *made, _END), _ALL, _HERE)


PLAYS = (
    one_by_one(
        "reloads with other attributes",
        tuple(_ATTRIBUTES.values()),
        [again(one, _AGAIN, _LIMITS) for one in _ATTRIBUTES],
    ),
    one_by_one(
        "reloads with other members",
        [file for file, _ in _MEMBERS.values()],
        [again(name, until) for name, (_, until) in _MEMBERS.items()],
    ),
    before_and_after(
        "reload with a group",
        text(group("g", "10.5.0.20 80", "10.5.0.21 80", "fwmark 4"), virtual(_ONE, _TWO, where="group g")),
        text(group("g", "10.5.0.21 80", "10.5.0.22-23 80", "fwmark 5"), virtual(_ONE, _TWO, where="group g")),
        until=lambda view: "FWM 5" in view.table,
    ),
    before_and_after(
        "reload with a quorum",
        text(virtual(_ONE, _TWO, more=_SORRY)),
        text(virtual(_ONE, real(TWO, more="weight 9"), more=f"quorum 4\n hysteresis 2\n {_SORRY}")),
        Step("quorum lost", (down(TWO),), has(SORRY)),
        Step("quorum back", (up(TWO),), has(TWO)),
    ),
    kept("reload with weights while one is dead", text(virtual(_ONE, real(TWO, more="weight 6")))),
    kept("reload with inhibition while one is dead", text(virtual(_ONE, _TWO, more="inhibit_on_failure"))),
    kept("reload with one more server while one is dead", text(virtual(_ONE, _TWO, _THREE)), new=THREE),
    kept(
        "reload with another check while one is dead",
        text(virtual(_ONE, real(TWO, "TCP_CHECK {\n retry 2\n }"))),
    ),
    Play(
        "reload while the sorry server is in use",
        (
            text(virtual(_ONE, _TWO, more=_SORRY)),
            text(virtual(_ONE, real(TWO, more="weight 3"), more=_SORRY)),
        ),
        (
            *life()[:4],
            Step("reloaded", (Reload(1),), _AGAIN, quiet_s=1.0),
            Step("one back", (up(TWO),), weighs(TWO, 3)),
            _END,
        ),
        _PAIR,
        _HERE,
    ),
    Play(
        "reload with another sorry server in use",
        (text(virtual(_ONE, _TWO, more=_SORRY)), text(virtual(_ONE, _TWO, more="sorry_server 10.5.0.98 80"))),
        (
            *life()[:4],
            Step("reloaded", (Reload(1),), _AGAIN, quiet_s=1.0),
            Step("one back", (up(ONE),), has(ONE)),
            _END,
        ),
        _PAIR,
        _HERE,
    ),
    Play(
        "a broken file is refused or survived alike",
        (_BASE, text(virtual(_ONE, _TWO), "virtual_server 10.5.0.1 { }")),
        (_READY, Step("reloaded", (Reload(1),), contacted(ONE, times=2)), _END),
        _PAIR,
        _HERE,
    ),
    Play(
        "a dead server removed, and added again",
        (_BASE, text(virtual(_ONE))),
        (_READY, _DEAD, reload("removed", 1), reload("added", 0), _END),
        _PAIR,
        _HERE,
    ),
    Play(
        "time limits and flush on reload",
        (
            text(virtual(_ONE, _TWO), more="lvs_timeouts tcp 100"),
            text(virtual(_ONE, _TWO), more="lvs_timeouts tcp 200"),
        ),
        (
            _READY,
            reload("reloaded", 1, _AGAIN, ("ipvsadm -Ln --timeout",)),
            _END,
        ),
        _PAIR,
        _HERE,
    ),
)
