"""`track_script` and `track_interface`: lists of what an instance or group watches."""

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run
from keepalived_py.config.written import Written, WrittenGroup, WrittenInstance, WrittenTrack
from keepalived_py.diagnostics.report import ErrorClass

Holder = WrittenInstance | WrittenGroup
MAX_WEIGHT = 253


def _weight(
    run: Run, target: Holder, at: Directive, kind: str, reversible: tuple[str, ...]
) -> tuple[int | None, bool | None]:
    """The options behind the name: `weight N [reverse|noreverse]`."""
    name, words = at.words[0], at.words
    if len(words) < 2:
        return None, None
    if words[1] != "weight":
        run.error(f"({target.name}) unknown {kind} {name} option {words[1]} - ignoring", at)
        return None, None
    if len(words) < 3:
        run.error(f"({target.name}) weight without value specified for {kind} {name} - ignoring", at)
        return None, None
    weight = values.integer(run, at, words[2], -254, 254)
    if weight is None:
        limits = "must be between [-253..253] inclusive. Ignoring..."
        run.error(f"({target.name}) weight {words[2]} for {name} {limits}", at)
        return None, None
    if abs(weight) > MAX_WEIGHT:
        run.error(f"({target.name}) weight for {name} cannot be +/-254. Setting to +/-253", at)
        weight = MAX_WEIGHT if weight > 0 else -MAX_WEIGHT
    if len(words) > 3 and words[3] not in reversible:
        spelt = "track_interace" if kind == "track_interface" else kind  # keepalived's own spelling
        run.error(f"({target.name}) unknown {spelt} {name} weight option {words[3]} - ignoring", at)
        return weight, None
    return weight, words[3] == "reverse" if len(words) > 3 else None


def interface_keyword(written: Written) -> Keyword[Any]:
    """`track_interface { NAME [weight N [reverse]] ... }`."""

    def entry(run: Run, target: Holder, at: Directive) -> None:
        name = at.words[0]
        if any(track.name == name for track in target.track_interfaces):
            run.error(f"({target.name}) duplicate track_interface {name} - ignoring", at, code="duplicate")
            return
        weight, reverse = _weight(run, target, at, "track_interface", ("reverse",))
        if not run.host.interface_exists(name):
            if not written.globals.dynamic_interfaces:
                run.error(
                    f"({target.name}) tracked interface {name} doesn't exist", at, code="unknown-interface"
                )
                written.missing_interface = True
                return
        target.track_interfaces.append(WrittenTrack(name, weight, reverse))

    block: Block[Holder] = Block("track_interface", entry=entry)
    return Keyword("track_interface", arguments="{ <IF> [weight <INT> [reverse]] ... }", block=block)


def script_keyword(written: Written) -> Keyword[Any]:
    """`track_script { NAME [weight N [reverse|noreverse]] ... }`; the script must stand above."""

    def entry(run: Run, target: Holder, at: Directive) -> None:
        name = at.words[0]
        script = written.scripts.get(name)
        if script is None or script.removed:
            run.error(
                f"({target.name}) track script {name} not found, ignoring...", at, code="unknown-script"
            )
            return
        if any(track.name == name for track in target.track_scripts):
            run.error(f"({target.name}) duplicate track_script {name} - ignoring", at, code="duplicate")
            return
        weight, reverse = _weight(run, target, at, "track_script", ("reverse", "noreverse"))
        if weight is None:
            weight, reverse = script.weight, script.reverse
        target.track_scripts.append(WrittenTrack(name, weight, bool(reverse)))

    block: Block[Holder] = Block("track_script", entry=entry)
    return Keyword("track_script", arguments="{ <NAME> [weight <INT> [reverse|noreverse]] ... }", block=block)


def undefined_keyword(
    keyword: str, kind: str, top: tuple[str, ...], defined: dict[str, set[str]]
) -> Keyword[Any]:
    """`track_file`, `track_process`, `track_bfd`: checked for existence; not watched yet."""

    def entry(run: Run, target: Holder, at: Directive) -> None:
        name = at.words[0]
        if not any(name in defined.get(block, ()) for block in top):
            run.error(f"({target.name}) track {kind} {name} not found, ignoring...", at, code="unknown-name")

    def opened(run: Run, target: Holder, at: Directive) -> Holder:
        run.no_effect("vrrp_instance" if isinstance(target, WrittenInstance) else "vrrp_sync_group", at)
        return target

    block: Block[Holder] = Block(keyword, entry=entry)
    return Keyword(keyword, arguments="{ <NAME> [weight <INT>] ... }", block=block, open=opened)


def deprecated_global_tracking(run: Run, target: WrittenGroup, at: Directive) -> None:
    """`global_tracking`, the old name of sync_group_tracking_weight."""
    run.error(
        f"({target.name}) global_tracking is deprecated. Use track_interface/script/file on the sync group",
        at,
        code="deprecated",
        error_class=ErrorClass.GENERAL,
    )
    target.tracking_weight = True
