"""BFD sessions (RFC 5880, RFC 5881; `multihop`: RFC 5883)."""

from __future__ import annotations

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record


class BfdInstance(Record):
    """A `bfd_instance`.

    `source` None: the kernel chooses.  `ttl` is that of sent packets (the hop
    limit for IPv6); a received one may have lost `max_hops` of it, -1: any.
    `weight` and `reverse` are the defaults of instances that track it; `vrrp`
    and `checker` tell who is told of its changes.
    """

    name: str
    neighbour: Address
    source: Address | None = None
    min_rx_us: Micros = Micros(10_000)
    min_tx_us: Micros = Micros(10_000)
    idle_tx_us: Micros = Micros(1_000_000)
    multiplier: int = 5
    passive: bool = False
    ttl: int = 0
    max_hops: int = 0
    multihop: bool = False
    weight: int = 0
    reverse: bool = False
    vrrp: bool = True
    checker: bool = True
