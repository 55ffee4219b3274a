"""What of a configuration this program can run, and what is to be said about the rest.

The model holds the whole language.  Blocks and settings that have no effect
are named in one line of the log when the program starts or reloads.
"""

from collections.abc import Iterator

from keepalived_py.base.record import Record, replace
from keepalived_py.model.config import Configuration, Instance, SyncGroup
from keepalived_py.model.globals import Globals

# Globals, or parts of them, that are not acted upon.
_IDLE_GLOBALS = frozenset(
    {
        "snmp",
        "dbus",
        "namespace_with_ipsets",
        "json_version",
        "use_symlink_paths",
        "files",
        "receive_buffers.lvs_command",
        "receive_buffers.lvs_monitor",
        "firewall.ipvs_table",
        "firewall.ipvs_priority",
        "firewall.ipvs_start_fwmark",
    }
)


class Runnable(Record):
    """The part that runs.  `idle`: what is accepted and has no effect yet."""

    configuration: Configuration
    idle: tuple[str, ...] = ()


def runnable(configuration: Configuration) -> Runnable:
    """Leave out scripts and checks that nobody tracks, and name what has no effect."""
    owners: tuple[Instance | SyncGroup, ...] = (*configuration.instances, *configuration.groups)
    tracked = {track.name for owner in owners for track in (*owner.track_scripts, *owner.track_checks)}
    kept = replace(
        configuration,
        scripts=tuple(script for script in configuration.scripts if script.name in tracked),
        checks=tuple(check for check in configuration.checks if check.name in tracked),
    )
    return Runnable(kept, tuple(_idle(configuration)))


def _idle(configuration: Configuration) -> Iterator[str]:
    if configuration.cluster is not None and configuration.cluster.load_balancers:
        yield "loadBalancers"
    for name in _idle_globals(configuration.globals):
        yield f"global_defs: {name}"


def _idle_globals(found: Globals) -> Iterator[str]:
    fields = {name.partition(".")[0] for name in _IDLE_GLOBALS}
    if all(getattr(found, field) == Globals.defaults[field] for field in fields):
        return
    from keepalived_py.config.blocks.global_defs import GLOBAL_DEFS
    from keepalived_py.config.dump import shown, written_keywords

    for keyword in written_keywords(GLOBAL_DEFS):
        idle = not _IDLE_GLOBALS.isdisjoint((keyword.attribute, keyword.attribute.partition(".")[0]))
        if idle and keyword.block is None and shown(keyword, found, secrets=False):
            yield keyword.name
