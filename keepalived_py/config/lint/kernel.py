"""Lints on what the kernel must be able to do; only a description of the machine tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import nearest
from keepalived_py.diagnostics.report import Severity


def _features(subject: Subject) -> Iterator[Advice]:
    kernel: Mapping[str, object] = getattr(subject.host, "kernel", {})
    if kernel.get("ip_vs") is False and subject.configuration.virtual_servers:
        block = next((one for one in subject.places.everything() if one.keyword == "virtual_server"), None)
        yield Advice("virtual servers need IPVS, which this kernel does not have (ip_vs)", nearest(block))
    for one in subject.configuration.instances:
        block = subject.places.instance(one.name)
        if kernel.get("ipv6") is False and one.family == 6:
            yield Advice(f"({one.name}) IPv6 is switched off in this kernel", nearest(block))
        if kernel.get("macvlan") is False and one.vmac is not None:
            yield Advice(
                f"({one.name}) use_vmac needs macvlan, which this kernel lacks", nearest(block, "use_vmac")
            )


LINTS = (Lint("kernel-feature", Severity.WARNING, "something that the kernel cannot do", _features),)
