"""Readers of the keywords of a `vrrp_instance` that do more than keep a number."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_py.base.names import InterfaceName
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.line_options import known_interface
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Run
from keepalived_py.model.vrrp import InitialState, Instance

DEFAULT_PRIORITY = 100
OWNER_PRIORITY = 255


def state(run: Run, target: Draft[Instance], at: Directive) -> object:
    word = at.words[1]
    if word not in ("MASTER", "BACKUP"):
        run.error(
            f"({target.name}) unknown state '{word}', defaulting to BACKUP",
            at,
            word=1,
            expected="MASTER or BACKUP",
        )
        return InitialState.BACKUP
    if word == "BACKUP" and target.configured_state is InitialState.MASTER:
        run.error(
            f"({target.name}) state previously set as MASTER - ignoring BACKUP", at, word=1, code="duplicate"
        )
        return FAILED
    return InitialState(word)


def own_interface(run: Run, target: Draft[Instance], at: Directive) -> object:
    word = at.words[1]
    if values.size(word) > values.MAX_INTERFACE_NAME:
        run.error(
            f"Interface name '{word}' too long - ignoring", at, word=1, expected="at most 15 characters"
        )
        return FAILED
    return _usable_interface(
        run,
        at,
        f"WARNING - interface {word} for vrrp_instance {target.name} doesn't exist",
        f"({target.name}) cannot use a loopback interface ({word}) for vrrp - ignoring",
    )


def _usable_interface(run: Run, at: Directive, missing: str, loopback: str) -> InterfaceName | None:
    word = at.words[1]
    if not known_interface(run, at, word):
        expected = "an interface of this machine"
        run.error(missing, at, word=1, code="unknown-interface", expected=expected)
        return None
    if run.host.interface_is_loopback(word):
        run.error(
            loopback, at, word=1, code="loopback-interface", expected="an interface that reaches others"
        )
        return None
    return InterfaceName(word)


def vrf(run: Run, target: Draft[Instance], at: Directive) -> object:
    name, word = target.name, at.words[1]
    refused = ""
    if values.size(word) > values.MAX_INTERFACE_NAME:
        refused = f"VRF interface name '{word}' too long - ignoring"
    elif target.interface is not None:
        refused = "Cannot specify VRF interface and interface - ignoring"
    elif target.vrf is not None:
        refused = f"VRF interface already specified as '{target.vrf}' - ignoring"
    if refused:
        run.error(f"({name}) {refused}", at, word=1)
        return FAILED
    return _usable_interface(
        run,
        at,
        f"({name}) WARNING - VRF interface {word} doesn't exist",
        f"({name}) cannot use a loopback interface ({word}) for VRF - ignoring",
    )


def version(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 2, 3, signed=True)
    if value is None:
        run.error(f"({target.name}): Version must be either 2 or 3", at, word=1, expected="2 or 3")
        return FAILED
    if target.version not in (None, value) or (value == 2 and target.family == 6):
        run.error(
            f"({target.name}) vrrp_version {value} conflicts with configured or deduced version "
            f"{target.version or 0}; ignoring.",
            at,
            word=1,
            code="version-conflict",
        )
        return FAILED
    return value


def native_ipv6(run: Run, target: Draft[Instance], at: Directive) -> None:
    if target.family == 4:
        run.error(
            f"({target.name}) Cannot specify native_ipv6 with IPv4 addresses", at, code="mixed-families"
        )
        return
    target.family, target.version = 6, 3
    target.given["family"] = at


def priority(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 1, OWNER_PRIORITY)
    if value is None:
        run.error(
            f"({target.name}) Priority not valid! must be between 1 & {OWNER_PRIORITY}. "
            f"Using default {DEFAULT_PRIORITY}",
            at,
            word=1,
            expected="a whole number from 1 to 255",
        )
        return DEFAULT_PRIORITY
    return value


def preempt_delay(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = values.decimal(run, at, at.words[1], 0, 1_000_000_000)
    if value is None:
        run.error(
            f"({target.name}) Preempt_delay not valid! must be between 0-1000",
            at,
            word=1,
            expected="seconds from 0 to 1000",
        )
        return 0
    return value


def skip_check(run: Run, target: Draft[Instance], at: Directive) -> object:
    """Any valid word turns it on, even `off`: keepalived does not look at which one it is."""
    if len(at.words) > 1 and at.words[1] not in values.BOOLEANS:
        run.error(f"({target.name}) invalid skip_check_adv_addr {at.words[1]} specified", at, word=1)
        return FAILED
    return True


def receive_buffer(run: Run, target: Draft[Instance], at: Directive) -> object:
    value = integer(run, at, at.words[1], 0, values.UNSIGNED) if len(at.words) == 2 else None
    if value is None:
        run.error(
            f"({target.name}) invalid kernel_rx_buf_size specified",
            at,
            word=min(1, len(at.words) - 1),
            expected="one number of bytes",
        )
        return FAILED
    return value


def linkbeat(run: Run, target: Draft[Instance], at: Directive) -> object:
    run.error(
        f"({target.name}) 'linkbeat_use_polling' in vrrp instance deprecated - use linkbeat_interfaces block",
        at,
        word=0,
        code="deprecated",
    )
    return True


def lvs_sync(run: Run, target: Draft[Instance], at: Directive) -> object:
    name = target.name
    run.error(
        f"({name}) Specifying lvs_sync_daemon_interface against a vrrp is deprecated.",
        at,
        word=0,
        code="deprecated",
    )
    indent = " " * (6 + abs(len(name) - 2))
    run.error(f"{indent}Please use global lvs_sync_daemon", at, word=0, code="deprecated")
    taken = _sync_daemon_interface(run)
    if taken is not None:
        run.error(
            f"({name}) lvs_sync_daemon_interface has already been specified as {taken} - ignoring",
            at,
            word=1,
            code="duplicate",
        )
        return FAILED
    return at.words[1]


def _sync_daemon_interface(run: Run) -> str | None:
    """The interface that the IPVS synchronisation daemon has already."""
    daemon = run.written.globals.lvs.sync_daemon
    if daemon is not None:
        return str(daemon.interface)
    others = (one.lvs_sync_interface for one in run.written.instances.values())
    return next((str(one) for one in others if one is not None), None)


def late(run: Run, target: Draft[Instance], at: Directive) -> object:
    if at.keyword == "thread_timer_expired":
        run.error(
            f"({target.name}) thread_timer_expired - please replace with keyword 'timer_expired_backup'",
            at,
            word=0,
            code="deprecated",
        )
    if len(at.words) < 2:
        return OWNER_PRIORITY - 1
    value = integer(run, at, at.words[1], 1, OWNER_PRIORITY - 1)
    if value is None:
        run.error(
            f"({target.name}) timer_expired_backup highest_other_priority not valid! must be between 1 & 254",
            at,
            word=1,
        )
        return FAILED
    return value


def show_late(value: int | None) -> Iterable[str]:
    return () if value is None else (str(value),)
