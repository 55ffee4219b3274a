"""Check scripts: when they run, and when their results count (`vrrp_script`).

A check may also connect to a TCP port or ask a server (`vrrp_check`) in place of
running a command; all else is the same, but that log lines about a server say what
was found.

The first run is at once; the period counts from start to start.  A script
still running when it is due again is not started twice.  The very first
result decides, whatever `rise` and `fall` are; afterwards `rise` good or
`fall` bad results in a row are needed to change the verdict.

A reload keeps the verdict.  A check that became another one under its name
runs at once; if the former one still runs, as soon as that has ended, and what
it returned says nothing any more.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.core.vrrp.timing import next_advert_at
from keepalived_py.model.config import CheckScript
from keepalived_py.model.effects import AskServer, Effect, RunCheck, RunProbe, WriteLog
from keepalived_py.model.events import ScriptFinished


class ScriptState(NamedTuple):
    """One check script.  `good` None: no result yet.  `contrary`: results in a row against `good`.

    `outdated`: what runs now is the check of former settings.  `due_at`: when it is told to end.
    """

    check: CheckScript
    next_at: Micros
    running: bool = False
    status: int = 0
    good: bool | None = None
    contrary: int = 0
    outdated: bool = False
    due_at: Micros = Micros(0)


def launch(state: ScriptState, now: Micros, out: list[Effect]) -> ScriptState:
    """The script is due: run it, unless it still runs."""
    check = state.check
    next_at = next_advert_at(state.next_at, check.interval_us, now)
    if state.running:
        how = "already running" if now <= state.due_at else "being timed out"
        out.append(WriteLog(f"Track {kind(check)} {check.name} is {how}, expect idle - skipping run"))
        return state._replace(next_at=next_at)
    out.append(_order(check))
    return state._replace(next_at=next_at, running=True, due_at=Micros(now + check.timeout_us))


def _order(check: CheckScript) -> Effect:
    if check.asks is not None:
        return AskServer(check.name, check.timeout_us)
    if check.connect is not None:
        return RunProbe(check.name, check.connect, check.timeout_us)
    return RunCheck(check.name, check.command, check.timeout_us)


def kind(check: CheckScript) -> str:
    """What log lines call it."""
    return "script" if check.asks is None else "check"


def started(check: CheckScript, now: Micros, out: list[Effect]) -> ScriptState:
    """A check that is new runs at once."""
    return launch(ScriptState(check, now), now, out)


def adapted(state: ScriptState, check: CheckScript, now: Micros, out: list[Effect]) -> ScriptState:
    """The check after a reload."""
    if state.good is not None:
        how = "successful" if state.good else "unsuccessful"
        out.append(WriteLog(f"{_title(check)} considered {how} on reload"))
    if state.check == check:
        return state
    if state.running:
        return state._replace(check=check, contrary=0, outdated=True)
    return launch(state._replace(check=check, contrary=0, next_at=now), now, out)


def finished(state: ScriptState, event: ScriptFinished, now: Micros, out: list[Effect]) -> ScriptState:
    """The script ended: count its result."""
    state = state._replace(running=False)
    if state.outdated:
        return launch(state._replace(outdated=False, next_at=now), now, out)
    exited = not event.signal and not event.timed_out
    if exited and event.status != state.status:
        out.append(WriteLog(_now(state.check, event)))
        state = state._replace(status=event.status)
    good = exited and event.status == 0
    if good == state.good:
        return state._replace(contrary=0)
    needed = state.check.rise if good else state.check.fall
    if state.good is not None and state.contrary + 1 < needed:
        return state._replace(contrary=state.contrary + 1)
    out.append(WriteLog(f"{_title(state.check)} {_verdict(event)}"))
    return state._replace(good=good, contrary=0)


def _title(check: CheckScript) -> str:
    return f"VRRP_{kind(check).capitalize()}({check.name})"


def _now(check: CheckScript, event: ScriptFinished) -> str:
    if check.asks is None:
        return f"Script `{check.name}` now returning {event.status}"
    return f"Check `{check.name}` now finds: {event.text}"


def _verdict(event: ScriptFinished) -> str:
    if event.timed_out:
        return "timed_out"
    if event.text:
        return f"{'failed' if event.status else 'succeeded'} ({event.text})"
    if event.signal:
        return f"failed (due to signal {event.signal})"
    if event.status:
        return f"failed (exited with status {event.status})"
    return "succeeded"
