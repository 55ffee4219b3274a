"""What of a configuration this program can run, and what is to be said about the rest.

The model holds the whole language.  An instance that needs something that is
not done yet is left out and named, never run as something else; settings and
blocks without effect are named too.
"""

from collections.abc import Iterator
from typing import Any

from keepalived_py.base.record import Record, replace
from keepalived_py.model.config import AuthType, Configuration, Instance, SyncGroup
from keepalived_py.model.globals import Globals

# Globals that are acted upon; the keyword table names the others.
_PERFORMED = frozenset(
    {
        "router_id",
        "script_security",
        "script_user",
        "dynamic_interfaces",
        "startup_delay_us",
        "log_unknown_vrids",
        "use_pid_dir",
        "instance",
        "net_namespace",
        "umask",
        "rt_priority",
        "nice",
        "no_swap",
        "version",
        "strict",
        "multicast_group",
        "down_timer_adverts",
        "garp",
        "lower_priority_no_advert",
        "higher_priority_send_advert",
        "skip_check_adv_addr",
        "include_check",
    }
)
_IDLE = {
    "accept": "no_accept",
    "smtp_alert": "smtp_alert",
    "notify_priority_changes": "notify_priority_changes",
    "routes": "virtual_routes",
    "rules": "virtual_rules",
    "track_files": "track_file",
    "track_processes": "track_process",
    "track_bfds": "track_bfd",
    "track_source": "track_src_ip",
    "vmac_addresses": "use_vmac_addr",
    "check_unicast_source": "check_unicast_src",
    "v3_checksum_as_v2": "v3_checksum_as_v2",
    "owner_ignore_adverts": "owner_ignore_adverts",
    "late_priority": "timer_expired_backup",
    "promote_secondaries": "promote_secondaries",
    "linkbeat_use_polling": "linkbeat_use_polling",
    "receive_buffer_bytes": "kernel_rx_buf_size",
    "lvs_sync_interface": "lvs_sync_daemon_interface",
}
_IDLE_BLOCKS = {
    "track_files": "track_file",
    "track_processes": "vrrp_track_process",
    "bfd_instances": "bfd_instance",
    "track_groups": "track_group",
    "static_addresses": "static_ipaddress",
    "static_routes": "static_routes",
    "static_rules": "static_rules",
    "garp_groups": "garp_group",
    "linkbeat_interfaces": "linkbeat_interfaces",
    "interface_delays": "interface_up_down_delays",
    "ssl": "SSL",
    "server_groups": "virtual_server_group",
    "virtual_servers": "virtual_server",
}


class Runnable(Record):
    """The part that runs.  `notes`: lines for the log; `idle`: what is accepted and has no effect yet."""

    configuration: Configuration
    notes: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


def runnable(configuration: Configuration) -> Runnable:
    """Leave out what cannot run yet."""
    notes: list[str] = []
    instances = tuple(one for one in configuration.instances if _runs(one, notes))
    running = {one.name for one in instances}
    groups = tuple(group for group in configuration.groups if _whole(group, running, notes))
    owners: tuple[Instance | SyncGroup, ...] = (*instances, *groups)
    tracked = {track.name for owner in owners for track in owner.track_scripts}
    kept = replace(
        configuration,
        instances=instances,
        groups=groups,
        scripts=tuple(script for script in configuration.scripts if script.name in tracked),
    )
    return Runnable(kept, tuple(notes), tuple(_idle(configuration, instances)))


def refusal(configuration: Configuration) -> str | None:
    """Why there is nothing to start, in one line; None if there is no reason."""
    if configuration.cluster is not None:
        return "A keep-vip cluster configuration can be checked and converted, but not run yet"
    return None


def _runs(one: Instance, notes: list[str]) -> bool:
    needs = {
        "IPv6": one.family == 6,
        "VRRP version 3": one.version == 3,
        "unicast_peer": bool(one.unicast_peers),
        "unicast_fault_no_peer": one.unicast_fault_no_peer,
        "auth_type AH": one.auth_type is AuthType.AH,
        "auth_hmac": one.auth_hmac is not None,
        "use_vmac": one.vmac is not None,
        "use_ipvlan": one.ipvlan is not None,
        "vrf": one.vrf is not None,
    }
    missing = ", ".join(name for name, needed in needs.items() if needed)
    if missing:
        notes.append(f"({one.name}) {missing} is not supported yet - instance not started")
    return not missing


def _whole(group: SyncGroup, running: set[Any], notes: list[str]) -> bool:
    if running.issuperset(group.members):
        return True
    notes.append(f"({group.name}) a member is not started - its running members are not synchronised")
    return False


def _idle(configuration: Configuration, instances: tuple[Instance, ...]) -> Iterator[str]:
    for field, block in _IDLE_BLOCKS.items():
        if getattr(configuration, field):
            yield block
    for name in _idle_globals(configuration.globals):
        yield f"global_defs: {name}"
    for one in instances:
        for field, keyword in _IDLE.items():
            if getattr(one, field) != Instance.defaults[field]:
                yield f"vrrp_instance {one.name}: {keyword}"
        if one.garp.extra_interfaces.interval_us:
            yield f"vrrp_instance {one.name}: garp_extra_if"


def _idle_globals(found: Globals) -> Iterator[str]:
    if found == Globals(router_id=found.router_id):
        return
    from keepalived_py.config.blocks.global_defs import GLOBAL_DEFS
    from keepalived_py.config.dump import shown, written_keywords

    for keyword in written_keywords(GLOBAL_DEFS):
        field = keyword.attribute.partition(".")[0]
        if field not in _PERFORMED and keyword.block is None and shown(keyword, found, secrets=False):
            yield keyword.name
