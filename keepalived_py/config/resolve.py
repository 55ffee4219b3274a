"""Everything that keepalived checks once the whole file has been read.

The order is that of `keepalived -t` 2.2.7: the checker process, then the VRRP
process, then BFD.  In the VRRP process: missing interfaces; scripts; each
instance has what it cannot do without; sync groups; each instance by itself;
virtual router ids used twice; VMACs; what groups track.  The first instance
that cannot work ends the checks of its process, which would end with exit 2.

Only drafts are corrected here.  `config.build` makes the model of them.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks.vrrp_instance import needs_no_interface
from keepalived_py.config.draft import Draft
from keepalived_py.config.places import say
from keepalived_py.config.schema import Run
from keepalived_py.config.written import Written, by_quorum
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.globals import Election
from keepalived_py.model.scripts import Command

NOTIFIES = ("backup", "master", "fault", "stop", "deleted", "any", "master_rx_lower_priority")
FIFOS = ("notify_fifo", "vrrp_notify_fifo")
CHECKED_GLOBALS = {"startup_script", "shutdown_script", "lvs_notify_fifo", *FIFOS}


def finish(run: Run) -> bool:
    """Check and correct `run.written`; True if keepalived would not start with it."""
    written = run.written
    if written.globals.__dict__.keys() & CHECKED_GLOBALS:
        from keepalived_py.config import finish_globals

        finish_globals.finish(run)
    if written.virtual_servers:
        from keepalived_py.config import finish_servers

        finish_servers.finish(run)
    refused = _finish_vrrp(run, written)
    if written.bfd_instances or written.track_files or written.track_processes:
        from keepalived_py.config import finish_tracking

        finish_tracking.finish(run)
    return refused


def _finish_vrrp(run: Run, written: Written) -> bool:
    if written.missing_interface:
        run.error(
            "Non-existent interface specified in configuration",
            code="unknown-interface",
            error_class=ErrorClass.BAD_INTERFACE,
        )
        return True
    if written.checks:
        from keepalived_py.config import finish_tracking

        finish_tracking.checks(run)
    if not written.instances:
        return _finish_groups(run, written)
    _check_scripts(run, written)
    if not all(_has_least(one, run) for one in written.instances.values()):
        return True
    return _finish_groups(run, written)


def _finish_groups(run: Run, written: Written) -> bool:
    from keepalived_py.config import conflicts
    from keepalived_py.config.correct import correct

    conflicts.join_groups(run)
    if written.raft_asked or written.globals.election is Election.RAFT:
        from keepalived_py.config import finish_raft

        if not finish_raft.finish(run):
            return True
    if not all(correct(one, run) for one in written.instances.values()):
        return True
    if conflicts.duplicate_ids(run):
        return True
    conflicts.shared_vmacs(run)
    conflicts.join_track_groups(run)
    conflicts.group_tracking(run)
    return False


def _has_least(one: Draft[Any], run: Run) -> bool:
    if one.vrid is None and not by_quorum(run.written, one):
        say(
            run,
            one,
            f"({one.name}) the virtual router id must be set",
            code="missing-router-id",
            expected="virtual_router_id, from 1 to 255",
        )
        return False
    if one.interface is None and (run.strict or not needs_no_interface(one)):
        text = f"({one.name}) Unknown interface!"
        say(run, one, text, "interface", code="unknown-interface", expected="interface NAME")
        return False
    return True


# Scripts ---------------------------------------------------------------------


def _check_scripts(run: Run, written: Written) -> None:
    """Check every script that would run; drop those that may not."""
    owners: list[Draft[Any]] = [*written.instances.values(), *written.groups.values()]
    fifos = [name for name in FIFOS if _program(written, name) is not None]
    notifies = [(one.notifies, name) for one in owners for name in NOTIFIES if getattr(one.notifies, name)]
    if not (written.scripts or notifies or fifos):
        return
    dropped = [name for name, script in written.scripts.items() if not _keep_script(run, script)]
    for name in dropped:
        del written.scripts[name]
    if dropped:
        for one in owners:
            one.track_scripts = [track for track in one.track_scripts if track.name not in dropped]
    for found, name in notifies:
        setattr(found, name, _judge(run, getattr(found, name)))
    for name in fifos:
        _check_fifo(run, name)
    _log_unused(run, owners)
    if written.scripts_run and not written.globals.script_security:
        from keepalived_py.config import script_security

        script_security.report_violation(run, insecure=written.scripts_insecure)


def _judge(run: Run, command: Command) -> Command | None:
    """The command as it may run, with its full path; None if it may not."""
    from keepalived_py.config import script_security

    judged = script_security.judge(run, command)
    run.written.scripts_run |= judged.runs
    run.written.scripts_insecure |= judged.insecure
    return judged.command


def _keep_script(run: Run, script: Draft[Any]) -> bool:
    from keepalived_py.config import script_security

    judged = script_security.judge(run, script.command)
    run.written.scripts_run |= judged.runs
    run.written.scripts_insecure |= judged.insecure
    if judged.command is not None:
        script.command = judged.command
        return True
    access = script_security.Access
    title = f"Disabling track script {script.name}"
    if judged.access is access.NOT_FOUND:
        expected = "the full path of a program"
        text = f"{title} since not found/accessible"
        say(run, script, text, "command", code="script-not-found", expected=expected)
    elif judged.access in (access.INSECURE, access.NO_FILE):
        expected = "a file in folders that only root may change"
        text = f"{title} due to insecure"
        say(run, script, text, "command", code="insecure-script", expected=expected)
    return False


def _log_unused(run: Run, owners: list[Draft[Any]]) -> None:
    tracked = {track.name for one in owners for track in one.track_scripts}
    for name, script in run.written.scripts.items():
        if name not in tracked:
            run.log(f"Warning - script {script.name} is not used", script.header, code="unused-script")


def _program(written: Written, name: str) -> Any:
    """The program that reads a notify pipe."""
    return getattr(getattr(written.globals, name, None), "script", None)


def _check_fifo(run: Run, name: str) -> None:
    fifo = getattr(run.written.globals, name)
    fifo.script = _judge(run, fifo.script)
