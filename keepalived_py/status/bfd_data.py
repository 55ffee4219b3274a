"""The BFD part of keepalived's dump `keepalived_bfd.data` (SIGUSR1), and what it counts besides.

Lines that show the inner workings of the C program (threads, suspended timers) have
nothing here that they could show.  The counts of packets at the end are ours.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

from keepalived_py.core.bfd.report import remote_interval
from keepalived_py.core.bfd.state import Session
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import DIAGNOSTIC_TEXTS, STATE_TEXTS

FILE = "keepalived_bfd.data"


def bfd_data(sessions: Iterable[Session], refused: Mapping[str, int]) -> str:
    """The text of the file.  `refused`: how many packets were discarded, by reason."""
    lines = ["------< BFD Data >------", "------< BFD Topology >------"]
    for session in sessions:
        lines += _configured(session.settings)
        lines += _present(session)
    lines.append("------< BFD discarded packets >------")
    lines += [f" {reason} = {count}" for reason, count in refused.items()]
    return "\n".join(lines) + "\n"


def _configured(settings: BfdInstance) -> Iterator[str]:
    yield f" BFD Instance = {settings.name}"
    yield f"   Neighbor IP = {settings.neighbour}"
    if settings.source is not None:
        yield f"   Source IP = {settings.source}"
    yield f"   Required min RX interval = {settings.min_rx_us} us"
    yield f"   Desired min TX interval = {settings.min_tx_us} us"
    yield f"   Desired idle TX interval = {settings.idle_tx_us} us"
    yield f"   Detection multiplier = {settings.multiplier}"
    yield f"   {'TTL' if settings.neighbour.version == 4 else 'hoplimit'} = {settings.ttl}"
    yield f"   max_hops = {settings.max_hops % 256}"  # keepalived keeps it in a byte
    yield f"   passive = {'true' if settings.passive else 'false'}"
    yield f"   send event to VRRP process = {'Yes' if settings.vrrp else 'No'}"
    yield f"   send event to checker process = {'Yes' if settings.checker else 'No'}"


def _present(session: Session) -> Iterator[str]:
    remote = session.remote
    yield f"   local state = {STATE_TEXTS[session.state]}"
    yield f"   remote state = {STATE_TEXTS[remote.state]}"
    yield f"   local discriminator = 0x{session.discriminator:x}"
    yield f"   remote discriminator = 0x{remote.discriminator:x}"
    yield f"   local diag = {DIAGNOSTIC_TEXTS[session.diagnostic]}"
    yield f"   remote diag = {DIAGNOSTIC_TEXTS[remote.diagnostic]}"
    yield f"   remote min tx intv = {remote.min_tx_us} us"
    yield f"   remote min rx intv = {remote.min_rx_us} us"
    yield "   local demand = 0"
    yield f"   remote demand = {int(remote.demand)}"
    yield f"   remote detect multiplier = {remote.multiplier}"
    yield f"   {'' if session.poll else '!'}poll, !final"
    yield f"   local tx intv = {session.tx_interval} us"
    yield f"   remote tx intv = {remote_interval(session)} us"
    yield f"   local detection time = {session.detection} us"
    yield f"   remote detection time = {session.remote_detection} us"
    yield _last_seen(session)
    yield f"   packets sent = {session.sent}"
    yield f"   packets received = {session.heard}"
    yield f"   times lost = {session.lost}"


def _last_seen(session: Session) -> str:
    if session.last_seen is None:
        return "   last_seen = [never]"
    ago_us = time.monotonic_ns() // 1000 - session.last_seen
    seconds, micros = divmod(time.time_ns() // 1000 - ago_us, 1_000_000)
    return f"   last seen = {seconds}.{micros:06} ({time.ctime(seconds)}.{micros:06})"
