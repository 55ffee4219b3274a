"""The gate: addresses that pass only while their owner's time runs, and nobody has to end it.

Whoever may use an address for a limited time must not use it a moment longer, also when
its process is stopped, starved or dead.  So the kernel keeps the time: an element of a set
in the packet filter that ends by itself (`system.gate_rules`).  Extending the time is one
transaction of the packet filter, made by a thread of its own; what was asked for meanwhile
goes into one.

**Never late.**  The kernel counts an element's time from the moment when it reads the
request, and that may be long after it was written: the process was stopped in between, or
somebody else held the tables' lock.  Then the address would pass too long.  So every
extension hands in a ticket: an element that was drawn just before, and lasts a few
milliseconds.  The clock is read after drawing it; if the request comes when the ticket has
run out, the kernel refuses the request as a whole.  What the ticket was drawn for is
subtracted from the time, and what is left is rounded down, by us to milliseconds and by the
kernel to its ticks: an address falls silent some milliseconds early.  The kernel's ticks do
not count while the machine is suspended; what is left of the time then runs on when it
wakes up, until we have looked at the clock.

**Who dies leaves it shut.**  The tables stay when the process ends without tidying up: the
addresses are still on the machine.  A later life finds the tables of dead ones, replaces
them by its own in one transaction, and goes on guarding what they guarded (`LEFTOVERS`),
until it takes an address itself or is told that they are gone.  An address that nobody has
taken out stays shut: another machine may hold it.  Tables are numbered; which
of them belongs to a living process shows in a name that it has bound in this network
namespace, or, where the kernel knows of owners (from 6.9 on), in the table.  With an
owner a table also survives that somebody flushes the rule set; without one it is made
anew with the next extension.

Frames of packet sockets do not come by here: whoever announces addresses must look at the
time itself.
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, assert_never

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Done, Failed, Outcome
from keepalived_py.system import gate_rules as rules
from keepalived_py.system import nftables as nft
from keepalived_py.system.clocks import boottime
from keepalived_py.system.gate_rules import Book, Key
from keepalived_py.system.lifetime_gate import LifetimeGate
from keepalived_py.system.nftables import Message, TableFlag
from keepalived_py.system.requests import Rank

PREFIX = "keepalived-py-gate-"
# The owner of what earlier lives have left on this machine, for `release`.
LEFTOVERS = ""

_OWNED = TableFlag.OWNED | TableFlag.PERSISTENT
_SLOTS = 256
# CLOCK_MONOTONIC_COARSE (linux/time.h), which Python has no name for: its resolution is a tick.
_CLOCK_OF_TICKS = 6
_TICKET_MS = 8
_TRIES = 5
# The kernel's own work between looking at the ticket and at the time.
_ALLOWANCE_MS = 1
_STACK_BYTES = 256 * 1024
_BETWEEN_COMPLAINTS_S = 60.0
_CLOSE_LIMIT_S = 2.0
# When what was refused is tried again, unless an order comes before.
_AGAIN_US = 100_000


class Guard(NamedTuple):
    """Guard exactly these; `ended` is called with the errno of the outcome, 0 for success."""

    owner: str
    keys: tuple[Key, ...]
    until: Micros
    ended: Callable[[int], None]


class Extend(NamedTuple):
    """The owner's addresses pass until then."""

    owner: str
    until: Micros


class Shut(NamedTuple):
    """The owner's addresses do not pass."""

    owner: str


class Release(NamedTuple):
    """The owner guards nothing any more."""

    owner: str


class Tidy(NamedTuple):
    """Earlier lives' addresses are guarded no longer, but for those that are `present` on this machine.

    `kept` is called with how many these are.
    """

    present: frozenset[bytes]
    kept: Callable[[int], None]


Order = Guard | Extend | Shut | Release | Tidy


class Tables:
    """The gate's tables in the network namespace of whoever makes this.  Every call waits for the kernel.

    Raises OSError when made if there is no packet filter.
    """

    def __init__(self, clock: Callable[[], Micros] = boottime) -> None:
        self._clock = clock
        self._channel = nft.Channel()
        self._book = Book()
        self._lock, self.name = _free_slot()
        self._flags = int(_OWNED)
        self._made = self._known = False
        self._ticket_ms = _ticket_ms(time.clock_getres(_CLOCK_OF_TICKS))

    def make(self) -> int:
        """Make the tables, in place of those of the dead, and guard what these guarded; an errno or 0."""
        try:
            found = {table.name: table for table in self._channel.tables() if table.name.startswith(PREFIX)}
        except OSError as error:
            return error.errno or errno.EIO
        dead = [name for name, table in found.items() if name == self.name or _is_dead(table)]
        # What our own table guards that is not in the book was released just now.
        lives = [name for name in dead if name != self.name or not self._known]
        left = {key for name in lives for key in rules.guarded_in(self._channel, name)}
        mine = {key for key in left if key not in self._book.keys}
        if mine:
            self._book.guard(LEFTOVERS, mine, None)
        removal = [
            nft.delete_table(family, name)
            for name in dead
            for family in rules.FAMILIES
            if self._channel.has_table(family, name)
        ]
        refused = self._create(removal)
        if refused in (errno.EOPNOTSUPP, errno.EINVAL) and self._flags:
            self._flags = 0
            refused = self._create(removal)
        self._made = not refused
        if not refused:
            self._known = True
            self._book.made_anew()
        return refused

    def _create(self, removal: Sequence[Message]) -> int:
        made = rules.new_tables(self.name, self._flags)
        return self._channel.commit([*removal, *made, *rules.guarded(self.name, self._book.keys)])

    def carry_out(self, orders: Sequence[Order]) -> int:
        """All orders in one transaction, when it is due; an errno or 0.

        What was refused stays to be done.
        """
        for order in orders:
            match order:
                case Guard(owner, keys, until):
                    self._book.forsake(LEFTOVERS, keys)
                    self._book.guard(owner, keys, until)
                case Extend(owner, until):
                    self._book.extend(owner, until)
                case Shut(owner):
                    self._book.shut(owner)
                case Release(owner):
                    self._book.release(owner)
                case Tidy(present, kept):
                    kept(self._tidy(present))
                case _:
                    assert_never(order)
        due = self._book.due
        if due is None or due > self._clock():
            return 0
        error = 0 if self._made else self.make()
        error = error or self._settle()
        if error == errno.ENOENT and not self._is_there():
            # Somebody flushed the packet filter.
            error = self.make() or self._settle()
        for order in orders:
            if error and isinstance(order, Guard):
                self._book.release(order.owner)
        return error

    def _tidy(self, present: frozenset[bytes]) -> int:
        left = [key for key in self._book.keys_of(LEFTOVERS) if rules.address_in(key) in present]
        if left:
            self._book.guard(LEFTOVERS, left, None)
        else:
            self._book.release(LEFTOVERS)
        return len(left)

    @property
    def waits_us(self) -> Micros | None:
        """How long `carry_out` has nothing to do, unless there are new orders; None: for ever."""
        due = self._book.due
        return None if due is None else Micros(max(0, due - self._clock()))

    def _is_there(self) -> bool:
        return all(self._channel.has_table(family, self.name) for family in rules.FAMILIES)

    def _settle(self) -> int:
        """Tell the kernel what it has not heard of."""
        changes = self._book.changes()
        error = 0
        for attempt in range(_TRIES if any(changes) else 0):
            # A machine that is busy needs longer from one to the other.
            error = self._attempt(changes, self._ticket_ms << attempt)
            if error != errno.ENOENT:
                break
        if not error:
            self._book.heard(changes, self._clock())
        return error

    def _attempt(self, changes: rules.Changes, ticket_ms: int) -> int:
        latest = max((until for until, _ in changes.passing), default=Micros(0))
        messages: list[Message] = [*rules.guarded(self.name, changes.guarded)]
        if latest > self._clock():
            error = self._channel.commit([rules.ticket(self.name, ticket_ms)])
            if error:
                return error
            messages.append(rules.use_ticket(self.name))
        # Read after the ticket was drawn: only so the kernel cannot be late.
        now = self._clock()
        for until, keys in changes.passing:
            left_ms = (until - now) // 1000 - ticket_ms - _ALLOWANCE_MS
            if left_ms > 0:
                messages += rules.opened(self.name, keys, left_ms)
            else:
                messages += rules.closed(self.name, keys)
        messages += rules.freed(self.name, changes.freed)
        return self._channel.commit(messages)

    def close(self, release: bool) -> None:
        """Leave; with `release` the tables go too, unless they keep an address of earlier lives shut."""
        if release and self._made and not self._book.keys_of(LEFTOVERS):
            self._channel.commit([nft.delete_table(family, self.name) for family in rules.FAMILIES])
        self._channel.close()
        self._lock.close()


def _ticket_ms(tick_s: float) -> int:
    """How long a ticket is valid: whole ticks of the kernel, since it rounds, and at least one."""
    tick_ms = max(1, round(tick_s * 1000))
    return max(tick_ms, _TICKET_MS // tick_ms * tick_ms)


def _bound(name: str) -> socket.socket | None:
    """The name bound in this network namespace for as long as the socket is open; None if somebody has it."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0{name}")
    except OSError:
        lock.close()
        return None
    return lock


def _free_slot() -> tuple[socket.socket, str]:
    for number in range(_SLOTS):
        lock = _bound(f"{PREFIX}{number}")
        if lock is not None:
            return lock, f"{PREFIX}{number}"
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _is_dead(table: nft.Table) -> bool:
    """Whether a table of ours belongs to no living process."""
    if table.flags & TableFlag.PERSISTENT:
        return not table.flags & TableFlag.OWNED
    lock = _bound(table.name)
    if lock is not None:
        lock.close()
    return lock is not None


def clear_leftovers(present: frozenset[bytes] = frozenset()) -> tuple[int, int]:
    """Remove the tables of dead lives, for a program that needs no gate any more.

    Those that guard an address that is `present` on this machine stay.  An errno or 0, and how many
    such addresses there are.  It waits for the kernel.
    """
    try:
        channel = nft.Channel()
    except OSError:
        return 0, 0
    with contextlib.closing(channel):
        try:
            found = channel.tables()
        except OSError as error:
            # A kernel without tables knows nothing of such a request.
            return 0 if error.errno in (errno.EINVAL, errno.EOPNOTSUPP) else error.errno or errno.EIO, 0
        dead = [table for table in found if table.name.startswith(PREFIX) and _is_dead(table)]
        shut = {
            table.name: sum(rules.address_in(key) in present for key in rules.guarded_in(channel, table.name))
            for table in dead
        }
        removal = [nft.delete_table(table.family, table.name) for table in dead if not shut[table.name]]
        return channel.commit(removal) if removal else 0, sum(shut.values())


class NftGate:
    """A gate in the packet filter of this network namespace; see `election.ports.GatePort`.

    Open it inside a running loop, after all forks.  `say` gets a line when the kernel refuses an
    extension, once a minute at most.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._orders: list[Order] = []
        self._queue: SimpleQueue[Sequence[Order] | bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._complained_at = -_BETWEEN_COMPLAINTS_S
        self._refused = False

    async def open(self) -> int:
        """Make the tables; an errno or 0.  After a refusal there is nothing to be closed."""
        made: asyncio.Future[int] = self._loop.create_future()
        # A thread's stack is locked into memory with the rest of the process: 8 MiB by default.
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread = threading.Thread(target=self._run, args=(made,), name="gate", daemon=True)
            self._thread.start()
        finally:
            threading.stack_size(before)
        error = await made
        if error:
            self._thread = None
        return error

    @property
    def works(self) -> bool:
        """Whether the kernel ends times by itself, and has done what it was asked for last."""
        return self._thread is not None and not self._refused

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> Outcome:
        """From now on exactly these addresses are `owner`'s; they pass until `until`, and then no more."""
        if self._thread is None:
            return Failed(errno.ESHUTDOWN)
        answer: asyncio.Future[int] = self._loop.create_future()

        def ended(error: int) -> None:
            self._hand_back(_answer, answer, error)

        self._put(Guard(owner, tuple(map(rules.key_of, addresses)), until, ended))
        error = await answer
        return Failed(error) if error else Done()

    def extend(self, owner: str, until: Micros) -> None:
        """They pass until `until`; nothing happens after `shut`, until they are guarded anew.

        The kernel hears of it at the latest when a third of the time that it knows of is over.
        """
        self._put(Extend(owner, until))

    def shut(self, owner: str) -> None:
        """They do not pass any more."""
        self._put(Shut(owner))

    def release(self, owner: str) -> None:
        """The addresses are not on this machine any more."""
        self._put(Release(owner))

    def settled(self, present: frozenset[bytes], kept: Callable[[int], None]) -> None:
        """What earlier lives left is out, but for what is `present`; `kept` hears how many those are."""
        self._put(Tidy(present, lambda count: self._hand_back(kept, count)))

    async def close(self, release: bool) -> None:
        """Give everything back; without `release` what is guarded stays so, and runs out."""
        if self._thread is None:
            return
        self._flush()
        self._queue.put(release)
        self._thread = None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended, _CLOSE_LIMIT_S)

    def _put(self, order: Order) -> None:
        """Everything from one turn of the loop goes together."""
        if self._thread is None:
            return
        if not self._orders:
            self._loop.call_soon(self._flush)
        self._orders.append(order)

    def _flush(self) -> None:
        if self._orders:
            self._queue.put(self._orders)
            self._orders = []

    def _complain(self, error: int) -> None:
        time_s = self._loop.time()
        if time_s - self._complained_at >= _BETWEEN_COMPLAINTS_S:
            self._complained_at = time_s
            self._say(f"gate: the packet filter refused ({os.strerror(error)}): addresses may fall silent")

    # -- in the thread --------------------------------------------------------------

    def _run(self, made: "asyncio.Future[int]") -> None:
        try:
            tables = Tables()
        except OSError as error:
            self._hand_back(_answer, made, error.errno or errno.EIO)
            return
        refusal = tables.make()
        self._hand_back(_answer, made, refusal)
        if refusal:
            tables.close(release=False)
            return
        rank = Rank()
        release = False
        waits_us: Micros | None = None
        try:
            going_on = True
            while going_on:
                orders, end = self._taken(waits_us)
                rank.follow()
                refused = self._carry_out(tables, orders)
                waits_us = Micros(_AGAIN_US) if refused else tables.waits_us
                going_on, release = end is None, bool(end)
        finally:
            tables.close(release)
            self._hand_back(_answer, self._ended, None)

    def _taken(self, waits_us: Micros | None) -> tuple[list[Order], bool | None]:
        """All orders that have come before that time; and at the end whether the tables are to go."""
        orders: list[Order] = []
        with contextlib.suppress(Empty):
            found = self._queue.get(timeout=None if waits_us is None else as_seconds(waits_us))
            while not isinstance(found, bool):
                orders += found
                found = self._queue.get_nowait()
            return orders, found
        return orders, None

    def _carry_out(self, tables: Tables, orders: Sequence[Order]) -> int:
        error = tables.carry_out(orders)
        self._refused = bool(error)
        for order in orders:
            if isinstance(order, Guard):
                order.ended(error)
        if error:
            self._hand_back(self._complain, error)
        return error

    def _hand_back(self, function: Callable[..., None], *arguments: object) -> None:
        # A loop that has ended asks for nothing any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _answer(future: "asyncio.Future[object]", value: object) -> None:
    if not future.done():
        future.set_result(value)


async def open_gate(say: Callable[[str], None]) -> NftGate | LifetimeGate:
    """The best gate that this kernel has.  `say` gets a line if it is not the packet filter.

    Call it inside a running loop, after all forks.
    """
    gate = NftGate(say)
    error = await gate.open()
    if not error:
        return gate
    say(
        f"gate: no packet filter (nf_tables: {os.strerror(error)}): addresses get a lifetime instead, and a "
        "process that is stopped may hold on to them for 2 seconds more; load nf_tables to close that"
    )
    return LifetimeGate(say)
