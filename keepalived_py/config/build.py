"""The immutable model out of drafts that `config.resolve` has been through.  Nothing is said here."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.config.correct import OWNER_PRIORITY
from keepalived_py.config.draft import Draft, built
from keepalived_py.config.host import Host
from keepalived_py.config.written import Written, election_of
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals
from keepalived_py.model.vrrp import (
    AuthType,
    ExtraInterfaces,
    GratuitousArp,
    InitialState,
    Instance,
    SyncGroup,
)

SECOND_SCRIPT = "\0"  # in the key of a script whose name was taken: nobody can track it
GARP_DEFAULTS = GratuitousArp()


def build_globals(written: Written, host: Host) -> Globals:
    """The globals alone, for a configuration that must not be run."""
    found = written.globals
    router_id = found.router_id if found.router_id else host.host_name()
    return found.build(router_id=router_id)


def build(written: Written, host: Host) -> Configuration:
    """The whole model."""
    return Configuration(
        globals=build_globals(written, host),
        instances=tuple(_instance(one, written) for one in written.instances.values()),
        groups=tuple(_group(one, written) for one in written.groups.values()),
        scripts=tuple(one.build() for key, one in written.scripts.items() if SECOND_SCRIPT not in key),
        checks=_all(written.checks),
        track_files=_all(written.track_files),
        track_processes=_all(written.track_processes),
        bfd_instances=_all(written.bfd_instances),
        track_groups=_all(written.track_groups),
        static_addresses=built(written.static_addresses),
        static_routes=built(written.static_routes),
        static_rules=built(written.static_rules),
        garp_groups=built(written.garp_groups),
        linkbeat_interfaces=built(written.linkbeat_interfaces),
        interface_delays=built(written.interface_delays),
        ssl=built(written.ssl),
        server_groups=_all(written.server_groups),
        virtual_servers=built(written.virtual_servers),
        raft=built(written.raft),
    )


def _all(drafts: dict[str, Draft[Any]]) -> tuple[Any, ...]:
    return tuple(draft.build() for draft in drafts.values())


def _instance(one: Draft[Instance], written: Written) -> Instance:
    common = written.globals
    group: Any = one.__dict__.get("group")
    default = common.multicast_group if one.family == 4 else common.multicast_group6
    return one.build(
        initial_state=_initial_state(one, written),
        auth_data=one.auth_data if one.auth_type is not AuthType.NONE else b"",
        destination=one.multicast_destination or default,
        addresses=_addresses(one, one.addresses),
        excluded_addresses=_addresses(one, one.excluded_addresses),
        garp=_garp(one.garp, common.garp),
        skip_check_adv_addr=one.skip_check_adv_addr or bool(common.skip_check_adv_addr),
        lower_priority_no_advert=_choose(one.lower_priority_no_advert, common.lower_priority_no_advert),
        higher_priority_send_advert=_choose(
            one.higher_priority_send_advert, common.higher_priority_send_advert
        ),
        check_unicast_source=one.check_unicast_source or bool(common.check_unicast_src and one.unicast_peers),
        v3_checksum_as_v2=_asked(one.v3_checksum_as_v2, common.v3_checksum_as_v2),
        smtp_alert=_choose(one.smtp_alert, _alert(written)),
        election=election_of(written, one),
        dead_man=_choose(one.dead_man, common.dead_man),
        notify_priority_changes=_choose(
            one.notify_priority_changes,
            _choose(group and group.notify_priority_changes, common.notify_priority_changes),
        ),
    )


def _choose(own: bool | None, common: bool | None) -> bool:
    return bool(common if own is None else own)


def _asked(own: bool | None, common: bool | None) -> bool | None:
    """None for what is off only because nothing is said about it."""
    return True if own is None and common else own


def _alert(written: Written) -> bool:
    """Whether role changes are mailed where nothing is said about it."""
    mail: Any = written.globals.mail
    return _choose(mail.alert_vrrp, mail.alert)


def _addresses(one: Draft[Instance], entries: list[Draft[Any]]) -> tuple[Any, ...]:
    return tuple(
        entry.build() if entry.interface is not None else entry.build(interface=one.interface)
        for entry in entries
    )


def _initial_state(one: Draft[Instance], written: Written) -> InitialState:
    """MASTER at once is for an address owner only, and in a group only if every member is one."""
    group: Any = one.__dict__.get("group")
    fellows = [one] if group is None else [written.instances[name] for name in group.members]
    ready = all(
        each.configured_state is InitialState.MASTER and each.base_priority == OWNER_PRIORITY
        for each in fellows
    )
    return InitialState.MASTER if ready else InitialState.BACKUP


def _garp(own: Draft[GratuitousArp], common: Any) -> GratuitousArp:
    """The instance's values, else the global ones, else keepalived's defaults.

    Announcements after a lower advert follow, where nothing is said of them, the
    *global* garp_master_repeat and garp_master_delay, never the instance's own.
    """

    def pick(field: str, default: int) -> Any:
        if own.written(field):
            return getattr(own, field)
        found = getattr(common, field)
        return default if found is None else found

    common_repeat = GARP_DEFAULTS.repeat if common.repeat is None else common.repeat
    common_delay_us = GARP_DEFAULTS.delay_us if common.delay_us is None else common.delay_us
    extra = ExtraInterfaces(Micros(common.extra_interface_s * SECOND), common.extra_interface_all)
    return GratuitousArp(
        repeat=pick("repeat", common_repeat),
        delay_us=Micros(pick("delay_us", common_delay_us)),
        refresh_us=Micros(pick("refresh_us", GARP_DEFAULTS.refresh_us)),
        refresh_repeat=pick("refresh_repeat", GARP_DEFAULTS.refresh_repeat),
        lower_priority_repeat=pick("lower_priority_repeat", common_repeat),
        lower_priority_delay_us=Micros(pick("lower_priority_delay_us", common_delay_us)),
        extra_interfaces=own.extra_interfaces if own.written("extra_interfaces") else extra,
    )


def _group(group: Draft[SyncGroup], written: Written) -> SyncGroup:
    return group.build(smtp_alert=_choose(group.smtp_alert, _alert(written)))
