"""`real_server`: one server behind a virtual server, with what it does differently and its checks."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import checkers, server_values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.lvs_method import method
from keepalived_py.config.blocks.server_address import server_address, shown
from keepalived_py.config.blocks.values import number, switch
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.server_drafts import RealServerDraft, VirtualServerDraft
from keepalived_py.model.virtual_server import Forwarding, RealServer

MAX_WEIGHT = 2147483647
FROM_VIRTUAL_SERVER = "of the virtual_server"


def opened(run: Run, target: VirtualServerDraft, at: Directive) -> RealServerDraft | None:
    """A new real server; it starts with the forwarding method that its virtual server has so far."""
    found = server_address(run, at)
    if found is None:
        port = at.words[2] if len(at.words) > 2 else "(null)"
        run.error(
            f"Invalid real server ip address/port {at.words[1]}/{port} - skipping",
            at,
            word=1,
            code="invalid-address",
            expected="ADDRESS [PORT]",
        )
        return None
    if target.written("method"):
        made = RealServerDraft(at, target, address=found[0], port=found[1], method=target.method)
    else:
        made = RealServerDraft(at, target, address=found[0], port=found[1])
    target.real_servers.append(made)
    return made


def closed(run: Run, target: RealServerDraft, at: Directive) -> None:
    """The family of a virtual server is that of its servers, except for those behind a tunnel."""
    server = target.virtual_server
    if target.written("method") and target.method.forwarding is Forwarding.TUNNEL:
        return
    family = target.address.version
    if server.family is None:
        server.family = family
    elif server.family != family:
        run.error(
            f"Address family of virtual server and real server {shown(target.address)} don't match"
            " - skipping real server.",
            closing(at),
            code="family-mismatch",
            notes=("only a real server behind a tunnel (lvs_method TUN) may have the other family",),
        )
        server.real_servers.remove(target)
        server.skipped.append(target)


def _show_header(found: RealServer) -> str:
    return f"{found.address} {found.port}" if found.port else str(found.address)


BLOCK: Block[RealServerDraft] = block(
    "real_server",
    [
        number(
            "weight",
            "weight",
            0,
            MAX_WEIGHT,
            f"Real server weight {{word}} is outside range 0-{MAX_WEIGHT}",
            default=FROM_VIRTUAL_SERVER,
            inherited=True,
            help="share of the connections; 0 takes no new ones",
        ),
        method("lvs_method", "real", "how packets get to this server", default=FROM_VIRTUAL_SERVER),
        number(
            "uthreshold",
            "upper_threshold",
            0,
            server_values.LIMIT,
            "Invalid real_server uthreshold '{word}' - ignoring",
            default="0",
            unit="connections",
            help="no new connections from this many on; 0 is no limit",
        ),
        number(
            "lthreshold",
            "lower_threshold",
            0,
            server_values.LIMIT,
            "Invalid real_server lthreshold '{word}' - ignoring",
            default="0",
            unit="connections",
            help="connections must fall below this before new ones are taken again",
        ),
        switch(
            "inhibit_on_failure",
            "inhibit_on_failure",
            "Invalid inhibit_on_failure parameter {word}",
            default=FROM_VIRTUAL_SERVER,
            inherited=True,
            help="a failed server stays with weight 0 instead of being removed",
        ),
        server_values.script("notify_up", "script run when the server comes up"),
        server_values.script("notify_down", "script run when the server goes down"),
        switch(
            "alpha",
            "alpha",
            "Invalid alpha parameter {word}",
            default=FROM_VIRTUAL_SERVER,
            inherited=True,
            help="the server counts as failed until its checks have succeeded once",
        ),
        *server_values.check_defaults("real server", loop="delay_loop", retry_delay="delay_before_retry"),
        switch(
            "smtp_alert",
            "smtp_alert",
            "Invalid real_server smtp_alert parameter {word}",
            default="smtp_alert_checker, smtp_alert, else on",
            inherited=True,
            help="send mail when the server comes up or goes down",
        ),
        server_values.virtualhost("real server"),
        server_values.snmp_name("real server"),
        *checkers.KEYWORDS,
        Keyword(
            "CI-LINUX",
            removed="1.1.5",
            arguments="{ ... }",
            help="it is gone without a successor; MISC_CHECK runs a program of your own",
        ),
    ],
    record=RealServer,
    show_header=_show_header,
)

KEYWORD: Keyword[Any] = Keyword(
    "real_server",
    None,
    "<ADDR> [<PORT>]",
    required=True,
    block=BLOCK,
    open=opened,
    close=closed,
    attribute="real_servers",
    help="one server that connections are sent to",
)
