"""Lints on virtual routers taken one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keepalived_py.base.clock import SECOND
from keepalived_py.config.lint.addresses import is_local
from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import entry_place, inside, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.config import Configuration, Election, Instance

OWNER_PRIORITY = 255
MOST_PRIORITY = 254  # what weights can raise a priority to
EVERYBODYS_ROUTER_ID = 51  # of keepalived's own sample and most copies of it
SHORTEST_DEAD_TIME_US = SECOND * 3 // 10
COMMON_PASSWORDS = """
1111 1234 12345 123456 1234567 12345678 0000 00000000 11111111 1234abcd 42 admin changeme default
keepalive keepaliv mypass pass passw0rd password secret test vrrp
"""
TRACK_LISTS = {
    "track_scripts": "track_script",
    "track_checks": "track_check",
    "track_interfaces": "track_interface",
    "track_files": "track_file",
    "track_processes": "track_process",
    "track_bfds": "track_bfd",
}


class Tracked(NamedTuple):
    """One entry of a `track_...` list."""

    kind: str
    name: str
    weight: int
    reverse: bool


def tracked(owner: object) -> Iterator[Tracked]:
    """What an instance or a group watches."""
    for field, kind in TRACK_LISTS.items():
        for one in getattr(owner, field):
            yield Tracked(kind, str(one.name), one.weight, one.reverse)


def tracked_lists(kind: str) -> tuple[str, ...]:
    """The keywords of the list: those of files and scripts have an older name too."""
    return (kind, f"vrrp_{kind}")


# Preemption and priorities ---------------------------------------------------


def _nopreempt_weights(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.preempt:
            continue
        block = subject.places.instance(one.name)
        for track in _all_tracked(one, subject.configuration):
            if track.weight:
                yield Advice(
                    f"({one.name}) nopreempt with a weight: {track.kind} {track.name} lowers the priority, "
                    "but a backup with nopreempt never takes over from a master that still lives",
                    entry_place(block, track.name, *tracked_lists(track.kind)),
                    ("without a weight its failure is a fault: the master gives up, the backup takes over",),
                )


def _all_tracked(one: Instance, configuration: Configuration) -> Iterator[Tracked]:
    yield from tracked(one)
    for group in configuration.groups:
        if one.name in group.members:
            yield from tracked(group)


def _useless_weight(subject: Subject) -> Iterator[Advice]:
    """A weight that the limits 1..254 swallow; whether it beats a peer only the peer's file tells."""
    for one in subject.configuration.instances:
        if one.base_priority == OWNER_PRIORITY:
            continue
        block = subject.places.instance(one.name)
        for track in tracked(one):
            raised = track.weight > 0 and not track.reverse
            lowered = track.weight < 0 and not track.reverse
            if (raised and one.base_priority == MOST_PRIORITY) or (lowered and one.base_priority == 1):
                yield Advice(
                    f"({one.name}) weight {track.weight} of {track.kind} {track.name} changes nothing: "
                    f"priority {one.base_priority} is at the limit already (1 to {MOST_PRIORITY})",
                    entry_place(block, track.name, *tracked_lists(track.kind)),
                )


def _owner(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.base_priority != OWNER_PRIORITY:
            continue
        block = subject.places.instance(one.name)
        if inside(block, "priority") is None:
            yield Advice(
                f"({one.name}) state MASTER without priority means priority 255: the owner of the addresses, "
                "which never yields to a backup and ignores weights",
                nearest(block, "state"),
                expected="a priority from 1 to 254",
            )
            continue
        missing = [each.address for each in one.addresses if is_local(subject, one, each.address) is False]
        if missing:
            yield Advice(
                f"({one.name}) priority 255 is for the router that owns the addresses, "
                f"but {missing[0]} is not configured on {one.interface}",
                nearest(block, "priority"),
                expected="a priority from 1 to 254",
            )


# Traffic ----------------------------------------------------------------------


def _strict(subject: Subject) -> Iterator[Advice]:
    """Instances that have it from global_defs share one piece of advice."""
    common: list[str] = []
    for one in subject.configuration.instances:
        block = subject.places.instance(one.name)
        if not one.strict or one.accept or one.base_priority == OWNER_PRIORITY:
            continue
        if inside(block, "no_accept") is not None or inside(block, "accept") is not None:
            continue
        if inside(block, "strict_mode") is None:
            common.append(one.name)
        else:
            yield _strict_advice((one.name,), "strict_mode", nearest(block, "strict_mode"))
    if common:
        place = nearest(subject.places.block("global_defs"), "vrrp_strict")
        yield _strict_advice(tuple(common), "vrrp_strict", place)


def _strict_advice(names: tuple[str, ...], keyword: str, place: Origin | None) -> Advice:
    return Advice(
        f"({', '.join(names)}) {keyword} drops all traffic to the virtual addresses: "
        "no ping, no login, no service of this machine can be reached there",
        place,
        ("`accept` in an instance of VRRP version 3 lets it in; without strict mode it is let in anyway",),
    )


def _router_id(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.vrid == EVERYBODYS_ROUTER_ID and not one.unicast_peers and one.election is Election.VRRP:
            yield Advice(
                f"({one.name}) virtual_router_id {one.vrid} stands in the sample that most people copied: "
                f"a stranger's router on the network of {one.interface} may use it too",
                nearest(subject.places.instance(one.name), "virtual_router_id"),
                expected="a number that nobody else in this network uses",
            )


def _dead_time(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        dead_us = one.advert_interval_us * one.down_timer_adverts
        if dead_us < SHORTEST_DEAD_TIME_US and one.election is Election.VRRP:
            yield Advice(
                f"({one.name}) a backup takes over after {dead_us / SECOND:g} s without adverts: "
                "a paused virtual machine or a busy disk is enough for two masters",
                nearest(subject.places.instance(one.name), "advert_int"),
            )


def _password(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        password = one.auth_data.rstrip(b"\0").decode(errors="replace")
        if password.lower() in COMMON_PASSWORDS.split():
            yield Advice(
                f"({one.name}) this auth_pass is one of the first anybody would try",
                nearest(subject.places.instance(one.name), "authentication/auth_pass"),
                ("auth_pass is sent in clear text: it keeps strangers' routers apart, it is no protection",),
            )


def _virtual_mac(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.vmac is not None:
            yield Advice(
                f"({one.name}) use_vmac: {one.interface} now speaks with a second MAC address "
                "that moves between machines",
                nearest(subject.places.instance(one.name), "use_vmac"),
                (
                    "hypervisors and switches must allow it (forged transmits, MAC changes, port security)",
                    "rp_filter and arp_ignore of the interfaces change while the instance runs",
                ),
            )


LINTS = (
    Lint(
        "nopreempt-weight",
        Severity.WARNING,
        "a weight where nopreempt keeps the backup from taking over",
        _nopreempt_weights,
    ),
    Lint(
        "weight-at-limit", Severity.WARNING, "a weight that the limits of a priority swallow", _useless_weight
    ),
    Lint(
        "owner-priority", Severity.WARNING, "priority 255 of a router that does not own the addresses", _owner
    ),
    Lint("strict-drops-traffic", Severity.WARNING, "strict mode blocks traffic to the addresses", _strict),
    Lint("common-router-id", Severity.HINT, "a virtual_router_id that strangers use too", _router_id),
    Lint(
        "short-dead-time",
        Severity.WARNING,
        "a takeover after so short a silence that pauses cause it",
        _dead_time,
    ),
    Lint("common-password", Severity.WARNING, "an auth_pass that everybody knows", _password),
    Lint(
        "vmac-side-effects",
        Severity.HINT,
        "what a virtual MAC address needs from its surroundings",
        _virtual_mac,
    ),
)
