"""`FILE_CHECK`: a number in a file changes the weight of the server."""

from __future__ import annotations

from collections.abc import Iterable

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CheckDraft
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.model.checks import FileCheck, FileWeight

LIMIT = 2147483647
DIRECTIONS = {"reverse": True, "noreverse": False}


def _track_file(run: Run, check: object, at: Directive) -> object:
    name = at.words[1]
    if name not in run.written.track_files:
        run.error(
            f"track_file {name} not found",
            at,
            word=1,
            code="not-found",
            expected="the name of a track_file block above",
        )
        return FAILED
    return name


def _weight(run: Run, check: object, at: Directive) -> object:
    value = values.integer(run, at, at.words[1], -LIMIT, LIMIT)
    if value is None:
        run.error(f"weight for track file must be in [{-LIMIT}..{LIMIT}] inclusive. Ignoring...", at, word=1)
        return FAILED
    direction = at.words[2] if len(at.words) > 2 else "noreverse"
    if direction not in DIRECTIONS:
        run.error(
            f"unknown track file weight option {direction} - ignoring",
            at,
            word=2,
            expected="reverse or noreverse",
        )
        return FAILED
    return FileWeight(value, DIRECTIONS[direction])


def _show_weight(found: FileWeight) -> Iterable[str]:
    return (f"{found.value} reverse" if found.reverse else str(found.value),)


def closed(run: Run, check: CheckDraft, at: Directive) -> None:
    """The end of the block: without a file it is nothing; without a weight it has the file's."""
    if not check.written("track_file"):
        run.error(
            "FILE_CHECK has no track_file specified - ignoring",
            closing(at),
            code="missing-keyword",
            expected="track_file NAME in the FILE_CHECK block",
        )
        check.drop()
    elif not check.written("weight"):
        file = run.written.track_files[check.track_file]
        check.weight = FileWeight(file.weight, file.reverse)


BLOCK: Block[CheckDraft] = block(
    "FILE_CHECK",
    [
        values.converted(
            "track_file",
            "track_file",
            _track_file,
            "<NAME>",
            help="the track_file to follow, defined above",
            schema={"type": "string"},
            pure=False,
        ),
        values.converted(
            "weight",
            "weight",
            _weight,
            f"<INT {-LIMIT}..{LIMIT}> [reverse|noreverse]",
            default="that of the track_file",
            help="what the number in the file is multiplied with; 0: any number but 0 is a failure",
            required=False,
            missing="track file weight missing",
            show=_show_weight,
            schema={"type": "string"},
            inherited=True,
            options=(
                values.option("reverse", help="turn the sense of the weight round"),
                values.option("noreverse", help="undo the reverse of the track_file"),
            ),
        ),
        Keyword("dynamic", removed="2.1.0", help="the manual names it, but no version reads it"),
    ],
    record=FileCheck,
    show_header=lambda check: "",
)
