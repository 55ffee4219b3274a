"""From what was written to the model: defaults, corrections and the checks across blocks.

The order is that of keepalived 2.2.7 at start: missing interfaces; each
instance by itself; virtual router ids used twice; sync groups; scripts.  The
first instance that cannot work ends the checks (keepalived exits with 2 there).
An instance that needs something this program does not do yet is left out and
reported, never run as something else.
"""

from ipaddress import IPv4Address

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import Struct, fresh, replace
from keepalived_py.config import script_security
from keepalived_py.config.correct import OWNER_PRIORITY, PASSWORD_BYTES, correct
from keepalived_py.config.schema import Run
from keepalived_py.config.script_security import Access
from keepalived_py.config.written import (
    Written,
    WrittenAddress,
    WrittenGarp,
    WrittenGroup,
    WrittenInstance,
    WrittenNotifies,
    WrittenScript,
    WrittenTrack,
)
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Command,
    Configuration,
    Globals,
    GratuitousArp,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    TrackedInterface,
    TrackedScript,
    VirtualAddress,
)


class Resolved(Struct):
    """The model, and whether keepalived would refuse to start with it (exit 2)."""

    configuration: Configuration
    refused: bool = False


class _Scripts(Struct):
    """What the access checks found: whether any script runs, and whether one is insecure."""

    usable: dict[str, CheckScript] = fresh(dict)
    any_runs: bool = False
    any_insecure: bool = False


def resolve(written: Written, run: Run) -> Resolved:
    """The final configuration; every correction and refusal is reported to `run`."""
    if written.missing_interface:
        run.error(
            "Non-existent interface specified in configuration",
            code="unknown-interface",
            error_class=ErrorClass.BAD_INTERFACE,
        )
        return Resolved(Configuration(_globals(written, run)), refused=True)
    accepted: list[WrittenInstance] = []
    for instance in written.instances.values():
        if not correct(instance, written, run):
            return Resolved(Configuration(_globals(written, run)), refused=True)
        accepted.append(instance)
    clash = _duplicate_router_id(accepted, run)
    groups = _groups(written, run)
    scripts = _Scripts()
    _check_scripts(written, accepted, groups, scripts, run)
    configuration = Configuration(
        _globals(written, run),
        tuple(_instance(one, written, groups, scripts, run) for one in accepted if _works(one, run)),
        (),
        tuple(scripts.usable.values()),
    )
    return Resolved(_with_groups(configuration, groups, scripts, run), refused=clash)


def _globals(written: Written, run: Run) -> Globals:
    found = written.globals
    return Globals(
        router_id=found.router_id if found.router_id is not None else run.host.host_name(),
        script_security=found.script_security,
        dynamic_interfaces=found.dynamic_interfaces,
        startup_delay_us=found.startup_delay_us,
        log_unknown_vrids=found.log_unknown_vrids,
        use_pid_dir=found.use_pid_dir,
        instance=found.instance,
        net_namespace=found.net_namespace,
        umask=found.umask,
        rt_priority=found.rt_priority,
        nice=found.nice,
        no_swap=found.no_swap,
    )


def _duplicate_router_id(instances: list[WrittenInstance], run: Run) -> bool:
    """Report two instances with one VRID, family and interface (and no unicast peers)."""
    users: dict[tuple[int | None, int | None, str | None], WrittenInstance] = {}
    clash = False
    for one in instances:
        if one.unicast_peers:
            continue
        key = (one.vrid, one.family, one.interface)
        other = users.setdefault(key, one)
        if other is not one:
            run.error(
                f"{other.name} and {one.name} both use VRID {one.vrid} with IPv{one.family} "
                f"on interface {one.interface}",
                code="duplicate-router-id",
            )
            clash = True
    return clash


def _works(instance: WrittenInstance, run: Run) -> bool:
    """Whether this program can run the instance; if not, say so plainly."""
    if not instance.unsupported:
        return True
    what = ", ".join(instance.unsupported)
    note = _note(f"({instance.name}) {what} is not supported yet - instance not started")
    run.diagnostics.append(replace(note, origin=instance.at.line_origin))
    return False


def _note(message: str) -> Diagnostic:
    return Diagnostic("not-supported", message, Severity.WARNING, None, None, logged_only=True)


# Sync groups -----------------------------------------------------------------


def _groups(written: Written, run: Run) -> dict[str, tuple[WrittenGroup, list[str]]]:
    """The groups that are left with their members; an instance is in one group only."""
    kept: dict[str, tuple[WrittenGroup, list[str]]] = {}
    taken: set[str] = set()
    for group in written.groups.values():
        if group.members is None:
            run.error(f"Sync group {group.name} has no virtual router(s). removing")
            continue
        members = [name for name in group.members if _may_join(name, group, taken, written, run)]
        taken.update(members)
        if not members:
            run.error(
                f"Sync group {group.name}, no matching virtual router found in group declaration - removing"
            )
            continue
        if len(members) == 1:
            run.error(
                f"Sync group {group.name} has only 1 virtual router(s) - this probably isn't what you want"
            )
        kept[group.name] = (group, members)
        _check_weights(group, members, written, run)
    return kept


def _may_join(name: str, group: WrittenGroup, taken: set[str], written: Written, run: Run) -> bool:
    if name not in written.instances:
        run.error(f"Virtual router {name} specified in sync group {group.name} doesn't exist - ignoring")
        return False
    if name in taken:
        run.error(f"Virtual router {name} cannot exist in more than one sync group; ignoring {group.name}")
        return False
    return True


def _check_weights(group: WrittenGroup, members: list[str], written: Written, run: Run) -> None:
    """Without sync_group_tracking_weight, weights of members mean nothing."""
    if group.tracking_weight:
        return
    for name in members:
        instance = written.instances[name]
        for track in instance.track_scripts:
            if track.weight:
                run.error(f"({name}) ignoring tracked script {track.name} with weights due to SYNC group")
        for track in instance.track_interfaces:
            if track.weight:
                run.error(f"({name}) ignoring {track.name} tracked interface weight due to SYNC group")
        instance.track_scripts = [track for track in instance.track_scripts if not track.weight]
        instance.track_interfaces = [track for track in instance.track_interfaces if not track.weight]


def _with_groups(
    configuration: Configuration,
    groups: dict[str, tuple[WrittenGroup, list[str]]],
    scripts: _Scripts,
    run: Run,
) -> Configuration:
    """The groups whose members run; a group with a member that does not run is left out."""
    running = {instance.name for instance in configuration.instances}
    kept: list[SyncGroup] = []
    for group, names in groups.values():
        members = tuple(InstanceName(name) for name in names)
        if not running.issuperset(members):
            run.diagnostics.append(
                _note(f"({group.name}) a member is not started - its running members are not synchronised")
            )
            continue
        kept.append(
            SyncGroup(
                GroupName(group.name),
                members,
                _notifies(group.notifies),
                group.tracking_weight,
                _tracked_scripts(group.track_scripts, scripts),
                _tracked_interfaces(group.track_interfaces),
            )
        )
    return replace(configuration, groups=tuple(kept))


# Scripts ---------------------------------------------------------------------


def _check_scripts(
    written: Written,
    instances: list[WrittenInstance],
    groups: dict[str, tuple[WrittenGroup, list[str]]],
    scripts: _Scripts,
    run: Run,
) -> None:
    """Check every script that would run; drop those that may not."""
    for script in written.scripts.values():
        _check_track_script(script, written, scripts, run)
    for one in instances:
        _check_notifies(one.notifies, written, scripts, run)
    for group, _ in groups.values():
        _check_notifies(group.notifies, written, scripts, run)
    if scripts.any_runs and not written.globals.script_security:
        more = " There are insecure scripts." if scripts.any_insecure else ""
        run.error(
            script_security.VIOLATION + more, code="script-security", error_class=ErrorClass.SCRIPT_SECURITY
        )


def _check_track_script(script: WrittenScript, written: Written, scripts: _Scripts, run: Run) -> None:
    verdict = script_security.check(run.host, script.argv[0], script.uid, script.gid)
    if verdict.access is Access.NOT_FOUND:
        run.log(f"Script {script.argv[0]} cannot be accessed - No such file or directory", script.at)
        run.error(f"Disabling track script {script.name} since not found/accessible", code="script-not-found")
        return
    if verdict.access is Access.NOT_EXECUTABLE:
        _not_executable(verdict.path, script.uid, script.gid, run)
        scripts.any_runs = True
        return
    if verdict.access is Access.INSECURE and not _tolerated(verdict.path, written, scripts, run):
        run.error(f"Disabling track script {script.name} due to insecure", code="insecure-script")
        return
    scripts.any_runs = True
    if not _is_tracked(script.name, written):
        run.log(f"Warning - script {script.name} is not used", script.at)
        return
    timeout = script.timeout_us if script.timeout_us is not None else script.interval_us
    command = Command((verdict.path, *script.argv[1:]), script.uid, script.gid)
    scripts.usable[script.name] = CheckScript(
        ScriptName(script.name), command, script.interval_us, timeout, script.rise, script.fall
    )


def _is_tracked(name: str, written: Written) -> bool:
    owners: list[WrittenInstance | WrittenGroup] = [*written.instances.values(), *written.groups.values()]
    return any(track.name == name for owner in owners for track in owner.track_scripts)


def _not_executable(path: str, uid: int, gid: int, run: Run) -> None:
    run.log(f"WARNING - script '{path}' is not executable for uid:gid {uid}:{gid} - disabling.")


def _tolerated(path: str, written: Written, scripts: _Scripts, run: Run) -> bool:
    """An insecure script still runs unless enable_script_security is given."""
    security = written.globals.script_security
    run.log(
        f"Unsafe permissions found for script '{path}'{' - disabling' if security else ''}.",
        code="insecure-script",
    )
    scripts.any_insecure = True
    return not security


def _check_notifies(notifies: WrittenNotifies, written: Written, scripts: _Scripts, run: Run) -> None:
    """Drop notify commands that may not run, and put the full path into the others."""
    for attribute in ("master", "backup", "fault", "stop", "deleted", "any", "master_rx_lower_priority"):
        command = getattr(notifies, attribute)
        if command is None:
            continue
        verdict = script_security.check(run.host, command.argv[0], command.uid, command.gid)
        allowed = verdict.access is Access.USABLE
        if verdict.access is Access.NOT_FOUND:
            run.log(f"Script {command.argv[0]} cannot be accessed - No such file or directory")
        elif verdict.access is Access.NOT_EXECUTABLE:
            _not_executable(verdict.path, command.uid, command.gid, run)
        elif verdict.access is Access.INSECURE:
            allowed = _tolerated(verdict.path, written, scripts, run)
        if allowed:
            scripts.any_runs = True
            command.argv = (verdict.path, *command.argv[1:])
        else:
            setattr(notifies, attribute, None)


# Instances -------------------------------------------------------------------


def _instance(
    one: WrittenInstance,
    written: Written,
    groups: dict[str, tuple[WrittenGroup, list[str]]],
    scripts: _Scripts,
    run: Run,
) -> Instance:
    common = written.globals
    assert one.interface is not None and one.vrid is not None and one.priority is not None
    assert one.state is not None and one.version is not None and one.down_timer_adverts is not None
    password = one.auth_pass.encode(errors="surrogateescape")[:PASSWORD_BYTES]
    interface = InterfaceName(one.interface)
    return Instance(
        name=InstanceName(one.name),
        interface=interface,
        vrid=one.vrid,
        base_priority=one.priority,
        version=one.version,
        initial_state=_initial_state(one, written, groups),
        preempt=not one.nopreempt,
        preempt_delay_us=one.preempt_delay_us,
        advert_interval_us=one.advert_interval_us,
        down_timer_adverts=one.down_timer_adverts,
        auth_type=one.auth_type,
        auth_data=password.ljust(PASSWORD_BYTES, b"\0") if one.auth_type is not AuthType.NONE else b"",
        source=one.source,
        destination=one.destination or common.multicast_group,
        addresses=tuple(_address(found, interface) for found in one.addresses),
        excluded_addresses=tuple(_address(found, interface) for found in one.excluded_addresses),
        track_scripts=_tracked_scripts(one.track_scripts, scripts),
        track_interfaces=_tracked_interfaces(one.track_interfaces),
        track_primary=one.track_primary,
        notifies=_notifies(one.notifies),
        garp=_garp(one.garp, common.garp, strict=bool(one.strict)),
        strict=bool(one.strict),
        skip_check_adv_addr=_choose(one.skip_check_adv_addr, common.skip_check_adv_addr),
        lower_priority_no_advert=_choose(one.lower_priority_no_advert, common.lower_priority_no_advert),
        higher_priority_send_advert=_choose(
            one.higher_priority_send_advert, common.higher_priority_send_advert
        ),
    )


def _initial_state(
    one: WrittenInstance, written: Written, groups: dict[str, tuple[WrittenGroup, list[str]]]
) -> InitialState:
    """MASTER at once is for an address owner only, and in a group only if every member is one."""

    def may_start(instance: WrittenInstance) -> bool:
        return instance.state is InitialState.MASTER and instance.priority == OWNER_PRIORITY

    fellows = [one]
    for _, members in groups.values():
        if one.name in members:
            fellows = [written.instances[name] for name in members]
    return InitialState.MASTER if all(map(may_start, fellows)) else InitialState.BACKUP


def _choose(own: bool | None, common: bool) -> bool:
    return common if own is None else own


def _address(found: WrittenAddress, interface: InterfaceName) -> VirtualAddress:
    return VirtualAddress(
        address=found.address,
        prefix_length=found.prefix_length,
        interface=InterfaceName(found.interface) if found.interface is not None else interface,
        label=found.label,
        scope=found.scope,
        broadcast=found.broadcast if isinstance(found.address, IPv4Address) else None,
        peer=found.peer,
        peer_prefix_length=found.peer_prefix_length,
        tracked=found.tracked,
        home=found.home,
        mngtmpaddr=found.mngtmpaddr,
        noprefixroute=found.noprefixroute,
        preferred_lifetime_s=found.preferred_lifetime_s,
    )


def _tracked_scripts(tracks: list[WrittenTrack], scripts: _Scripts) -> tuple[TrackedScript, ...]:
    return tuple(
        TrackedScript(ScriptName(track.name), track.weight or 0, bool(track.reverse))
        for track in tracks
        if track.name in scripts.usable
    )


def _tracked_interfaces(tracks: list[WrittenTrack]) -> tuple[TrackedInterface, ...]:
    return tuple(
        TrackedInterface(InterfaceName(track.name), track.weight or 0, bool(track.reverse))
        for track in tracks
    )


def _notifies(found: WrittenNotifies) -> Notifies:
    def command(name: str) -> Command | None:
        one = getattr(found, name)
        return None if one is None else one.command()

    return Notifies(
        command("master"),
        command("backup"),
        command("fault"),
        command("stop"),
        command("deleted"),
        command("any"),
        command("master_rx_lower_priority"),
        found.report_deleted,
    )


def _garp(own: WrittenGarp, common: WrittenGarp, *, strict: bool) -> GratuitousArp:
    """The instance's value, else the global one, else keepalived's default."""

    def pick(attribute: str, default: int) -> int:
        for source in (own, common):
            value = getattr(source, attribute)
            if value is not None:
                return int(value)
        return default

    repeat = pick("repeat", 5)
    delay = pick("delay_us", 5 * SECOND)
    return GratuitousArp(
        repeat=repeat,
        delay_us=Micros(delay),
        refresh_us=Micros(pick("refresh_us", 0)),
        refresh_repeat=pick("refresh_repeat", 1),
        lower_priority_repeat=0 if strict else pick("lower_priority_repeat", repeat),
        lower_priority_delay_us=Micros(0 if strict else pick("lower_priority_delay_us", delay)),
    )
