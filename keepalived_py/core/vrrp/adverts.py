"""The advert of an instance, and sending it.

Everything but the priority follows from the settings and the source address,
so the value is made when one of them changes and sent as it is.  A MASTER that
gives up sends a copy with priority 0.

* To the group with TTL 255; or one copy to each unicast peer, with
  `unicast_ttl`, else 255 over IPv4 and the kernel's choice over IPv6.
* The interval is in whole seconds in version 2, in centiseconds in version 3.
* What the checksum of version 3 covers over IPv4 was never agreed on: a pseudo
  header (the reading of RFC 5798 that keepalived has), the message alone (RFC
  9568, `v3_checksum_as_v2`), or, between unicast peers, a pseudo header with
  the group in it (keepalived before 1.3.7, `old_unicast_checksum`, or
  because a peer was heard to do so).  Over IPv6 the kernel sums up.
"""

from keepalived_py.base.clock import SECOND
from keepalived_py.base.names import Address
from keepalived_py.core.leases import is_leased
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.model.config import AuthType, Instance
from keepalived_py.model.effects import Effect, RaiseSequence, SendAdvert, WriteLog
from keepalived_py.model.packet import AdvertToSend, ChecksumForm, Signing
from keepalived_py.model.vrrp import AntiReplay, HmacMode, UnicastChecksum

TTL = 255
CENTISECOND = 10_000


def advert_of(
    settings: Instance, source: Address | None, priority: int, *, old_checksum: bool = False
) -> AdvertToSend | None:
    """The advert the instance sends; None while it has no source address, or if a quorum elects it.

    `old_checksum`: a peer was heard to use the old form, see `checksum_form`.
    """
    if source is None or is_leased(settings):
        return None
    destinations = tuple(peer.address for peer in settings.unicast_peers) or (settings.destination,)
    return AdvertToSend(
        interface=settings.advert_interface,
        source=source,
        destinations=destinations,
        ttl=_ttl(settings),
        version=settings.version,
        vrid=settings.vrid,
        priority=priority,
        auth_type=settings.auth_type,
        auth_data=settings.auth_data,
        advert_interval=settings.advert_interval_us // (SECOND if settings.version == 2 else CENTISECOND),
        addresses=tuple(virtual.address for virtual in settings.addresses),
        checksum_form=checksum_form(settings, old_checksum),
        group=settings.destination,
        signing=_signing(settings),
    )


def _ttl(settings: Instance) -> int | None:
    if not settings.unicast:
        return TTL
    if settings.unicast_ttl is not None:
        return settings.unicast_ttl
    return TTL if settings.family == 4 else None


def checksum_form(settings: Instance, old_heard: bool) -> ChecksumForm:
    """What the checksum covers, of what is sent and of what is accepted."""
    if settings.version != 3 or settings.family != 4:
        return ChecksumForm.PSEUDO_HEADER
    if settings.v3_checksum_as_v2:
        return ChecksumForm.MESSAGE_ONLY
    if settings.unicast and (old_heard or settings.unicast_checksum is UnicastChecksum.OLD):
        return ChecksumForm.OLD_UNICAST
    return ChecksumForm.PSEUDO_HEADER


def _signing(settings: Instance) -> Signing | None:
    asked = settings.auth_hmac
    if asked is None or asked.mode is HmacMode.RECEIVE_ONLY:
        return None
    for key in asked.keys:
        if key.id == asked.active_key:
            monotonic = asked.anti_replay is AntiReplay.MONOTONIC
            return Signing(key.id, key.value, monotonic, asked.time_window_s)
    return None


def renewed(state: InstanceState) -> InstanceState:
    """The state with its advert made anew from everything that it depends on."""
    advert = advert_of(
        state.settings,
        state.source,
        state.effective_priority,
        old_checksum=state.memory.old_checksum,
    )
    return state._replace(advert=advert)


def send_advert(state: InstanceState, out: list[Effect]) -> InstanceState:
    """Send the instance's advert."""
    if state.advert is None:
        return state
    out.append(SendAdvert(state.settings.name, state.advert))
    counters = state.counters
    return state._replace(counters=counters._replace(advert_sent=counters.advert_sent + 1))


def outrun(state: InstanceState, out: list[Effect]) -> None:
    """Have the next AH sequence number be greater than the greatest heard."""
    if is_leased(state.settings):
        return
    if state.settings.auth_type is AuthType.AH and state.memory.sequence:
        out.append(RaiseSequence(state.settings.name, state.memory.sequence))


def resign(
    state: InstanceState, out: list[Effect], *, first: WriteLog | None = None, counted: bool = True
) -> InstanceState:
    """Send an advert with priority 0: the others need not wait for the timer.

    `first` is a line that stands before ours in the log.  keepalived sends two
    when a tracked object fails, and counts and logs only one (`counted`).

    Who has just lost its address says so with that address: the others know it as the master's.
    Over IPv6 the kernel would refuse.
    """
    settings = state.settings
    source = state.last_source if state.source is None and settings.family == 4 else state.source
    advert = advert_of(settings, source, 0, old_checksum=state.memory.old_checksum)
    if advert is not None:
        out.append(SendAdvert(settings.name, advert))
    if first is not None:
        out.append(first)
    if advert is None:
        return state
    if counted:
        out.append(WriteLog(f"({settings.name}) sent 0 priority", detail=True))
    counters = state.counters
    sent, zero = counters.advert_sent + 1, counters.pri_zero_sent + counted
    return state._replace(counters=counters._replace(advert_sent=sent, pri_zero_sent=zero))
