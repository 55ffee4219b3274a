"""What one instance knows: its role, its deadlines, and what it concluded them from.

These are tuples and not frozen dataclasses for one reason: every heard advert
makes a new one, and `_replace` on a tuple costs a tenth of
`dataclasses.replace` on as many fields.  They are just as immutable.

Deadlines are part of the state.  `deadline` is the role's own timer: the next
advert of a MASTER, the end of `master_down_interval` of a BACKUP; a FAULT has
none.  An INIT instance has one only if it is about to become MASTER at once
(address owner).
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.core.holder.holding import SILENT, Announcements
from keepalived_py.model.config import Instance
from keepalived_py.model.effects import Role
from keepalived_py.model.packet import Advert, AdvertToSend


class Counters(NamedTuple):
    """keepalived's statistics of one instance, by their names in its JSON output.

    `advert_interval_err` stays 0 for ever: keepalived never increments it.
    `chk_err` and `vers_err` are known from its SNMP table only.  Those of
    `auth_hmac` came with keepalived 2.4.
    """

    advert_rcvd: int = 0
    advert_sent: int = 0
    become_master: int = 0
    release_master: int = 0
    packet_len_err: int = 0
    advert_interval_err: int = 0
    ip_ttl_err: int = 0
    invalid_type_rcvd: int = 0
    addr_list_err: int = 0
    invalid_authtype: int = 0
    authtype_mismatch: int = 0
    auth_failure: int = 0
    pri_zero_rcvd: int = 0
    pri_zero_sent: int = 0
    chk_err: int = 0
    vers_err: int = 0
    auth_ext_missing: int = 0
    auth_ext_malformed: int = 0
    auth_ext_unknown_key: int = 0
    auth_ext_invalid_hmac: int = 0
    auth_ext_stale: int = 0
    auth_ext_replay: int = 0


NO_COUNTS = Counters()


class Why(NamedTuple):
    """The reason of a role change, and what it was concluded from."""

    reason: str
    evidence: str


class Conflict(NamedTuple):
    """Another router claims to be the address owner too (`core.vrrp.owner`).

    `adverts_left`: so many of ours go out before the other one must be silent, from then on
    `until`.  `interval` is the longer advert interval of both.  `reduced`: we yielded, and run
    with one less than an owner's priority.
    """

    adverts_left: int = 0
    interval: Micros = Micros(0)
    until: Micros | None = None
    reduced: bool = False


class Mark(NamedTuple):
    """The newest `auth_hmac` sequence (64 bits) that a sender has shown."""

    sender: Address
    sequence: int


class Memory(NamedTuple):
    """What adverts taught an instance, beside who is master.

    `old_checksum`: a unicast peer uses the checksum of keepalived before 1.3.7, so we do.
    `sequence` is the greatest AH sequence number heard.  `marks` are in order
    of use, the latest last.  `checked` is an advert that passed every check
    under these settings: while a master lives, the very same value comes
    again and again, and is not checked again.
    """

    old_checksum: bool = False
    sequence: int = 0
    marks: tuple[Mark, ...] = ()
    conflict: Conflict | None = None
    checked: tuple[Advert, Instance] | None = None


BLANK = Memory()


class InstanceState(NamedTuple):
    """One instance.  `source` None: its interface has no address to send from; `last_source` is the one
    before.

    `faults` are the instance's own reasons to be in FAULT, `group_fault` says
    that another member of its sync group has one.  `waiting` are the checks
    without a first result.  `said` are the kinds of complaints already logged
    about the present master.  `wants_master`: its timer ran out, the rest of
    its sync group is not ready.  `learned_interval` is the master's advert
    interval (version 3) where it is not our own.  `worse_heard` counts the
    adverts of worse masters that a MASTER answered by announcing its addresses:
    the other members of its sync group do so too.
    """

    settings: Instance
    role: Role
    effective_priority: int
    source: Address | None
    advert: AdvertToSend | None
    deadline: Micros | None = None
    preempt_at: Micros | None = None
    master: Address | None = None
    master_priority: int = 0
    wants_master: bool = False
    faults: frozenset[str] = frozenset()
    group_fault: bool = False
    waiting: frozenset[str] = frozenset()
    said: frozenset[str] = frozenset()
    announcements: Announcements = SILENT
    counters: Counters = NO_COUNTS
    learned_interval: Micros | None = None
    memory: Memory = BLANK
    worse_heard: int = 0
    last_source: Address | None = None

    @property
    def interval(self) -> Micros:
        """Master_Adver_Interval (RFC 9568 section 6.1): what the timers of a BACKUP reckon with."""
        return self.settings.advert_interval_us if self.learned_interval is None else self.learned_interval

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.settings.name

    @property
    def healthy(self) -> bool:
        """Nothing keeps the instance from taking part."""
        return not (self.faults or self.group_fault or self.waiting)


def earliest(state: InstanceState) -> Micros | None:
    """The instance's next deadline of any kind."""
    due = state.deadline
    if state.announcements is not SILENT:
        for at in state.announcements:
            if at is not None and (due is None or at < due):
                due = at
    return due
