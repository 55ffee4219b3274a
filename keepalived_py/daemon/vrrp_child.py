"""The vrrp process: wires the shell of the VRRP back-end to this machine.

It lives from the fork until SIGTERM (or until the parent is gone).  Nothing
here decides anything: it opens what `election.vrrp` needs, forwards netlink
events, reloads from the parent and signals, and lets the shell stop in order.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys

from keepalived_py.base.logs import Log
from keepalived_py.daemon import channel as messages
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.election.vrrp import Machine, VrrpShell
from keepalived_py.model.config import Configuration
from keepalived_py.model.events import AddressAdded, LinkChanged
from keepalived_py.status import dump
from keepalived_py.system import scheduling
from keepalived_py.system.loop import now, run
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.system.netlink import Kernel
from keepalived_py.system.processes import Runner


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    scheduling.apply(configuration.globals)
    return run(_Child(configuration, settings, channel).main())
