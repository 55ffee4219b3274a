"""keep-vip's metrics, under its names and with its labels, out of a member's snapshot.

Like keep-vip, a member tells about itself only: the server in the labels is the
own one.  A snapshot that nobody has renewed for some seconds says nothing about
now: then there is no metric of keep-vip's at all, which an alert on their absence
sees, instead of one that looks well for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keepalived_py.status import raft_snapshot
from keepalived_py.status.raft_snapshot import BadSnapshot, LeaseLine, Snapshot

CONTENT_TYPE = CONTENT_TYPE_LATEST
TOO_OLD_S = 10.0
_MEMBER = ("keep_vip_cluster", "server_id", "server_address")
_STATES = {"follower": 0, "candidate": 1, "leader": 2}


def page(path: str) -> bytes:
    """The text for Prometheus out of the snapshot at `path`; a missing one is no error."""
    return exposition(_read(path), time.time())


def _read(path: str) -> Snapshot | None:
    try:
        return raft_snapshot.read(path)
    except (OSError, BadSnapshot):
        return None


def exposition(snapshot: Snapshot | None, now_s: float) -> bytes:
    """The text for Prometheus.  `now_s`: UTC in seconds, to tell how old the snapshot is."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(snapshot, now_s))
    return generate_latest(registry)


class _Snapshot(Collector):
    """One scrape's metrics."""

    def __init__(self, snapshot: Snapshot | None, now_s: float) -> None:
        self._snapshot = snapshot
        self._now_s = now_s

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        if snapshot is None:
            return
        age_s = max(0.0, self._now_s - snapshot.at)
        age = GaugeMetricFamily(
            "keep_vip_snapshot_age_seconds", "How old the knowledge behind these metrics is"
        )
        age.add_metric((), age_s)
        yield age
        if age_s <= TOO_OLD_S:
            yield from _of_member(snapshot)
            yield _of_checks(snapshot)


def _of_member(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.vip is None:
        return
    lease = snapshot.leases[0] if snapshot.leases else LeaseLine("")
    labels = (*_member(snapshot), snapshot.vip)
    leader = GaugeMetricFamily(
        "keep_vip_member_is_leader", "Whether this member leads: 1 yes, 0 no", labels=(*_MEMBER, "vip")
    )
    leader.add_metric(labels, float(lease.mine))
    yield leader
    state = GaugeMetricFamily(
        "keep_vip_member_state",
        "What this member is: 0 follower, 1 candidate, 2 leader",
        labels=(*_MEMBER, "vip"),
    )
    state.add_metric(labels, _STATES.get(lease.state, 0))
    yield state


def _of_checks(snapshot: Snapshot) -> Metric:
    made = GaugeMetricFamily(
        "keep_vip_check_port",
        "Whether a checked port accepts connections: 1 yes, 0 no",
        labels=(*_MEMBER, "name", "address"),
    )
    for check in snapshot.checks:
        made.add_metric((*_member(snapshot), check.name, check.address), float(check.good))
    return made


def _member(snapshot: Snapshot) -> tuple[str, str, str]:
    own = snapshot.member(snapshot.own)
    return snapshot.cluster, snapshot.own, own.address if own is not None else ""
