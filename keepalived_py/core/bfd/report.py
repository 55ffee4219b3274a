"""What a session says of its parameters when these change, in keepalived's layout."""

from collections.abc import Iterator

from keepalived_py.core.bfd.state import Session
from keepalived_py.model.effects import WriteLog


def changed_parameters(before: Session, after: Session) -> Iterator[WriteLog]:
    """The table of parameters (with -D) and the detection time, if they are others than before."""
    if _shown(before) != _shown(after):
        yield from (WriteLog(line, detail=True) for line in _table(after))
    if before.detection != after.detection:
        pad = " " * (len(after.name) + 2)
        yield WriteLog(f"{pad} Detection time is {after.detection} us (was {before.detection} us)")


def _shown(session: Session) -> tuple[int, ...]:
    remote = session.remote
    return remote.min_rx_us, remote.min_tx_us, remote.multiplier, session.tx_interval


def remote_interval(session: Session) -> int:
    """How often the other end sends, microseconds."""
    return max(session.min_rx_us, session.remote.min_tx_us)


def _table(session: Session) -> list[str]:
    settings, remote = session.settings, session.remote
    pad = " " * (len(session.name) + 2)
    min_tx = settings.min_tx_us if session.up else settings.idle_tx_us
    return [
        f"({session.name}) ---------------< Session parameters >--------------",
        f"{pad}          min_tx  min_rx  tx_intv  mult  detect_time",
        f"{pad} local  {min_tx:8} {settings.min_rx_us:7} {session.tx_interval:8} "
        f"{settings.multiplier:5} {session.detection:12}",
        f"{pad} remote {remote.min_tx_us:8} {remote.min_rx_us:7} {remote_interval(session):8} "
        f"{remote.multiplier:5} {session.remote_detection:12}",
    ]
