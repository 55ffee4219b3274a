"""The kinds of child process, one row each: what they are called, when they are needed, what runs in them.

The order of the table is that in which they are started.  Everything that the
parent does for a child it does by this table: there is nothing in it that is
written for one kind only.  Names and words are keepalived's, so that scripts
that look for processes, pid files or log lines find them.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from keepalived_py.base.record import replace
from keepalived_py.daemon.children import ChildMain
from keepalived_py.daemon.signals import JSON, STATS_CLEAR
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals


@dataclass(frozen=True, slots=True)
class ChildKind:
    """One kind of child.

    `name` is that of its pid file and in "... process failed to die"; `title`
    stands in the other lines; `ident` is its name in syslog.  `main` fetches the
    entry point: it is called just before the fork, so that what it imports is
    paid for once, and not at all by whoever needs no such child, or not all of it.
    `forwarded`: the signals that the parent hands on to it.  `share`: what of a new configuration it gets
    at a reload, for whatever it has to take in may make an advert late.  `vital`: a permanent error
    of it ends the whole program, even if others could go on.
    """

    name: str
    title: str
    ident: str
    needed: Callable[[Configuration], bool]
    process_name: Callable[[Globals], str | None]
    main: Callable[[Configuration], ChildMain]
    forwarded: frozenset[int]
    share: Callable[[Configuration], Configuration]
    vital: bool = True


def _vrrp_main(configuration: Configuration) -> ChildMain:
    from keepalived_py.daemon.vrrp_child import run_child

    if configuration.raft is not None:
        # In the child it would take time in which timers are due.
        import keepalived_py.daemon.raft_parts  # noqa: F401

    return run_child


def _checkers_main(configuration: Configuration) -> ChildMain:
    from keepalived_py.daemon.checkers_child import run_child

    return run_child


def _bfd_main(configuration: Configuration) -> ChildMain:
    from keepalived_py.daemon.bfd_child import run_child

    return run_child


def _status_main(configuration: Configuration) -> ChildMain:
    from keepalived_py.daemon.status_child import run_child

    return run_child


def _status_needed(configuration: Configuration) -> bool:
    return configuration.cluster is not None and bool(configuration.cluster.prometheus.enabled)


def _vrrp_needed(configuration: Configuration) -> bool:
    static = (configuration.static_addresses, configuration.static_routes, configuration.static_rules)
    return bool(configuration.instances) or any(static) or configuration.raft is not None


def _whole(configuration: Configuration) -> Configuration:
    return configuration


def _without_servers(configuration: Configuration) -> Configuration:
    return replace(configuration, virtual_servers=(), server_groups=())


CHECKERS = ChildKind(
    name="checkers",
    title="Healthcheck",
    ident="Keepalived_healthcheckers",
    needed=lambda configuration: bool(configuration.virtual_servers),
    process_name=lambda settings: settings.checker.name,
    main=_checkers_main,
    forwarded=frozenset({signal.SIGUSR1}),
    share=_whole,
    vital=False,
)
VRRP = ChildKind(
    name="vrrp",
    title="VRRP",
    ident="Keepalived_vrrp",
    needed=_vrrp_needed,
    process_name=lambda settings: settings.vrrp_process_name,
    main=_vrrp_main,
    forwarded=frozenset({signal.SIGUSR1, signal.SIGUSR2, STATS_CLEAR, JSON}),
    share=_without_servers,
)
BFD = ChildKind(
    name="bfd",
    title="BFD",
    ident="Keepalived_bfd",
    needed=lambda configuration: bool(configuration.bfd_instances),
    process_name=lambda settings: settings.bfd.name,
    main=_bfd_main,
    forwarded=frozenset({signal.SIGUSR1}),
    share=_without_servers,
)
STATUS = ChildKind(
    name="keepalived_status",
    title="Status",
    ident="Keepalived_status",
    needed=_status_needed,
    process_name=lambda settings: None,
    main=_status_main,
    forwarded=frozenset(),
    share=_without_servers,
)
KINDS = (CHECKERS, VRRP, BFD, STATUS)
