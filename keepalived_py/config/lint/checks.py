"""Lints on the checks of servers that instances track."""

from __future__ import annotations

from collections.abc import Iterator

from keepalived_py.base.clock import SECOND
from keepalived_py.config.document import Directive
from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import nearest, statements
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.tracking import CheckScript


def _place(subject: Subject, one: CheckScript, keyword: str) -> Origin | None:
    """Where `keyword` is written in the check inside the block."""
    block = subject.places.block("vrrp_check", one.name)
    kinds: list[Directive] = [each for each in statements(block) if each.body is not None]
    for kind in kinds:
        if any(each.keyword == keyword for each in statements(kind)):
            return nearest(kind, keyword)
    return nearest(block)


def _own_address(subject: Subject) -> Iterator[Advice]:
    """A virtual address is asked by an instance that holds it: the answer is that of the master."""
    for one in subject.configuration.checks:
        for instance in _trackers(subject.configuration, one):
            held = {each.address for each in (*instance.addresses, *instance.excluded_addresses)}
            if one.asks is None or one.asks.connect_ip not in held:
                continue
            yield Advice(
                f"vrrp_check {one.name} asks {one.asks.connect_ip}, an address of {instance.name}: on a "
                "backup the master answers (or, after its end, nobody), so it tells nothing of this machine",
                _place(subject, one, "connect_ip"),
                expected="an address that stays on this machine, such as 127.0.0.1",
            )


def _trackers(configuration: Configuration, one: CheckScript) -> Iterator[Instance]:
    """The instances that track the check, themselves or by a group."""
    for instance in configuration.instances:
        groups = [group for group in configuration.groups if instance.name in group.members]
        lists = (instance.track_checks, *(group.track_checks for group in groups))
        if any(track.name == one.name for tracks in lists for track in tracks):
            yield instance


def _no_room(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.checks:
        if one.asks is not None and one.asks.connect_timeout_us >= one.timeout_us:
            yield Advice(
                f"vrrp_check {one.name} ends after {one.timeout_us / SECOND:g} s, before its connect_timeout "
                f"of {one.asks.connect_timeout_us / SECOND:g} s is over: a silent server always times out, "
                "also where silence would be good, and the log cannot say at what",
                _place(subject, one, "connect_timeout"),
                expected="a connect_timeout shorter than timeout (or, without that, interval)",
            )


LINTS = (
    Lint(
        "check-own-address",
        Severity.WARNING,
        "a check that asks a virtual address of its own instance",
        _own_address,
    ),
    Lint(
        "check-connect-timeout",
        Severity.WARNING,
        "a check that ends before its connect_timeout is over",
        _no_room,
    ),
)
