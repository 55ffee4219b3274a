"""One virtual server and the checks of its real servers: what results mean for the kernel's table.

`schedule` knows one check and `pool` knows the servers; neither knows the other.
What a check concludes comes here as consequences in keepalived's order, and each is
turned into effects where it stands: a line of the log before the table is changed,
the mail about a server after the mail about its virtual server.
"""

from collections.abc import Iterable
from typing import assert_never

from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.names import server_name
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence, MailAbout, WeightBy
from keepalived_py.model.check_events import CheckEffect, SendAlert, StartCheck
from keepalived_py.model.effects import WriteLog


def resolve(
    pool: Pool,
    index: int,
    consequences: Iterable[Consequence],
    weight: int,
    out: list[CheckEffect],
    *,
    no_checker_emails: bool = False,
) -> Pool:
    """What a check of the server at `index` has concluded.

    `weight` is the one that the server is to have afterwards, with what all its checks add to it now.
    """
    before = pool.servers[index].alive
    for consequence in consequences:
        match consequence:
            case WriteLog() | StartCheck():
                out.append(consequence)
            case CheckerVerdict():
                before = pool.servers[index].alive
                pool = pools.verdict(pool, index, consequence, out)
            case WeightBy(quiet=True):
                pool = _quietly_weighed(pool, index, weight)
            case WeightBy():
                pool = pools.weight_changed(pool, index, weight, out)
            case MailAbout():
                server = pool.servers[index]
                if server.settings.smtp_alert and (server.alive != before or not no_checker_emails):
                    out.append(_alert(pool, index, consequence.body))
            case _:
                assert_never(consequence)
    return pool


def _quietly_weighed(pool: Pool, index: int, weight: int) -> Pool:
    servers = list(pool.servers)
    before = servers[index]
    servers[index] = before._replace(weight=weight)
    live = pool.live + servers[index].live_weight - before.live_weight
    return pool._replace(servers=tuple(servers), live=live)


def _alert(pool: Pool, index: int, body: str) -> SendAlert:
    server = pool.servers[index]
    name = server_name(pool.settings, server.settings)
    state = "UP" if server.alive else "DOWN"
    return SendAlert(f"Realserver {name} of virtual server {pool.name} - {state}", body)
