"""What the gate's tables look like, and whom they let pass when.

Two tables of one name, one of them for IP (family inet) and one for ARP.  Each has sets in
pairs: `guarded` are addresses that belong to the gate, `held` are those of them whose time
runs, and an element of `held` ends by itself.  Dropped is what goes to an address that is
guarded and not held, or comes from it; and ARP that asks for it or tells of it.  Neighbour
discovery needs no rules: who asks gets no answer, because that would come from the address
itself (RFC 4861 section 7.2.4 lets the kernel choose so, and it does).  What is not guarded
is nobody's business here: a machine that does not hold an address may talk to it.

Packets are looked at as early as they come in, before their destination is translated
(else a published container would go on answering for a virtual address), and as late as
they go out, after their source is.  Link-local addresses count together with the name of
their interface, because every link may have the same one.  ARP over Infiniband, with its
longer addresses, is not looked at; IP over it is.

The rules are such as nft(8) prints and reads: who saves the rule set can load it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.model.config import VirtualAddress
from keepalived_py.system import nftables as nft
from keepalived_py.system.nftables import ARP, INET, IPV4, IPV6, Kind, Message, Meta, SetType, Verdict

FAMILIES = (INET, ARP)
_TICKET = "ticket"
_TICKET_KEY = bytes(4)
_FIRST_OF_ALL, _LAST_OF_ALL = -450, 300
# Lengths of both kinds of addresses in a packet of ARP.
_ETHERNET = (nft.payload(nft.NETWORK_HEADER, 4, 2), nft.equals(bytes((6, 4))))

_FOUR, _SIX, _LINK = "4", "6", "_link"
_PLACES = {_FOUR: (INET, ARP), _SIX: (INET,), _LINK: (INET,)}
_TYPES = {
    _FOUR: (nft.KeyType.IPV4_ADDRESS,),
    _SIX: (nft.KeyType.IPV6_ADDRESS,),
    _LINK: (nft.KeyType.IPV6_ADDRESS, nft.KeyType.INTERFACE_NAME),
}


class Key(NamedTuple):
    """An address as the sets have it: which of them, and the bytes."""

    sort: str
    packed: bytes


def key_of(address: VirtualAddress) -> Key:
    """The key of a virtual address."""
    packed = address.address.packed
    if address.address.version == 4:
        return Key(_FOUR, packed)
    if address.address.is_link_local:
        return Key(_LINK, packed + nft.name(address.interface))
    return Key(_SIX, packed)


def address_in(key: Key) -> bytes:
    """The address of a key, as bytes."""
    return key.packed[:16]


class Changes(NamedTuple):
    """What is to be different: keys that are guarded from now on, or no longer; until when others pass."""

    guarded: Sequence[Key]
    freed: Sequence[Key]
    passing: Sequence[tuple[Micros, tuple[Key, ...]]]


# -- messages ----------------------------------------------------------------------


def new_tables(table: str, flags: int) -> Iterator[Message]:
    """Both tables with everything but elements."""
    for family in FAMILIES:
        yield nft.new_table(family, table, flags)
    number = 0
    for sort, families in _PLACES.items():
        for family in families:
            for name in ("guarded", "held"):
                number += 1
                type_ = SetType(_TYPES[sort], expires=name == "held")
                yield nft.new_set(family, table, name + sort, type_, number)
    yield nft.new_set(INET, table, _TICKET, SetType((nft.KeyType.MARK,), expires=True), number + 1)
    yield nft.new_base_chain(INET, table, "in", nft.Hook.BEFORE_ROUTING, _FIRST_OF_ALL)
    yield nft.new_base_chain(INET, table, "out", nft.Hook.AFTER_ROUTING, _LAST_OF_ALL)
    yield nft.new_base_chain(ARP, table, "in", nft.ArpHook.INPUT, _FIRST_OF_ALL)
    yield nft.new_base_chain(ARP, table, "out", nft.ArpHook.OUTPUT, _LAST_OF_ALL)
    yield from _rules(table)


def _rules(table: str) -> Iterator[Message]:
    for chain, address_at in (("in", 16), ("out", 12)):
        load = nft.payload(nft.NETWORK_HEADER, address_at, 4)
        yield nft.new_rule(INET, table, chain, *_family(IPV4), *_dropped(_FOUR, load))
    for chain, address_at in (("in", 24), ("out", 8)):
        load = nft.payload(nft.NETWORK_HEADER, address_at, 16)
        for sort in (_SIX, _LINK):
            yield nft.new_rule(INET, table, chain, *_family(IPV6), *_dropped(sort, load, chain))
    for chain, address_at in (("in", 24), ("out", 14)):
        load = nft.payload(nft.NETWORK_HEADER, address_at, 4)
        yield nft.new_rule(ARP, table, chain, *_ETHERNET, *_dropped(_FOUR, load))


def _family(family: int) -> list[bytes]:
    return [nft.meta(Meta.FAMILY, nft.FIRST), nft.equals(bytes((family,)))]


def _dropped(sort: str, load: bytes, chain: str = "") -> list[bytes]:
    """Drop what is guarded and not held; `load` puts the address into the first register."""
    loads = [load]
    if sort == _LINK:
        loads.append(nft.meta(Meta.INPUT_NAME if chain == "in" else Meta.OUTPUT_NAME, nft.SECOND))
    guarded, held = nft.member(f"guarded{sort}"), nft.not_member(f"held{sort}")
    return [*loads, guarded, *loads, held, nft.verdict(Verdict.DROP)]


def guarded(table: str, keys: Iterable[Key]) -> Iterator[Message]:
    """From now on `keys` are guarded; nothing happens to those that are."""
    for family, sort, packed in _by_set(keys):
        yield _elements(Kind.NEW_ELEMENTS, family, table, f"guarded{sort}", packed)


def freed(table: str, keys: Sequence[Key]) -> Iterator[Message]:
    """`keys` are not guarded any more, if they were; what is left of their time says nothing then."""
    for family, sort, packed in _by_set(keys):
        yield _elements(Kind.NEW_ELEMENTS, family, table, f"guarded{sort}", packed)
        yield _elements(Kind.DELETE_ELEMENTS, family, table, f"guarded{sort}", packed)


def closed(table: str, keys: Iterable[Key]) -> Iterator[Message]:
    """`keys` do not pass, whether they did or not."""
    for family, sort, packed in _by_set(keys):
        # Only what is there can be deleted, so it is added first; older kernels have nothing else.
        yield nft.passing(family, table, f"held{sort}", packed).lasting(_LONG_MS)
        yield _elements(Kind.DELETE_ELEMENTS, family, table, f"held{sort}", packed)


_LONG_MS = 60_000


def opened(table: str, keys: tuple[Key, ...], time_ms: int) -> Iterator[Message]:
    """`keys` pass for `time_ms` from the moment on when the kernel reads this."""
    for passing, deletion in _openings(table, keys):
        new = passing.lasting(time_ms)
        yield new
        yield deletion
        yield new


@lru_cache(maxsize=1024)
def _openings(table: str, keys: tuple[Key, ...]) -> tuple[tuple[nft.Passing, Message], ...]:
    return tuple(
        (
            nft.passing(family, table, f"held{sort}", packed),
            _elements(Kind.DELETE_ELEMENTS, family, table, f"held{sort}", packed),
        )
        for family, sort, packed in _by_set(keys)
    )


@lru_cache(maxsize=16)
def ticket(table: str, time_ms: int) -> Message:
    """Draw a ticket that is valid for `time_ms`, or for the rest of one that was not used."""
    return nft.passing(INET, table, _TICKET, (_TICKET_KEY,)).lasting(time_ms)


@lru_cache(maxsize=16)
def use_ticket(table: str) -> Message:
    """Hand the ticket in; ENOENT, for the whole batch, if it is not valid any more."""
    return _elements(Kind.DELETE_ELEMENTS, INET, table, _TICKET, (_TICKET_KEY,))


def guarded_in(channel: nft.Channel, table: str) -> set[Key]:
    """What an existing table guards; what is not there as we make it counts as nothing."""
    found: set[Key] = set()
    for sort, (family, *_) in _PLACES.items():
        try:
            found |= {Key(sort, packed) for packed in channel.keys(family, table, f"guarded{sort}")}
        except OSError:
            continue
    return found


def _elements(kind: Kind, family: int, table: str, name: str, keys: Sequence[bytes]) -> Message:
    return nft.elements(kind, family, table, name, [(key, None) for key in keys])


def _by_set(keys: Iterable[Key]) -> Iterator[tuple[int, str, tuple[bytes, ...]]]:
    sorts: dict[str, list[bytes]] = {}
    for key in keys:
        sorts.setdefault(key.sort, []).append(key.packed)
    for sort, packed in sorts.items():
        for family in _PLACES[sort]:
            yield family, sort, tuple(packed)


# -- who guards what ------------------------------------------------------------------


# The part of a time after which the kernel hears that it has grown.
_PART = 3


class _Claim:
    """What an owner guards, and until when it passes; `shut` once and for all, until it is guarded anew.

    `due`: when the kernel is to hear of a new time.
    """

    __slots__ = ("due", "keys", "shut", "until")

    def __init__(self, keys: tuple[Key, ...], until: Micros, shut: bool) -> None:
        self.keys = keys
        self.until = until
        self.shut = shut
        self.due = Micros(0)


class Book:
    """Owners, their addresses and their times; what the kernel has of it, and what it has not heard yet.

    An address with several owners passes as long as one of them lets it.
    """

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}
        self._owners: dict[Key, dict[str, None]] = {}
        self._there: set[Key] = set()
        self._touched: dict[Key, None] = {}
        self._waiting: dict[str, None] = {}

    def keys_of(self, owner: str) -> tuple[Key, ...]:
        """What `owner` guards."""
        claim = self._claims.get(owner)
        return () if claim is None else claim.keys

    @property
    def keys(self) -> tuple[Key, ...]:
        """All that is guarded."""
        return tuple(self._owners)

    def guard(self, owner: str, keys: Iterable[Key], until: Micros | None) -> None:
        """`owner` guards exactly `keys`; they pass until `until`, None: not at all."""
        self.release(owner)
        claim = _Claim(tuple(dict.fromkeys(keys)), until or Micros(0), until is None)
        self._claims[owner] = claim
        for key in claim.keys:
            self._owners.setdefault(key, {})[owner] = None
            self._touched[key] = None

    def extend(self, owner: str, until: Micros) -> None:
        """What `owner` guards passes until `until`, unless it was shut.

        The kernel hears of it with the next change, or when a third of the time that it knows of is
        over: each transaction makes whoever lists the whole rule set just then begin anew.
        """
        claim = self._claims.get(owner)
        if claim is None or claim.shut:
            return
        if until < claim.until:
            claim.due = Micros(0)
        claim.until = until
        self._waiting[owner] = None

    @property
    def due(self) -> Micros | None:
        """When the kernel is to hear of what it has not heard; None: there is nothing."""
        if self._touched:
            return Micros(0)
        return min((self._claims[owner].due for owner in self._waiting), default=None)

    def shut(self, owner: str) -> None:
        """What `owner` guards does not pass because of it."""
        claim = self._claims.get(owner)
        if claim is not None:
            claim.shut = True
            self._touched.update(dict.fromkeys(claim.keys))

    def release(self, owner: str) -> None:
        """`owner` guards nothing."""
        claim = self._claims.pop(owner, None)
        self._waiting.pop(owner, None)
        for key in () if claim is None else claim.keys:
            del self._owners[key][owner]
            if not self._owners[key]:
                del self._owners[key]
            self._touched[key] = None

    def forsake(self, owner: str, keys: Iterable[Key]) -> None:
        """`owner` leaves `keys` to others."""
        claim, leaving = self._claims.get(owner), set(keys)
        if claim is not None and not leaving.isdisjoint(claim.keys):
            kept = [key for key in claim.keys if key not in leaving]
            self.guard(owner, kept, None if claim.shut else claim.until)

    def changes(self) -> Changes:
        """What the kernel has not heard of."""
        for owner in self._waiting:
            self._touched.update(dict.fromkeys(self._claims[owner].keys))
        times: dict[Micros, list[Key]] = {}
        for key in self._touched:
            if key in self._owners:
                times.setdefault(self._until(key), []).append(key)
        return Changes(
            [key for key in self._touched if key in self._owners and key not in self._there],
            [key for key in self._touched if key in self._there and key not in self._owners],
            [(until, tuple(keys)) for until, keys in times.items()],
        )

    def _until(self, key: Key) -> Micros:
        claims = (self._claims[owner] for owner in self._owners[key])
        return max(Micros(0) if claim.shut else claim.until for claim in claims)

    def heard(self, changes: Changes, now: Micros) -> None:
        """The kernel has carried them out."""
        self._there.update(changes.guarded)
        self._there.difference_update(changes.freed)
        for key in self._touched:
            for owner in self._owners.get(key, ()):
                claim = self._claims[owner]
                claim.due = Micros(now + (claim.until - now) // _PART)
        self._touched.clear()
        self._waiting.clear()

    def made_anew(self) -> None:
        """The kernel's tables were made anew, with all that is guarded and nothing that passes."""
        self._there = set(self._owners)
        self._touched = dict.fromkeys(self._owners)
