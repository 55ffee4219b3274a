"""Tracked processes: good while enough of them run, and not too many (`vrrp_track_process`).

Another verdict counts after a delay, if it still holds then: `fork_delay` when
the number of processes has grown, `terminate_delay` when it has fallen.  So
`fork_delay` puts off the news that the quorum is there, and also that there are
more than `quorum_max`.  The first count decides at once.  Where processes
cannot be watched (the kernel has no such events, or refuses them in this
network namespace) the quorum is not achieved, whatever it is.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.tracking import TrackProcess


class ProcessState(NamedTuple):
    """One kind of process.  `good` None: not counted yet.  `change_at`: when another verdict will count.

    `counted` False: `running` is not known, or that of other settings.
    """

    process: TrackProcess
    running: int | None = None
    counted: bool = False
    good: bool | None = None
    change_at: Micros | None = None


def achieved(process: TrackProcess, count: int | None) -> bool:
    """Whether so many processes are enough and not too many."""
    if count is None or count < process.quorum:
        return False
    return process.quorum_max is None or count <= process.quorum_max


def counted(state: ProcessState, count: int | None, now: Micros, out: list[Effect]) -> ProcessState:
    """So many processes run now."""
    process = state.process
    good = achieved(process, count)
    before = state.running or 0
    first = not state.counted
    state = state._replace(running=count, counted=True)
    if good is state.good:
        return state._replace(change_at=None)
    if state.good is None:
        return state._replace(good=good)
    grown = count is not None and count > before
    delay = process.fork_delay_us if grown else process.terminate_delay_us
    if delay and not first and count is not None:
        return state if state.change_at is not None else state._replace(change_at=Micros(now + delay))
    return _decided(state, good, out)


def due(state: ProcessState, out: list[Effect]) -> ProcessState:
    """The delay is over."""
    good = achieved(state.process, state.running)
    return state._replace(change_at=None) if good is state.good else _decided(state, good, out)


def _decided(state: ProcessState, good: bool, out: list[Effect]) -> ProcessState:
    how = "gained" if good else "lost"
    out.append(WriteLog(f"Quorum {how} for tracked process {state.process.name}"))
    return state._replace(good=good, change_at=None)


def adapted(state: ProcessState, process: TrackProcess, out: list[Effect]) -> ProcessState:
    """The same object with new settings: judged anew by what was counted, if that still says something."""
    if state.process == process:
        return state
    if _sought(process) != _sought(state.process) or not state.counted:
        return state._replace(process=process, counted=False, change_at=None)
    state = state._replace(process=process, change_at=None)
    good = achieved(process, state.running)
    return state if good is state.good else _decided(state, good, out)


def _sought(process: TrackProcess) -> tuple[object, ...]:
    return (process.process, process.parameters, process.match, process.full_command)
