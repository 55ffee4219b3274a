"""What others undo and what the kernel refuses: put back, asked again, reported.

A MASTER whose address, route or rule was removed by somebody else stays
MASTER: the thing is put back at once, and an address is announced again.
(keepalived resigns with priority 0, waits skew_time and takes everything
anew; hosts would lose their gateway for that long.)  Static routes, rules and
addresses are put back in the same way.  Things marked `no_track` are left to
whoever removed them.  The other way round, what only the holder of a lease may
have is taken off whoever has no lease: two machines would answer for it.

What the kernel refuses is logged once, with what it means, and asked again
with growing pauses as long as it is wanted: an addition while its holder is
MASTER, a deletion while nobody holds the address.  Of what the firewall would not
do, that part is asked again which is still to be done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import assert_never

from keepalived_py.base.clock import SECOND, Micros, as_seconds
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.base.record import replace as with_fields
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.ledger import (
    PEACE,
    Ailing,
    Undertaking,
    pause_after_loss,
    pause_after_refusal,
)
from keepalived_py.core.holder.outcomes import (
    Trouble,
    is_permanent,
    line_for,
    needs_nothing,
    number_of,
    subject,
)
from keepalived_py.core.holder.things import (
    STATIC,
    Thing,
    adding,
    bare,
    everything,
    interfaces_of,
    place_of,
    reported_place,
    slot,
    text_of,
    thing_of,
)
from keepalived_py.core.turn import Turn
from keepalived_py.model.config import Instance, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    Failed,
    KernelChange,
    Outcome,
    Role,
    TimedOut,
    UnblockAddresses,
    WriteLog,
)
from keepalived_py.model.events import InterfaceAddress
from keepalived_py.model.network import Rule


def statics(turn: Turn) -> tuple[Thing, ...]:
    """Everything static, in the order in which it is put in."""
    configuration = turn.configuration
    return configuration.static_addresses + configuration.static_routes + configuration.static_rules


def holds(turn: Turn, owner: InstanceName, thing: Thing) -> bool:
    """Whether `owner` wants `thing` in the kernel now."""
    if owner == STATIC:
        return thing in statics(turn)
    return turn.is_master(owner) and thing in everything(turn.instances[owner].settings)


def lost(turn: Turn, owner: InstanceName, thing: Thing) -> None:
    """Somebody else took `thing` away; its `owner` wants it."""
    change = adding(owner, thing)
    known = turn.books.ailing.get(change)
    if known is not None and known.retry_at is not None:
        return
    attempts, pause = _next_attempt(turn, owner, known)
    when = f"in {as_seconds(pause):g} s" if pause else "at once"
    if owner:
        repaired = turn.books.restored(owner)
        so_far = f" (repaired {repaired} times so far)" if repaired else ""
        turn.out.append(WriteLog(f"({owner}) {text_of(thing)} is gone, put back {when}{so_far}"))
    else:
        _say_restoring(turn, thing, f", {when}" if pause else "")
    ailing = Ailing(change, attempts, turn.now, Micros(turn.now + pause) if pause else None)
    if not pause:
        _put_back(turn, ailing)
    turn.books.note(ailing)


def intruded(turn: Turn, interface: InterfaceName, found: InterfaceAddress) -> None:
    """An address that only the holder of a lease may have was put here by somebody else: off with it.

    With another prefix length too: neighbours ask for the address alone.
    """
    holders = turn.shape.holders.get((interface, found.address), ())
    leased = [(owner, virtual) for owner, virtual in holders if owner in turn.shape.lease_of]
    if not leased or any(owner == STATIC or _is_holder(turn, owner) for owner, _ in holders):
        return
    owner, virtual = leased[0]
    place = reported_place(interface, found)
    if place != place_of(virtual):
        virtual = with_fields(virtual, prefix_length=found.prefix_length, peer=None, peer_prefix_length=None)
    change = DeleteAddress(owner, virtual)
    known = turn.books.ailing.get(change)
    if place in turn.books.removals or (known is not None and known.retry_at is not None):
        return
    attempts, pause = _next_attempt(turn, owner, known)
    when = f"in {as_seconds(pause):g} s" if pause else "at once"
    text = f"({owner}) {text_of(virtual)} was put on {interface} by somebody else, taken off {when}"
    turn.out.append(WriteLog(text))
    if not pause:
        turn.out.append(change)
    turn.books.note(Ailing(change, attempts, turn.now, Micros(turn.now + pause) if pause else None))


def _next_attempt(turn: Turn, owner: InstanceName, known: Ailing | None) -> tuple[int, Micros]:
    """Which attempt it is to undo what somebody did, and how long to wait before it.

    About a lease nobody has to wait longer than keep-vip's shortest round takes.
    """
    recent = known is not None and turn.now - known.since < PEACE
    attempts = known.attempts + 1 if known is not None and recent else 1
    pause = pause_after_loss(attempts)
    return attempts, min(pause, SECOND) if owner in turn.shape.lease_of else pause


def _say_restoring(turn: Turn, thing: Thing, when: str = "") -> None:
    """keepalived's line for static things."""
    kind = "address " if isinstance(thing, VirtualAddress) else ""
    text = str(thing) if isinstance(thing, VirtualAddress) else text_of(thing)
    turn.out.append(WriteLog(f"Restoring deleted static {kind}{text}{when}"))


def _put_back(turn: Turn, ailing: Ailing) -> None:
    """Add it again; an address that was not refused before is announced in the same breath."""
    change = ailing.undertaking
    turn.out.append(change)
    if not ailing.errno and isinstance(change, AddAddress | AddRoute | AddRule) and change.instance:
        turn.books.count_restored(change.instance)
        _announce(turn, change)


def _announce(turn: Turn, change: Undertaking) -> None:
    if isinstance(change, AddAddress) and change.instance:
        settings = turn.instances[change.instance].settings
        holding.burst(settings, (change.address,), settings.garp.repeat, turn.out)


def retry(turn: Turn) -> None:
    """Whatever is due is tried again, if it is still wanted."""
    due = [
        each for each in turn.books.ailing.values() if each.retry_at is not None and each.retry_at <= turn.now
    ]
    for ailing in sorted(due, key=lambda each: each.retry_at or 0):
        left = _left_of(turn, ailing.undertaking)
        if left != ailing.undertaking:
            turn.books.forget(ailing.undertaking)
        if left is not None:
            ailing = ailing._replace(undertaking=left, retry_at=None)
            turn.books.note(ailing)
            _put_back(turn, ailing)


def _left_of(turn: Turn, undertaking: Undertaking) -> Undertaking | None:
    """What is still wanted of it: a reload, or another role, may have reversed a part of a filter's."""
    if not isinstance(undertaking, BlockAddresses | UnblockAddresses):
        return undertaking if _wanted(turn, undertaking) else None
    closed = _closed_for(turn, undertaking.instance)
    close = isinstance(undertaking, BlockAddresses)
    left = tuple(
        virtual
        for virtual in undertaking.addresses
        if ((virtual.interface, virtual.address) in closed) is close
    )
    return replace(undertaking, addresses=left) if left else None


def _closed_for(turn: Turn, owner: InstanceName) -> set[tuple[InterfaceName, Address]]:
    """The addresses that the firewall must be closed for now, as far as `owner` is concerned."""
    if not turn.is_master(owner):
        return set()
    settings: Instance = turn.instances[owner].settings
    blocked = holding.all_addresses(settings) if holding.blocks(settings) else ()
    return {(virtual.interface, virtual.address) for virtual in blocked}


def _wanted(turn: Turn, undertaking: KernelChange | CreateDevice) -> bool:
    match undertaking:
        case AddAddress() | AddRoute() | AddRule():
            return holds(turn, undertaking.instance, thing_of(undertaking))
        case DeleteAddress():
            return not is_held(turn, undertaking.address)
        case DeleteRoute() | DeleteRule():
            thing = thing_of(undertaking)
            return not (
                holds(turn, STATIC, thing) or any(holds(turn, name, thing) for name in turn.instances)
            )
        case CreateDevice():
            facts = turn.interfaces.get(undertaking.device.name)
            return undertaking.device.name in turn.shape.devices and (facts is None or not facts.index)
        case _:
            assert_never(undertaking)


def is_held(turn: Turn, virtual: VirtualAddress) -> bool:
    """Whether anybody wants the place of `virtual` in the kernel now."""
    holders = turn.shape.holders.get((virtual.interface, virtual.address), ())
    return any(
        slot(theirs) == slot(virtual) and (owner == STATIC or _is_holder(turn, owner))
        for owner, theirs in holders
    )


def _is_holder(turn: Turn, name: InstanceName) -> bool:
    """A MASTER, or an address owner that begins: a reload gave it its addresses already."""
    if name not in turn.instances:
        return False
    state = turn.instances[name]
    return state.role is Role.MASTER or (state.role is Role.INIT and state.deadline is not None)


def answered(turn: Turn, effect: Effect, outcome: Outcome) -> None:
    """An undertaking came to an end."""
    match effect:
        case AddAddress():
            turn.books.tick_off_addition(place_of(effect.address))
            _judge(turn, effect, outcome)
            if not isinstance(outcome, Failed | TimedOut):
                _take_back(turn, effect)
        case DeleteAddress():
            _judge(turn, effect, outcome)
        case (
            AddRoute()
            | AddRule()
            | DeleteRoute()
            | DeleteRule()
            | BlockAddresses()
            | UnblockAddresses()
            | CreateDevice()
        ):
            _judge(turn, effect, outcome)
        case _:
            pass


def _take_back(turn: Turn, added: AddAddress) -> None:
    """A reload may have had the address deleted in another lane, and been faster than this addition."""
    if place_of(added.address) not in turn.books.removals and not is_held(turn, added.address):
        turn.out.append(DeleteAddress(added.instance, added.address))


def _judge(turn: Turn, undertaking: Undertaking, outcome: Outcome) -> None:
    if isinstance(outcome, Failed | TimedOut):
        _refused(turn, undertaking, outcome)
    else:
        _succeeded(turn, undertaking)


def _succeeded(turn: Turn, undertaking: Undertaking) -> None:
    ailing = turn.books.ailing
    # To look an undertaking up costs more than all the rest, and mostly nothing is in trouble.
    ended = tuple(each for each in _ended_by(undertaking, ailing) if each.errno) if ailing else ()
    for each in ended:
        turn.books.forget(each.undertaking)
    if ended:
        turn.out.append(WriteLog(f"{subject(undertaking)}: succeeded at last"))
        if isinstance(undertaking, AddAddress) and _wanted(turn, undertaking):
            _announce(turn, undertaking)


def _ended_by(undertaking: Undertaking, ailing: Mapping[Undertaking, Ailing]) -> Iterator[Ailing]:
    """The troubles that are over if it succeeds; a filter's may have become one of fewer addresses."""
    if undertaking in ailing:
        yield ailing[undertaking]
    if isinstance(undertaking, BlockAddresses | UnblockAddresses):
        for other, known in ailing.items():
            if isinstance(other, type(undertaking)) and other.instance == undertaking.instance:
                if set(other.addresses) < set(undertaking.addresses):
                    yield known


def _refused(turn: Turn, undertaking: Undertaking, trouble: Trouble) -> None:
    if needs_nothing(undertaking, trouble):
        return
    undertaking = _by_its_holder(turn, undertaking)
    left = _left_of(turn, undertaking)
    known = turn.books.ailing.get(undertaking)
    if left is not None and left != undertaking:
        turn.books.forget(undertaking)
        undertaking = left
        known = known or turn.books.ailing.get(undertaking)
    attempts = known.attempts + 1 if known is not None and turn.now - known.since < PEACE else 1
    number = number_of(trouble)
    again = left is not None and not is_permanent(undertaking, trouble)
    pause = pause_after_refusal(attempts) if again else None
    if known is None or known.errno != number:
        turn.out.append(
            WriteLog(line_for(undertaking, trouble, None if pause is None else as_seconds(pause)))
        )
    retry_at = None if pause is None else Micros(turn.now + pause)
    turn.books.note(Ailing(undertaking, attempts, turn.now, retry_at, number))


def _by_its_holder(turn: Turn, undertaking: Undertaking) -> Undertaking:
    """What a reload gave to another holder while it was being added is that one's to add again."""
    if not isinstance(undertaking, AddAddress | AddRoute | AddRule) or _wanted(turn, undertaking):
        return undertaking
    wanted = bare(thing_of(undertaking))
    for name in turn.instances:
        if turn.is_master(name):
            for thing in everything(turn.instances[name].settings):
                if bare(thing) == wanted:
                    return adding(name, thing)
    return undertaking


def hasten(turn: Turn, interface: InterfaceName | None) -> None:
    """`interface` came up, or (None) an address came: what was refused may be possible now."""
    for ailing in tuple(turn.books.ailing.values()):
        if not ailing.errno or ailing.retry_at is None:
            continue
        change = ailing.undertaking
        if interface is None:
            concerned = isinstance(change, AddRoute)
        else:
            concerned = isinstance(change, AddAddress | AddRoute | AddRule) and interface in interfaces_of(
                thing_of(change)
            )
        if concerned:
            turn.books.note(ailing._replace(retry_at=turn.now))


def come_back(turn: Turn, interface: InterfaceName) -> None:
    """`interface` is up again: what is static on it, and routes of a MASTER over it, may be gone.

    The kernel drops the IPv4 routes over an interface that goes down, and tells nobody.
    """
    for thing in statics(turn):
        if thing.tracked and not isinstance(thing, Rule) and interface in interfaces_of(thing):
            _say_restoring(turn, thing)
            turn.out.append(adding(STATIC, thing))
    for name in turn.shape.dependants.get(interface, ()):
        if turn.is_master(name):
            for route in turn.instances[name].settings.routes:
                if route.tracked and interface in interfaces_of(route):
                    turn.out.append(AddRoute(name, route))
