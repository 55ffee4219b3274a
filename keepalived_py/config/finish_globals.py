"""What is checked of the globals when everything has been read.

As keepalived does in its parent process.  The programs that read the pipes are
checked with the other scripts of the process that starts them.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config import script_security
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.globals import NotifyFifo

START_VIOLATION = (
    "SECURITY VIOLATION - start/shutdown scripts are being executed but script_security not enabled."
)


def finish(run: Run) -> None:
    """Drop pipes and scripts that cannot be used."""
    _hooks(run)
    _pipes(run)


def _hooks(run: Run) -> None:
    """The scripts of start and stop."""
    found = run.written.globals
    runs = insecure = False
    for attribute in ("startup_script", "shutdown_script"):
        command = getattr(found, attribute)
        if command is None:
            continue
        judged = script_security.judge(run, command)
        runs, insecure = runs or judged.runs, insecure or judged.insecure
        setattr(found, attribute, judged.command)
    if runs and not found.script_security:
        more = " There are insecure scripts." if insecure else ""
        run.error(START_VIOLATION + more, code="script-security", error_class=ErrorClass.SCRIPT_SECURITY)


def _path(fifo: Any) -> str | None:
    return None if fifo.pipe is None else str(fifo.pipe.path)


def _pipes(run: Run) -> None:
    """One pipe must not get the same line twice, nor have two readers."""
    found = run.written.globals
    common = _path(found.notify_fifo)
    for attribute, name in (("vrrp_notify_fifo", "vrrp"), ("lvs_notify_fifo", "LVS")):
        if common is not None and _path(getattr(found, attribute)) == common:
            run.log(
                f"notify FIFO {common} has been specified for global and {name} FIFO - ignoring {name} FIFO",
                code="duplicate",
            )
            setattr(found, attribute, NotifyFifo())
    vrrp, lvs = found.vrrp_notify_fifo, found.lvs_notify_fifo
    same = _path(lvs) is not None and _path(lvs) == _path(vrrp)
    if same and lvs.script is not None and vrrp.script is not None:
        run.log(
            "LVS notify FIFO and vrrp FIFO are the same both with scripts - ignoring LVS FIFO script",
            code="duplicate",
        )
        lvs.script = None
