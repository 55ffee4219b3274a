"""Lints on virtual servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from keepalived_py.base.names import Address
from keepalived_py.config.blocks.values import address as read_address
from keepalived_py.config.document import Directive
from keepalived_py.config.lint.addresses import local_addresses
from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.virtual_server import VirtualServer

MOST = 10
Header = tuple[object, object]


class Headers:
    """The blocks of virtual servers by what they serve; looked up when first asked for."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._blocks: dict[Header, Directive] = {}

    def find(self, one: VirtualServer) -> Directive | None:
        """The block of a virtual server, if it can be told from its header."""
        if not self._blocks:
            for block in self._subject.places.everything():
                if block.keyword == "virtual_server":
                    self._blocks.setdefault(_header(block.words[1:]), block)
        if one.address is not None:
            return self._blocks.get((one.address, one.port))
        return self._blocks.get(("fwmark", one.mark) if one.mark is not None else ("group", one.group))


def _header(words: Sequence[str]) -> Header:
    first, second = (*words, "", "")[:2]
    number = int(second) if second.isdecimal() else 0
    if first == "group":
        return first, second
    return ("fwmark", number) if first == "fwmark" else (read_address(first), number)


def _limited(found: Iterator[Advice]) -> Iterator[Advice]:
    """The first few; thousands of services that are alike are one remark."""
    yield from islice(found, MOST)
    rest = sum(1 for _ in found)
    if rest:
        yield Advice(f"the same holds for {rest} more virtual servers", None)


def _unchecked(subject: Subject) -> Iterator[Advice]:
    yield from _limited(_without_check(subject))


def _nowhere(subject: Subject) -> Iterator[Advice]:
    yield from _limited(_without_address(subject))


def _without_check(subject: Subject) -> Iterator[Advice]:
    headers = Headers(subject)
    for one in subject.configuration.virtual_servers:
        if len(one.real_servers) < 2 or any(server.checks for server in one.real_servers):
            continue
        block = headers.find(one)
        yield Advice(
            "none of the real servers has a health check: a dead one keeps its share of the connections",
            block.line_origin if block is not None else None,
        )


def _without_address(subject: Subject) -> Iterator[Advice]:
    """An address that neither an instance nor the machine has; only if instances hold addresses at all."""
    held = _held(subject)
    if not held:
        return
    headers = Headers(subject)
    for one in subject.configuration.virtual_servers:
        if one.address is None or one.address in held:
            continue
        block = headers.find(one)
        yield Advice(
            f"virtual server {one.address} port {one.port}: no instance of this file holds that address",
            block.word_origin(1) if block is not None else None,
        )


def _held(subject: Subject) -> set[Address]:
    instances = subject.configuration.instances
    held = {each.address for one in instances for each in (*one.addresses, *one.excluded_addresses)}
    if held:
        for interface in {str(one.interface) for one in instances}:
            held |= {local.address for local in local_addresses(subject, interface) or ()}
    return held


LINTS = (
    Lint("server-unchecked", Severity.HINT, "a virtual server without any health check", _unchecked),
    Lint("service-without-address", Severity.HINT, "a virtual server on an address nobody holds", _nowhere),
)
