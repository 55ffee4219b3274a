"""What becomes of health checks once everything is read: programs that may not run are dropped."""

from __future__ import annotations

from typing import Any

from keepalived_py.config import script_security
from keepalived_py.config.schema import Run
from keepalived_py.config.script_security import Access
from keepalived_py.model.checks import KINDS, MiscCheck

PLACES = {kind: place for place, kind in enumerate(KINDS)}


def finish(run: Run, virtual_server: Any) -> None:
    """Judge the programs of the MISC_CHECKs of a virtual server's draft, and put all its checks in order.

    Whether scripts run, and whether others could change one, is noted in
    `run.written`; the violation itself is reported by the caller, once.
    """
    for server in (*virtual_server.real_servers, *virtual_server.skipped):
        checks = server.checks
        if not checks:
            continue
        for check in tuple(checks):
            if check.record_type is MiscCheck:
                _judge(run, check)
        if len(checks) > 1:
            checks.sort(key=_place)


def _place(check: Any) -> int:
    return PLACES[check.record_type]


def _judge(run: Run, check: Any) -> None:
    """A program that is not found, not executable or insecure is not run: the server counts as up."""
    judged = script_security.judge(run, check.command)
    if not check.__dict__.get("newer"):  # the version whose verdict is wanted knows nothing of this program
        run.written.checker_scripts_run |= judged.runs
        run.written.checker_scripts_insecure |= judged.insecure
    if judged.command is not None:
        check.command = judged.command
        return
    shown = " ".join(f"'{word}'" for word in check.command.argv)
    if judged.access is Access.NOT_FOUND:
        run.log(
            f"Disabling misc script {shown} since not found/accessible",
            check.at("command"),
            code="script-not-found",
        )
    elif judged.access is not Access.NOT_EXECUTABLE:
        run.log(f"Disabling misc script {shown} due to insecure", check.at("command"), code="insecure-script")
    check.drop()
