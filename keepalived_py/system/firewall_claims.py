"""Who wants which elements in the packet filter, and which of them the kernel has.

Two lists that are only equal when all is well.  A *claim* is somebody's wish to have
elements there; whoever claims twice, because nobody answered the first time, has one
claim.  What is *there* follows the kernel's word alone: an element comes when the kernel
has taken it and goes when the kernel has let it go.  What is there and claimed by nobody
is *spare*: its removal was refused or never answered, and is still to be done, whoever
asks for something next.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Part = TypeVar("Part", bound=Hashable)


class Claims(Generic[Part]):
    """The two lists.  Elements keep the order in which they came."""

    def __init__(self) -> None:
        self._claims: dict[Hashable, tuple[Part, ...]] = {}
        self._wanted: Counter[Part] = Counter()
        self._there: dict[Part, None] = {}
        self._spare: dict[Part, None] = {}

    def of(self, claim: Hashable) -> tuple[Part, ...]:
        """The elements of `claim`; none if it was not made."""
        return self._claims.get(claim, ())

    def names(self) -> tuple[Hashable, ...]:
        """All claims."""
        return tuple(self._claims)

    @property
    def spare(self) -> tuple[Part, ...]:
        """What the kernel has and nobody claims."""
        return tuple(self._spare)

    @property
    def wanted(self) -> tuple[Part, ...]:
        """What the kernel has for somebody."""
        return tuple(part for part in self._there if part not in self._spare)

    def lacking(self, parts: Iterable[Part]) -> tuple[Part, ...]:
        """Those that the kernel does not have, each once."""
        return tuple(part for part in dict.fromkeys(parts) if part not in self._there)

    def make(self, claim: Hashable, parts: Iterable[Part]) -> None:
        """`claim` is for exactly `parts`; the kernel has them (`came`)."""
        before = self._claims.get(claim, ())
        self._claims[claim] = after = tuple(dict.fromkeys(parts))
        self._wanted.update(after)
        for part in after:
            self._spare.pop(part, None)
        self._release(before)

    def give_up(self, claim: Hashable) -> None:
        """`claim` is no longer made, if it was."""
        self._release(self._claims.pop(claim, ()))

    def came(self, parts: Iterable[Part]) -> None:
        """The kernel has taken `parts`."""
        for part in parts:
            self._there[part] = None
            if not self._wanted[part]:
                self._spare[part] = None

    def went(self, parts: Iterable[Part]) -> None:
        """The kernel has let `parts` go."""
        for part in parts:
            self._there.pop(part, None)
            self._spare.pop(part, None)

    def clear(self) -> None:
        """Nothing is there, and nobody claims anything."""
        for each in (self._claims, self._wanted, self._there, self._spare):
            each.clear()

    def _release(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._wanted[part] -= 1
            if not self._wanted[part]:
                del self._wanted[part]
                if part in self._there:
                    self._spare[part] = None
