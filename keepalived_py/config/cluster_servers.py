"""Virtual servers of several configurations: the same services with the same servers on every node."""

from __future__ import annotations

from collections.abc import Iterator

from keepalived_py.config.lint.advice import Subject
from keepalived_py.config.lint.servers import Headers
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.model.virtual_server import VirtualServer

CODE = "cluster-virtual-servers"
_MOST = 4

Service = tuple[object, ...]


def server_findings(first: Subject, second: Subject) -> Iterator[Diagnostic]:
    """Services that only one of the two has, or that have other servers in the other."""
    ours, theirs = _services(first), _services(second)
    if not ours or not theirs:
        return
    for here, there, mine, others in ((first, second, ours, theirs), (second, first, theirs, ours)):
        missing = [service for key, service in mine.items() if key not in others]
        if missing:
            yield _finding(
                Headers(here), missing[0], f"{_names(missing)} only in {here.file}, not in {there.file}"
            )
    headers = Headers(second)
    for key, service in theirs.items():
        before = ours.get(key)
        if before is not None and _servers(before) != _servers(service):
            extra = _cut(sorted(_servers(before) ^ _servers(service)))
            text = f"{_name(service)}: {first.file} and {second.file} have different real servers ({extra})"
            yield _finding(headers, service, text)


def _services(subject: Subject) -> dict[Service, VirtualServer]:
    return {
        (one.address, one.port, one.mark, one.group, one.protocol): one
        for one in subject.configuration.virtual_servers
    }


def _servers(one: VirtualServer) -> frozenset[str]:
    return frozenset(f"{server.address} {server.port}" for server in one.real_servers)


def _name(one: VirtualServer) -> str:
    if one.address is not None:
        return f"virtual server {one.address} {one.port}"
    return f"virtual server {f'fwmark {one.mark}' if one.mark is not None else f'group {one.group}'}"


def _names(services: list[VirtualServer]) -> str:
    return _cut([_name(one) for one in services])


def _cut(names: list[str]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _finding(headers: Headers, service: VirtualServer, message: str) -> Diagnostic:
    block = headers.find(service)
    origin = block.line_origin if block is not None else None
    return Diagnostic(CODE, message, Severity.WARNING, origin, None, own=True)
