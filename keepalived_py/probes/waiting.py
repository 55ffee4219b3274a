"""Waiting for a socket until an instant: one future and one timer for each wait.

Probes that send one datagram, or talk in turns, read or write first and wait only
if they would have to.  Whoever waits goes through the loop, so a peer that sends without
end takes its turn like everybody else.
"""

import asyncio
import os
import socket

from keepalived_py.base.clock import as_seconds
from keepalived_py.model.checks import ConnectedCheck
from keepalived_py.probes.sockets import NotBound


async def readable(opened: socket.socket, until: float) -> bool:
    """Wait until there is something to read, or an error; False if there is nothing at `until`.

    `until` is an instant of the running loop, in seconds.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()
    descriptor = opened.fileno()
    loop.add_reader(descriptor, _settle, done, True)
    alarm = loop.call_at(until, _settle, done, False)
    try:
        return await done
    finally:
        alarm.cancel()
        loop.remove_reader(descriptor)


async def writable(opened: socket.socket, until: float) -> bool:
    """Wait until something can be written (or a connection stands), or an error; False at `until`."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()
    descriptor = opened.fileno()
    loop.add_writer(descriptor, _settle, done, True)
    alarm = loop.call_at(until, _settle, done, False)
    try:
        return await done
    finally:
        alarm.cancel()
        loop.remove_writer(descriptor)


def _settle(done: asyncio.Future[bool], ready: bool) -> None:
    if not done.done():
        done.set_result(ready)


def end_of(check: ConnectedCheck) -> float:
    """When a step of this check that begins now is too late: an instant of the running loop."""
    return asyncio.get_running_loop().time() + as_seconds(check.connect_timeout_us)


def complaint(error: NotBound) -> str:
    """keepalived's complaint about a datagram socket; for an address it has other words than for TCP."""
    if not error.line.startswith("Checker bind failed"):
        return error.line
    number = error.errno or 0
    return f"bind failed. errno: {number}, error: {os.strerror(number)}"
