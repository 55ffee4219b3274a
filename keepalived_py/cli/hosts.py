"""The machine a check is made for: this one, one described in a file, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepalived_py.config.host import Host


def host_for(facts: str | None = None, no_host: bool = False) -> Host:
    """The machine to ask; `facts` is a file that `keepalived-py facts` made.  Raises FactsError."""
    if facts is not None:
        from keepalived_py.config.facts import read_facts

        return read_facts(facts)
    if no_host:
        from keepalived_py.config.facts import NoHost

        return NoHost()
    from keepalived_py.config.host import RealHost

    return RealHost()


def with_addresses() -> Host:
    """This machine, which also tells the addresses of its interfaces; they are read when first asked for."""
    from keepalived_py.config.facts import LocalAddress, local_address
    from keepalived_py.config.host import RealHost

    class LocalHost(RealHost):
        _found: dict[str, Any] | None = None

        def local_addresses(self, interface: str) -> tuple[LocalAddress, ...] | None:
            if self._found is None:
                from keepalived_py.cli.facts_command import interfaces

                try:
                    self._found = interfaces()
                except OSError:  # no netlink here: then they are not known
                    self._found = {}
            facts = self._found.get(interface)
            return None if facts is None else tuple(map(local_address, facts["addresses"]))

    return LocalHost()
