"""A `Cluster` back as keep-vip's YAML."""

from __future__ import annotations

from typing import Any

import yaml

from keepalived_py.model.cluster import Cluster, LoadBalancer

SECOND = 1_000_000


def to_yaml(cluster: Cluster) -> str:
    """The file that keep-vip reads as `cluster`."""
    return yaml.safe_dump(to_values(cluster), sort_keys=False, allow_unicode=True)


def to_values(cluster: Cluster) -> dict[str, Any]:
    """The same as plain values, for YAML or JSON."""
    made: dict[str, Any] = {}
    if cluster.name:
        made["cluster"] = cluster.name
    made["interface"] = cluster.interface
    made["vip"] = str(cluster.vip)
    made["ChecksInterval"] = cluster.checks_interval_us // SECOND
    if cluster.prometheus.endpoint is not None:
        made["prometheus"] = {
            "enabled": cluster.prometheus.enabled,
            "address": str(cluster.prometheus.endpoint),
        }
    if cluster.checks:
        made["checks"] = [
            {
                "name": check.name,
                "protocol": "tcp",
                "address": str(check.endpoint),
                **_timeout(check.timeout_us),
            }
            for check in cluster.checks
        ]
    made["members"] = [{"id": one.id, "address": str(one.endpoint)} for one in cluster.members]
    if cluster.load_balancers:
        made["loadBalancers"] = [_balancer(one) for one in cluster.load_balancers]
    made.update(_own_keys(cluster))
    return made


def _own_keys(cluster: Cluster) -> dict[str, str]:
    """What keep-vip does not know, as far as it says anything."""
    written = {
        "onCheckFailure": "exit" if cluster.exit_on_check_failure else "",
        "keyFile": cluster.key_file,
        "dataDirectory": cluster.data_directory,
        "timing": "" if cluster.timing == Cluster.defaults["timing"] else cluster.timing,
    }
    return {name: text for name, text in written.items() if text}


def _timeout(timeout_us: int) -> dict[str, int]:
    """Nothing for a part of a second: only the default, which is used if none is written, is one."""
    return {} if timeout_us % SECOND else {"timeout": timeout_us // SECOND}


def _balancer(balancer: LoadBalancer) -> dict[str, Any]:
    return {
        "name": balancer.name,
        "bindAddress": str(balancer.bind),
        "type": balancer.kind.value,
        "backends": [{"name": one.name, "address": str(one.endpoint)} for one in balancer.backends],
    }
