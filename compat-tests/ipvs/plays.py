"""Every play, by its name.

USUAL ones are compared in each run of the tests; the others look at neighbours of what
these look at, and are compared when KEEPALIVED_IPVS_PLAYS is `all`.
"""

import plays_checks
import plays_life
import plays_reload
import plays_table
import plays_traffic
from play import Play

_COMPARED = (
    *plays_table.PLAYS, *plays_life.PLAYS, *plays_checks.PLAYS, *plays_reload.PLAYS, *plays_traffic.PLAYS
)  # fmt: skip
_SELDOM = frozenset(
    (
        "omega and flush", "omega and flush of services", "sorry server inhibited", "inhibited on failure",
        "direct routing, least connections", "tunnels", "persistent", "quorum and hysteresis, inhibited", "alpha",
        "omega with a dead server", "omega with the sorry server", "dead from the beginning",
        "two services of one server", "pages of one server", "sync daemon of its own", "one of two inhibited",
        "page and expression", "page and status", "another address and port", "a script", "weights by two scripts",
        "reload with a quorum", "reload with weights while one is dead", "reload with one more server while one is dead",
        "reload with another check while one is dead", "reload with another sorry server in use",
        "a broken file is refused or survived alike", "time limits and flush on reload", "flush at the end", "plain",
        "alpha of one server", "by a mark",
    )
)  # fmt: skip
PLAYS: dict[str, Play] = {play.name: play for play in _COMPARED}
ALL = tuple(PLAYS)
USUAL = tuple(name for name in ALL if name not in _SELDOM)
