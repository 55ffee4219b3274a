"""The effects of a step, sorted by who carries them out.

What is known ahead of time is sorted ahead of time, so that little is left to do
when it is due: adverts go out, lanes get what belongs to them, and log lines come last.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from keepalived_py.election.performing import explanation, lane_of
from keepalived_py.model import effects as fx

T = TypeVar("T")


class Orders(NamedTuple):
    """Effects in their order: what concerns adverts, log lines, the rest by lane.

    `given_up` are those of the rest that delete an address, by lane.  `ends`: why the program is to
    end when all of this is on its way.
    """

    adverts: Sequence[fx.SendAdvert | fx.RaiseSequence]
    lines: Sequence[fx.WriteLog]
    lanes: Mapping[str, Sequence[fx.Effect]]
    given_up: Mapping[str, Sequence[fx.DeleteAddress]]
    ends: str | None = None


def sort(effects: Iterable[fx.Effect]) -> Orders:
    """Sort `effects`; the change of a role becomes a line that explains it."""
    adverts: list[fx.SendAdvert | fx.RaiseSequence] = []
    lines: list[fx.WriteLog] = []
    lanes: dict[str, list[fx.Effect]] = {}
    given_up: dict[str, list[fx.DeleteAddress]] = {}
    ends: str | None = None
    for effect in effects:
        match effect:
            case fx.SendAdvert() | fx.RaiseSequence():
                adverts.append(effect)
            case fx.WriteLog():
                lines.append(effect)
            case fx.RoleChanged():
                lines.append(explanation(effect))
            case fx.EndProgram():
                ends = ends or effect.reason
            case _:
                lane = lane_of(effect)
                lanes.setdefault(lane, []).append(effect)
                if isinstance(effect, fx.DeleteAddress):
                    given_up.setdefault(lane, []).append(effect)
    return Orders(adverts, lines, lanes, given_up, ends)


def joined(several: Sequence[Orders]) -> Orders:
    """Those of several steps, one after the other."""
    if len(several) == 1:
        return several[0]
    return Orders(
        [one for orders in several for one in orders.adverts],
        [line for orders in several for line in orders.lines],
        _by_lane([orders.lanes for orders in several]),
        _by_lane([orders.given_up for orders in several]),
        next((orders.ends for orders in several if orders.ends), None),
    )


def _by_lane(several: Sequence[Mapping[str, Sequence[T]]]) -> dict[str, Sequence[T]]:
    together: dict[str, Sequence[T]] = {}
    for lanes in several:
        for lane, effects in lanes.items():
            before = together.get(lane)
            together[lane] = effects if before is None else [*before, *effects]
    return together
