"""What is under way between us and the kernel, and what gives trouble.

The kernel reports every change to everybody, ours included, and lanes of
several instances run beside each other.  So the node counts

* `removals`: deletions we asked for and have not heard of yet; one that is
  reported without having been asked for was somebody else's;
* `additions`: addresses we asked for and have no answer about.  A deletion of
  ours that is reported when the address is wanted again, and no addition is
  under way, overtook the addition: it is put on once more;
* `under_way`: changes of the kernel's tables without an answer, as far as they
  concern leases (`core.standing`), which are given back only when all is gone;
* `ailing`: what others took away, or the kernel refused, by owner and thing.

Somebody who takes an address off again and again must not make us fight at
full speed: the first time it is put back at once, then after 1 s, 2 s, ...
`LONGEST`; after a minute of peace it counts anew.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.holder.things import Place
from keepalived_py.model.effects import (
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    KernelChange,
    UnblockAddresses,
)

PEACE = Micros(60 * SECOND)
LONGEST = Micros(30 * SECOND)

K = TypeVar("K")

Undertaking = KernelChange | BlockAddresses | UnblockAddresses | CreateDevice


class Ailing(NamedTuple):
    """Something that others undo or the kernel refuses.

    `attempts` counts since the last minute of peace, `since` is when it was last seen to be wrong.
    `retry_at` None: nothing is to be tried, or an attempt is under way.  `errno` is the refusal that
    was logged last; 0: it is not refused.
    """

    undertaking: Undertaking
    attempts: int
    since: Micros
    retry_at: Micros | None = None
    errno: int = 0


class Ledger(NamedTuple):
    """All of it.  `due` is the earliest `retry_at`; `restored` counts what was put back, by instance."""

    removals: Mapping[Place, int] = {}
    additions: Mapping[Place, int] = {}
    ailing: Mapping[Undertaking, Ailing] = {}
    restored: Mapping[InstanceName, int] = {}
    due: Micros | None = None
    under_way: Mapping[KernelChange, int] = {}


CLEAN = Ledger()


def pause_after_loss(attempts: int) -> Micros:
    """How long to wait before a thing that was taken away is put back."""
    return Micros(0) if attempts <= 1 else pause_after_refusal(attempts - 1)


def pause_after_refusal(attempts: int) -> Micros:
    """How long to wait before the kernel is asked again: 1 s, 2 s, 4 s, ... 30 s."""
    return Micros(min(LONGEST, SECOND << min(attempts - 1, 5)))


def unfinished(
    under_way: Mapping[KernelChange, int], ailing: Mapping[Undertaking, Ailing]
) -> frozenset[InstanceName]:
    """Whose changes are not answered, or who has something in the kernel that would not go.

    A route or rule whose deletion can never succeed is no longer waited for; an address is.
    """
    if not under_way and not ailing:
        return frozenset()
    failing = {each.undertaking.instance for each in ailing.values() if _would_not_go(each)}
    return frozenset({change.instance for change in under_way} | failing)


def _would_not_go(ailing: Ailing) -> bool:
    match ailing.undertaking:
        case DeleteAddress():
            return ailing.errno != 0
        case DeleteRoute() | DeleteRule():
            return ailing.errno != 0 and ailing.retry_at is not None
        case _:
            return False


class Books:
    """A ledger opened for change; what is not written to is shared with the old one."""

    __slots__ = ("_additions", "_ailing", "_old", "_removals", "_restored", "_under_way")

    def __init__(self, old: Ledger) -> None:
        self._old = old
        self._removals: dict[Place, int] | None = None
        self._additions: dict[Place, int] | None = None
        self._ailing: dict[Undertaking, Ailing] | None = None
        self._restored: dict[InstanceName, int] | None = None
        self._under_way: dict[KernelChange, int] | None = None

    @property
    def removals(self) -> Mapping[Place, int]:
        """Deletions under way."""
        return self._old.removals if self._removals is None else self._removals

    @property
    def additions(self) -> Mapping[Place, int]:
        """Additions under way."""
        return self._old.additions if self._additions is None else self._additions

    @property
    def ailing(self) -> Mapping[Undertaking, Ailing]:
        """What gives trouble."""
        return self._old.ailing if self._ailing is None else self._ailing

    def expect_removal(self, place: Place) -> None:
        """We ask for a deletion."""
        if self._removals is None:
            self._removals = dict(self._old.removals)
        self._removals[place] = self._removals.get(place, 0) + 1

    def expect_addition(self, place: Place) -> None:
        """We ask for an address."""
        if self._additions is None:
            self._additions = dict(self._old.additions)
        self._additions[place] = self._additions.get(place, 0) + 1

    def tick_off_removal(self, place: Place) -> bool:
        """A deletion was reported, or cannot be any more; False: nobody here asked."""
        if place not in self.removals:
            return False
        if self._removals is None:
            self._removals = dict(self._old.removals)
        _less(self._removals, place)
        return True

    def tick_off_addition(self, place: Place) -> None:
        """An addition was answered."""
        if place in self.additions:
            if self._additions is None:
                self._additions = dict(self._old.additions)
            _less(self._additions, place)

    @property
    def under_way(self) -> Mapping[KernelChange, int]:
        """Changes for leases that are not answered."""
        return self._old.under_way if self._under_way is None else self._under_way

    def expect_answer(self, change: KernelChange) -> None:
        """We ask for `change`, which concerns a lease."""
        if self._under_way is None:
            self._under_way = dict(self._old.under_way)
        self._under_way[change] = self._under_way.get(change, 0) + 1

    def tick_off_answer(self, change: Effect) -> None:
        """It was answered, whatever the answer is."""
        under_way = self.under_way
        if under_way and isinstance(change, KernelChange) and change in under_way:
            if self._under_way is None:
                self._under_way = dict(self._old.under_way)
            _less(self._under_way, change)

    def note(self, ailing: Ailing) -> None:
        """Remember what gives trouble."""
        self._open_ailing()[ailing.undertaking] = ailing

    def forget(self, undertaking: Undertaking) -> None:
        """It gives trouble no more, or is not wanted any more."""
        if undertaking in self.ailing:
            del self._open_ailing()[undertaking]

    def forget_all(self) -> None:
        """Begin with a clean list of troubles."""
        self._ailing = {}

    def restored(self, instance: InstanceName) -> int:
        """How many times something was put back for `instance`."""
        return (self._old.restored if self._restored is None else self._restored).get(instance, 0)

    def count_restored(self, instance: InstanceName) -> None:
        """One more thing was put back for `instance`."""
        if self._restored is None:
            self._restored = dict(self._old.restored)
        self._restored[instance] = self._restored.get(instance, 0) + 1

    def rename(self, names: Mapping[InstanceName, InstanceName]) -> None:
        """After a reload: counters go on under the new `names`, those of others end."""
        old = self._old.restored if self._restored is None else self._restored
        if old:
            self._restored = {names[name]: count for name, count in old.items() if name in names}

    def _open_ailing(self) -> dict[Undertaking, Ailing]:
        if self._ailing is None:
            self._ailing = dict(self._old.ailing)
        return self._ailing

    def close(self) -> Ledger:
        """The ledger with all changes."""
        old, due = self._old, self._old.due
        if self._ailing is not None:
            due = min(
                (each.retry_at for each in self._ailing.values() if each.retry_at is not None), default=None
            )
        elif all(part is None for part in (self._removals, self._additions, self._restored, self._under_way)):
            return old
        restored = old.restored if self._restored is None else self._restored
        return Ledger(self.removals, self.additions, self.ailing, restored, due, self.under_way)


def _less(counts: dict[K, int], key: K) -> None:
    if counts[key] > 1:
        counts[key] -= 1
    else:
        del counts[key]
