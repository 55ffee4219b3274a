"""What the electing process and the keeper of the log tell each other."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from keepalived_py.base.names import LeaseName, MemberId


class View(NamedTuple):
    """What the electing process knows.

    `leads`: this member has the log's lease.  `promised_to`: who has this member's promise for it.
    `live`: the other members that were heard lately.  `snapshot`: for readers.
    """

    leads: bool
    promised_to: MemberId | None
    live: frozenset[MemberId]
    snapshot: Mapping[str, Any]


class Holding(NamedTuple):
    """A lease was granted to a member."""

    lease: LeaseName
    member: MemberId
    token: int
    reason: str
