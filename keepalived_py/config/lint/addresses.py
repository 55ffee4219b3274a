"""Lints on the addresses of virtual routers; some need to know those of the machine."""

from __future__ import annotations

from collections.abc import Iterator

from keepalived_py.base.names import Address
from keepalived_py.config.blocks.values import address as read_address
from keepalived_py.config.facts import KnowsAddresses, LocalAddress
from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import entries, entry_place, nearest
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.config import Instance

FIRST_LIMIT = 20  # addresses that releases before 2.0 put into an advert


def is_local(subject: Subject, one: Instance, address: Address) -> bool | None:
    """Whether the interface has the address without keepalived; None if nobody knows."""
    known = local_addresses(subject, one.interface)
    return None if known is None else any(each.address == address for each in known)


def local_addresses(subject: Subject, interface: str) -> tuple[LocalAddress, ...] | None:
    """The addresses that the interface has; None if they are not known."""
    host = subject.host
    return host.local_addresses(interface) if isinstance(host, KnowsAddresses) else None


def _many_addresses(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if len(one.addresses) > FIRST_LIMIT:
            yield Advice(
                f"({one.name}) {len(one.addresses)} addresses in virtual_ipaddress: every advert carries all "
                f"of them, and older releases take {FIRST_LIMIT}",
                nearest(subject.places.instance(one.name), "virtual_ipaddress"),
                expected="one address here, the others in virtual_ipaddress_excluded",
            )


def _outside(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        for each in (*one.addresses, *one.excluded_addresses):
            known = local_addresses(subject, each.interface)
            if (
                known is None
                or each.address.is_link_local
                or any(local.covers(each.address) for local in known)
            ):
                continue
            nets = ", ".join(
                _network(local) for local in known if local.address.version == each.address.version
            )
            has = f"its networks are {nets}" if nets else f"it has no IPv{each.address.version} address"
            yield Advice(
                f"({one.name}) {each.address} is in no network of {each.interface} ({has}): "
                "the others there will not ask for it",
                address_place(subject, one, each.address),
            )


def _network(local: LocalAddress) -> str:
    bits = local.address.max_prefixlen - local.prefix_length
    network = type(local.address)(int(local.address) >> bits << bits)
    return f"{network}/{local.prefix_length}"


def address_place(subject: Subject, one: Instance, address: Address) -> Origin | None:
    """Where an address of the instance is written."""
    block = subject.places.instance(one.name)
    for entry in entries(block, "virtual_ipaddress", "virtual_ipaddress_excluded"):
        if read_address(entry.keyword.partition("/")[0]) == address:
            return entry.line_origin
    return nearest(block, "virtual_ipaddress", "virtual_ipaddress_excluded")


def _twice(subject: Subject) -> Iterator[Advice]:
    users: dict[tuple[Address, str], str] = {}
    for one in subject.configuration.instances:
        for each in (*one.addresses, *one.excluded_addresses):
            other = users.setdefault((each.address, each.interface), one.name)
            if other != one.name:
                yield Advice(
                    f"({one.name}) {each.address} also belongs to {other}: whichever of the two leaves "
                    "the state MASTER takes it away from the other",
                    address_place(subject, one, each.address),
                )


def _own_peer(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        for peer in one.unicast_peers:
            if peer.address == one.source or is_local(subject, one, peer.address):
                yield Advice(
                    f"({one.name}) {peer.address} is this router's own address: "
                    "as a unicast_peer it would send its adverts to itself",
                    entry_place(subject.places.instance(one.name), str(peer.address), "unicast_peer"),
                    expected="the addresses of the other routers only",
                )


def _source(subject: Subject) -> Iterator[Advice]:
    for one in subject.configuration.instances:
        if one.source is not None and is_local(subject, one, one.source) is False:
            yield Advice(
                f"({one.name}) the source address {one.source} is not on {one.interface}",
                nearest(subject.places.instance(one.name), "unicast_src_ip", "mcast_src_ip"),
            )


LINTS = (
    Lint("many-addresses", Severity.HINT, "more than 20 addresses in adverts", _many_addresses),
    Lint("address-outside", Severity.WARNING, "an address in no network of its interface", _outside),
    Lint("address-twice", Severity.WARNING, "one address in two instances", _twice),
    Lint("unicast-self", Severity.WARNING, "a router that is its own peer", _own_peer),
    Lint("source-not-local", Severity.WARNING, "a source address the interface does not have", _source),
)
