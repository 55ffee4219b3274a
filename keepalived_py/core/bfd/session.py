"""One BFD session as a fold: what happened and when, to the next state and what is to be done.

The rules are those of RFC 5880 section 6.8; the lines of the log are
keepalived's.  Where keepalived is slower than the RFC wants it to be, the RFC
is followed: a change of state is told at once and not with the next periodic
packet, the faster rate holds as soon as both ends are Up, and whoever says that he cannot hear
(interval 0) is not sent to.  As in keepalived a session that was Up gets a new
discriminator when it goes down, and a neighbour that is switched off on purpose
is no news for those who follow the session (RFC 5882 section 3.2).
"""

from keepalived_py.base.clock import Micros
from keepalived_py.core.bfd.report import changed_parameters
from keepalived_py.core.bfd.state import NOBODY, Chance, Effect, Remote, SendPacket, Session, Tell
from keepalived_py.core.bfd.timing import detection_time, jittered, transmit_interval
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import (
    DIAGNOSTIC_TEXTS,
    STATE_TEXTS,
    ControlPacket,
    Diagnostic,
    State,
)
from keepalived_py.model.effects import WriteLog


def begin(settings: BfdInstance, now: Micros, chance: Chance) -> Session:
    """A new session; unless it is passive, it speaks at once."""
    idle = settings.idle_tx_us
    return Session(
        settings,
        chance.discriminator,
        idle,
        settings.min_rx_us,
        tx_interval=idle,
        send_at=None if settings.passive else now,
    )


def packet_of(session: Session, final: bool = False) -> ControlPacket:
    """What it says now.  A poll waits while another one is answered: no packet carries both."""
    settings = session.settings
    return ControlPacket(
        session.state,
        session.discriminator,
        session.remote.discriminator,
        settings.min_tx_us if session.up else settings.idle_tx_us,
        settings.min_rx_us,
        settings.multiplier,
        session.poll and not final,
        final,
        session.diagnostic,
    )


# -- a packet came ---------------------------------------------------------------


def on_packet(
    session: Session, packet: ControlPacket, now: Micros, chance: Chance, out: list[Effect]
) -> Session:
    """A packet that passed `checking.find` for this session."""
    if session.state is State.ADMIN_DOWN:
        return session
    before = session
    remote = Remote(
        packet.state,
        packet.my_discriminator,
        packet.diagnostic,
        packet.desired_min_tx_us,
        packet.required_min_rx_us,
        packet.multiplier,
        packet.demand,
    )
    session = session._replace(remote=remote, last_seen=now, heard=session.heard + 1)
    if packet.final and session.poll:
        session = _in_use(session._replace(poll=False))
    if remote != before.remote or session.poll != before.poll:
        session = _timed(session)
    mark = len(out)
    session = _follow(session, chance, out)
    if session.tx_interval != before.tx_interval or remote != before.remote:
        out[mark:mark] = changed_parameters(before, session)
    session = session._replace(silent_at=Micros(now + session.detection))
    if packet.poll:
        session = _send(session, out, final=True)
    return _scheduled(before, session, now, chance)


def _follow(session: Session, chance: Chance, out: list[Effect]) -> Session:
    """The state machine of RFC 5880 section 6.2."""
    heard = session.remote.state
    state = session.state
    if heard == State.ADMIN_DOWN:
        if state is State.DOWN:
            return session
        return _down(session, Diagnostic.NEIGHBOUR_DOWN, chance, out, tell=False)
    if state is State.DOWN:
        if heard == State.DOWN:
            return session._replace(state=State.INIT, diagnostic=Diagnostic.NONE)
        return _up(session, out) if heard == State.INIT else session
    if state is State.INIT:
        return _up(session, out) if heard in (State.INIT, State.UP) else session
    if heard == State.DOWN:
        return _down(session, Diagnostic.NEIGHBOUR_DOWN, chance, out)
    return session


def _up(session: Session, out: list[Effect]) -> Session:
    settings = session.settings
    out.append(WriteLog(f"({session.name}) Entering {STATE_TEXTS[State.UP]} state"))
    poll = settings.idle_tx_us != settings.min_tx_us
    if poll:
        out.append(_polling(session))
    out.append(Tell(True))
    session = session._replace(state=State.UP, diagnostic=Diagnostic.NONE, poll=poll)
    # Until the poll has ended the other end expects us at least as often as before.
    return _timed(session._replace(min_tx_us=min(settings.min_tx_us, settings.idle_tx_us)))


def _down(
    session: Session, diagnostic: Diagnostic, chance: Chance, out: list[Effect], *, tell: bool = True
) -> Session:
    settings = session.settings
    if session.up:
        theirs = DIAGNOSTIC_TEXTS[session.remote.diagnostic]
        what = f"Local diagnostic - {DIAGNOSTIC_TEXTS[diagnostic]}, Remote diagnostic - {theirs}"
        out.append(WriteLog(f"({session.name}) Entering {STATE_TEXTS[State.DOWN]} state ({what})"))
        session = session._replace(discriminator=chance.discriminator, lost=session.lost + 1)
        if tell:
            out.append(Tell(False))
    session = session._replace(
        state=State.DOWN,
        diagnostic=diagnostic,
        poll=False,
        min_tx_us=settings.idle_tx_us,
        min_rx_us=settings.min_rx_us,
    )
    return _timed(session)


# -- time passed -----------------------------------------------------------------


def on_tick(session: Session, now: Micros, chance: Chance, out: list[Effect]) -> Session:
    """Do what is due."""
    before = session
    if session.silent_at is not None and session.silent_at <= now:
        session = _silent(session, now, chance, out)
    session = _scheduled(before, session, now, chance)
    if session.send_at is not None and session.send_at <= now:
        session = _send(session, out)
        session = session._replace(send_at=_next(session, now, chance))
    return session


def _silent(session: Session, now: Micros, chance: Chance, out: list[Effect]) -> Session:
    """Nothing came for the detection time: the other end is lost, or forgotten."""
    if session.up and session.last_seen is not None:
        dead = now - session.last_seen
        overdue = dead - session.detection
        text = f"({session.name}) Expired after {dead // 1000} ms ({overdue} usec overdue)"
        out.append(WriteLog(text))
    if session.state in (State.INIT, State.UP):
        session = _down(session, Diagnostic.EXPIRED, chance, out)
    return _timed(session._replace(remote=NOBODY, silent_at=None))


# -- told from outside -----------------------------------------------------------


def close(session: Session, out: list[Effect]) -> Session:
    """AdminDown, for good or until `reopen`: the other end is told, we hear no more."""
    if session.state is State.ADMIN_DOWN:
        return session
    out.append(WriteLog(f"({session.name}) Entering {STATE_TEXTS[State.ADMIN_DOWN]} state"))
    session = session._replace(
        state=State.ADMIN_DOWN, diagnostic=Diagnostic.ADMIN_DOWN, poll=False, send_at=None, silent_at=None
    )
    return _send(session, out) if session.remote.discriminator else session


def reopen(session: Session, now: Micros, chance: Chance) -> Session:
    """Out of AdminDown: as at the start."""
    return begin(session.settings, now, chance)


def replaced(
    session: Session, settings: BfdInstance, now: Micros, chance: Chance, out: list[Effect]
) -> Session:
    """The same session under other settings (a reload); new intervals are agreed on by a poll sequence.

    Until that has ended, we go on sending at least as often, and waiting as long, as before.
    """
    old, before = session.settings, session
    if settings == old:
        return session
    session = session._replace(settings=settings)
    if not session.up:
        session = session._replace(min_tx_us=settings.idle_tx_us, min_rx_us=settings.min_rx_us)
    elif (old.min_tx_us, old.min_rx_us) != (settings.min_tx_us, settings.min_rx_us):
        out.append(_polling(session))
        session = session._replace(
            poll=True,
            min_tx_us=min(session.min_tx_us, settings.min_tx_us),
            min_rx_us=max(session.min_rx_us, settings.min_rx_us),
        )
    session = _timed(session)
    if session.silent_at is not None and session.last_seen is not None:
        session = session._replace(silent_at=Micros(session.last_seen + session.detection))
    return _scheduled(before, session, now, chance)


# -- common ----------------------------------------------------------------------


def _polling(session: Session) -> WriteLog:
    return WriteLog(f"({session.name}) Starting poll sequence", detail=True)


def _in_use(session: Session) -> Session:
    """The other end has confirmed our intervals: they hold from now on."""
    settings = session.settings
    return session._replace(
        min_tx_us=settings.min_tx_us if session.up else settings.idle_tx_us, min_rx_us=settings.min_rx_us
    )


def _timed(session: Session) -> Session:
    """Work out the intervals again."""
    remote = session.remote
    interval = transmit_interval(session.min_tx_us, remote.min_rx_us)
    return session._replace(
        tx_interval=interval,
        detection=detection_time(remote.multiplier, session.min_rx_us, remote.min_tx_us),
        remote_detection=Micros(session.settings.multiplier * interval),
    )


def _send(session: Session, out: list[Effect], *, final: bool = False) -> Session:
    out.append(SendPacket(packet_of(session, final)))
    return session._replace(sent=session.sent + 1)


def _speaks(session: Session) -> bool:
    """Whether packets go out of our own accord (RFC 5880 section 6.8.7)."""
    remote = session.remote
    if session.state is State.ADMIN_DOWN or not remote.min_rx_us:
        return False
    if not remote.discriminator:
        return not session.settings.passive
    both_up = session.up and remote.state == State.UP
    return session.poll or not (remote.demand and both_up)


def _next(session: Session, now: Micros, chance: Chance) -> Micros:
    return Micros(now + jittered(session.tx_interval, session.settings.multiplier, chance.jitter))


def _scheduled(before: Session, session: Session, now: Micros, chance: Chance) -> Session:
    """The next periodic packet, after anything that may have changed when it is due."""
    if not _speaks(session):
        return session if session.send_at is None else session._replace(send_at=None)
    if session.state is not before.state:
        return session._replace(send_at=now)
    if session.send_at is None:
        return session._replace(send_at=_next(session, now, chance))
    if session.tx_interval < before.tx_interval:
        return session._replace(send_at=min(session.send_at, _next(session, now, chance)))
    return session
