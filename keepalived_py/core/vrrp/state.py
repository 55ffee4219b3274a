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
from keepalived_py.model.packet import AdvertToSend


class Counters(NamedTuple):
    """keepalived's statistics of one instance, by their names in its JSON output.

    `advert_interval_err` stays 0 for ever: keepalived never increments it.
    `chk_err` and `vers_err` are known from its SNMP table only.
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


NO_COUNTS = Counters()


class Why(NamedTuple):
    """The reason of a role change, and what it was concluded from."""

    reason: str
    evidence: str


class InstanceState(NamedTuple):
    """One instance.  `source` None: its interface has no address to send from.

    `faults` are the instance's own reasons to be in FAULT, `group_fault` says
    that another member of its sync group has one.  `waiting` are the checks
    without a first result.  `said` are the kinds of complaints already logged
    about the present master.  `wants_master`: its timer ran out, the rest of
    its sync group is not ready..
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
