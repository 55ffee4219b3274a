"""`global_defs`: settings of the whole program, put together.

Source: keepalived.conf(5) GLOBAL CONFIGURATION; texts and ranges of 2.2.7.
Users come before scripts, so that a configuration that is written back names
the default user before it is needed.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import (
    global_lvs,
    global_mail,
    global_network,
    global_processes,
    global_status,
    global_vrrp,
    values,
)
from keepalived_py.config.schema import Block, Keyword, block
from keepalived_py.model.globals import Globals

ROUTER_ID: Keyword[Any] = values.text(
    "router_id",
    "router_id",
    missing="routerid name missing - ignoring",
    default="our host name",
    help="name of this machine in mails and over SNMP",
)

_REMOVED: list[Keyword[Any]] = [
    Keyword("lvs_id", arguments="<NAME>", removed="1.1.8", help="write router_id"),
    Keyword("plugin_dir", arguments="<DIR>", removed="1.2.20", help="there are no plug-ins any more"),
]

GLOBAL_DEFS: Block[Any] = block(
    "global_defs",
    [
        ROUTER_ID,
        *global_processes.USERS,
        *global_processes.NAMES,
        *global_mail.MAIL,
        *global_network.INTERFACES,
        *global_vrrp.PROTOCOL,
        *global_vrrp.ANNOUNCEMENTS,
        *global_network.FIREWALL,
        *global_lvs.IPVS_FIREWALL,
        *global_lvs.LVS,
        *global_processes.AUTO_PRIORITY,
        *global_processes.scheduling("vrrp"),
        *global_processes.scheduling("checker"),
        *global_processes.scheduling("bfd"),
        *global_status.NOTIFY,
        *global_status.SNMP,
        *global_status.DBUS,
        *global_network.RECEIVE_BUFFERS,
        *global_network.ADVERT_BUFFERS,
        global_processes.UMASK,
        *global_status.INPUT,
        *global_status.RELOAD,
        *global_status.FILES,
        *_REMOVED,
    ],
    record=Globals,
)
