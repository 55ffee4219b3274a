"""`vrrp_track_process`: whether enough processes run."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.decimals import fixed_point
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.blocks.weights import REVERSE, WHOLE_RECORD, show_weight, weight_schema
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.tracking import ParameterMatch, TrackProcess

LARGEST_WEIGHT = 254
LARGEST_QUORUM = 65535
LONGEST_DELAY_US = 3_600_000_000
MATCHES = {"initial": ParameterMatch.INITIAL, "partial": ParameterMatch.PARTIAL}

Process = Draft[TrackProcess]


def _process(run: Run, target: Process, at: Directive) -> None:
    if target.written("process"):
        run.error(
            f"Process already set for track process {target.name} - ignoring {at.words[1]}",
            at,
            word=1,
            code="duplicate",
        )
        return
    target.process, target.parameters = at.words[1], at.words[2:]
    target.given["process"] = at
    if target.parameters:
        target.full_command = True
        if target.match is ParameterMatch.NONE:
            target.match = ParameterMatch.EXACT


def _match(run: Run, target: Process, at: Directive) -> None:
    word = values.second(at)
    if len(at.words) > 1 and word not in MATCHES:
        message = f"Invalid param_match type {word} - ignoring"
        run.error(message, at, word=1, expected="initial, partial or nothing")
        return
    target.match = MATCHES.get(word, ParameterMatch.EXACT)
    target.full_command = True
    target.given["match"] = at


def _weight(run: Run, target: Process, at: Directive) -> None:
    name, word = target.name, values.second(at)
    if len(at.words) < 2:
        run.error(f"No weight specified for track process {name} - ignoring", at, code="missing-value")
        return
    if target.weight:
        message = f"Weight already set for track process {name} - ignoring {word}"
        run.error(message, at, word=1, code="duplicate")
        return
    value = integer(run, at, word, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    if value is None:
        bounds = "must be between [-254..254] inclusive. Ignoring..."
        run.error(f"Weight ({word}) for vrrp_track_process {name} {bounds}", at, word=1)
        return
    if len(at.words) > 2:
        if at.words[2] == "reverse":
            target.reverse = True
        else:
            message = f"vrrp_track_process {name} unknown weight option {at.words[2]}"
            run.error(message, at, word=2, expected="reverse")
    target.weight = value
    target.given["weight"] = at


def _quorum(run: Run, target: Process, at: Directive) -> object:
    word = at.words[1]
    value = integer(run, at, word, 1, LARGEST_QUORUM)
    if value is None:
        bounds = "must be between [1..65535] inclusive. Ignoring..."
        run.error(f"Quorum ({word}) for vrrp_track_process {target.name} {bounds}", at, word=1)
        return FAILED
    if target.quorum_max is not None and value > target.quorum_max:
        expected = f"at most {target.quorum_max}"
        run.error("Quorum is greater than quorum_max - ignoring", at, word=1, expected=expected)
        return FAILED
    return value


def _quorum_max(run: Run, target: Process, at: Directive) -> object:
    word = at.words[1]
    value = integer(run, at, word, 0, LARGEST_QUORUM)
    if value is None:
        bounds = "must be between [0..65535] inclusive. Ignoring..."
        run.error(f"quorum_max ({word}) for vrrp_track_process {target.name} {bounds}", at, word=1)
        return FAILED
    if (value or target.quorum > 1) and value < target.quorum:
        expected = f"at least {target.quorum}"
        run.error("quorum_max is less than quorum - ignoring", at, word=1, expected=expected)
        return FAILED
    if value == 0:  # good while none runs
        target.quorum = 0
    elif not target.quorum:
        target.quorum = 1
    return value


def _delay_of(run: Run, target: Process, at: Directive, title: str) -> Micros | None:
    word = at.words[1]
    value = fixed_point(run, at, word, 1, LONGEST_DELAY_US, 6, lenient=True)
    if value is None:
        bounds = "must be between [0.000001..3600] inclusive. Ignoring..."
        run.error(f"{title} ({word}) for vrrp_track_process {target.name} {bounds}", at, word=1)
        return None
    return Micros(value)


def _delay(run: Run, target: Process, at: Directive) -> None:
    value = _delay_of(run, target, at, "delay")
    if value is not None:
        target.terminate_delay_us = target.fork_delay_us = value
        target.given["terminate_delay_us"] = target.given["fork_delay_us"] = at


def _one_delay(run: Run, target: Process, at: Directive) -> object:
    value = _delay_of(run, target, at, at.keyword)
    return FAILED if value is None else value


def _show_process(record: TrackProcess) -> Iterable[str]:
    return (" ".join(values.quoted(word) for word in (record.process, *record.parameters)),)


def _show_match(record: TrackProcess) -> Iterable[str]:
    """Nothing where the arguments imply it."""
    if record.match is ParameterMatch.EXACT:
        return () if record.parameters else ("",)
    return () if record.match is ParameterMatch.NONE else (record.match.value,)


def _show_full(record: TrackProcess) -> Iterable[str]:
    implied = record.match is not ParameterMatch.NONE
    return ("",) if record.full_command and not implied else ()


def _show_quorum(quorum: int) -> Iterable[str]:
    """0 cannot be written: it follows from a quorum_max of 0."""
    return (str(quorum),) if quorum > 1 else ()


def _delay_keyword(name: str, attribute: str, help: str) -> Keyword[Process]:
    return values.converted(
        name,
        attribute,
        _one_delay,
        "<DEC 0.000001..3600>",
        default="0",
        unit="s",
        show=lambda value: values.show_seconds(value) if value else (),
        schema={"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        help=help,
    )


BLOCK: Block[Process] = block(
    "vrrp_track_process",
    [
        values.custom(
            "process",
            _process,
            "<NAME> [<ARG> ...]",
            attribute=WHOLE_RECORD,
            show=_show_process,
            schema={"type": "string"},
            help="the process to look for; with arguments the whole command line is compared",
        ),
        values.custom(
            "param_match",
            _match,
            "[initial|partial]",
            required=False,
            default="exact if arguments are given",
            attribute=WHOLE_RECORD,
            show=_show_match,
            schema={"enum": ["", "initial", "partial"]},
            options=(
                Keyword("initial", help="the last argument may be longer than the one asked for"),
                Keyword("partial", help="only as many arguments are compared as were given"),
            ),
            help="how arguments are compared; nothing behind it: all must be the same",
        ),
        values.custom(
            "weight",
            _weight,
            "<INT -254..254> [reverse]",
            required=False,
            default="0",
            attribute=WHOLE_RECORD,
            show=show_weight(0),
            schema=weight_schema(LARGEST_WEIGHT),
            options=(REVERSE,),
            help="change of priority; 0 makes it a fault if the quorum is not met",
        ),
        values.converted(
            "quorum",
            "quorum",
            _quorum,
            "<INT 1..65535>",
            pure=False,
            default="1",
            show=_show_quorum,
            schema={"type": "integer", "minimum": 1, "maximum": LARGEST_QUORUM},
            help="how many must run",
        ),
        values.converted(
            "quorum_max",
            "quorum_max",
            _quorum_max,
            "<INT 0..65535>",
            pure=False,
            default="any number",
            show=values.show_text,
            schema={"type": "integer", "minimum": 0, "maximum": LARGEST_QUORUM},
            help="how many may run; 0: none must",
        ),
        values.custom(
            "delay",
            _delay,
            "<DEC 0.000001..3600>",
            default="0",
            unit="s",
            attribute=WHOLE_RECORD,
            show=lambda record: (),
            schema={"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
            help="sets fork_delay and terminate_delay",
        ),
        _delay_keyword(
            "terminate_delay", "terminate_delay_us", "how long the quorum must be lost before it counts"
        ),
        _delay_keyword("fork_delay", "fork_delay_us", "how long the quorum must be met before it counts"),
        values.custom(
            "full_command",
            lambda run, target, at: setattr(target, "full_command", True),
            required=False,
            default="off",
            attribute=WHOLE_RECORD,
            show=_show_full,
            schema={"type": "boolean"},
            help="compare the whole command line and not only the name that the kernel keeps",
        ),
    ],
    record=TrackProcess,
    show_header=lambda record: values.quoted(record.name),
)


def opened(run: Run, target: Written, at: Directive) -> Process:
    """The draft of the process."""
    return Draft(TrackProcess, at, name=at.words[1])


def closed(run: Run, process: Process, at: Directive) -> None:
    """Keep it if it says which process; of two with one name the first is found."""
    if not process.written("process"):
        message = f"track process '{process.name}' process name not specified"
        run.error(message, closing(at), code="missing-value", expected="process NAME")
        return
    run.written.track_processes.setdefault(process.name, process)
