"""`track_file` (in old files `vrrp_track_file`): a number that others write into a file."""

from __future__ import annotations

import stat
from collections.abc import Iterable

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.values import integer
from keepalived_py.config.blocks.weights import REVERSE, WHOLE_RECORD, show_weight, weight_schema
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.tracking import TrackFile

LARGEST_WEIGHT = 254
LARGEST_INT = 2**31 - 1

File = Draft[TrackFile]


def _file(run: Run, target: File, at: Directive) -> None:
    if len(at.words) < 2:
        run.error("track file file name missing", at, code="missing-value", expected="file PATH")
        return
    if target.written("path"):
        message = f"File already set for track file {target.name} - ignoring {at.words[1]}"
        run.error(message, at, word=1, code="duplicate")
        return
    target.path = at.words[1]
    target.given["path"] = at


def _weight(run: Run, target: File, at: Directive) -> None:
    name, word = target.name, values.second(at)
    if len(at.words) < 2:
        run.error(f"No weight specified for track file {name} - ignoring", at, code="missing-value")
        return
    if target.weight != 1:
        run.error(f"Weight already set for track file {name} - ignoring {word}", at, word=1, code="duplicate")
        return
    value = integer(run, at, word, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    if value is None:
        bounds = "must be between [-254..254] inclusive. Ignoring..."
        run.error(f"Weight ({word}) for track_file {name} {bounds}", at, word=1)
    target.weight = 1 if value is None else value
    target.given["weight"] = at
    if len(at.words) > 2:
        if at.words[2] == "reverse":
            target.reverse = True
        else:
            message = f"track_file {name} unknown weight option {at.words[2]}"
            run.error(message, at, word=2, expected="reverse")


def _init(run: Run, target: File, at: Directive) -> None:
    target.initial = 0
    target.given["initial"] = at
    for index, text in enumerate(at.words[1:], start=1):
        word = text.lstrip(" \t\v\f\r\n")
        if word[:1] == "-" or (word[:1].isascii() and word[:1].isdigit()):
            target.initial = _initial(run, target, at, word, index)
        elif word == "overwrite":
            target.overwrite = True
        else:
            run.error(
                f"Unknown track file init option {word}", at, word=index, expected="a number or overwrite"
            )


def _initial(run: Run, target: File, at: Directive, word: str, index: int) -> int:
    value = integer(run, at, word, -LARGEST_INT - 1, LARGEST_INT)
    if value is None:
        run.error(f"Track file {target.name} init value {word} is invalid", at, word=index)
        return 0
    if abs(value) > LARGEST_WEIGHT:
        message = f"Track file {target.name} init value {value} is outside sensible range [-254, 254]"
        run.error(message, at, word=index)
    return value


def _show_init(record: TrackFile) -> Iterable[str]:
    if record.initial is None:
        return ()
    return (f"{record.initial} overwrite" if record.overwrite else str(record.initial),)


BLOCK: Block[File] = block(
    "track_file",
    [
        values.custom(
            "file",
            _file,
            "<PATH>",
            required=False,
            attribute="path",
            show=values.show_text,
            schema={"type": "string"},
            help="the file to read; its folder must exist",
        ),
        values.custom(
            "weight",
            _weight,
            "<INT -254..254> [reverse]",
            required=False,
            default="1",
            attribute=WHOLE_RECORD,
            show=show_weight(1),
            schema=weight_schema(LARGEST_WEIGHT),
            options=(REVERSE,),
            help="what the number in the file is multiplied with; 0: any number but 0 is a fault",
        ),
        values.custom(
            "init_file",
            _init,
            "[<INT>] [overwrite]",
            required=False,
            default="off; 0",
            attribute=WHOLE_RECORD,
            show=_show_init,
            schema={"type": "string"},
            options=(Keyword("overwrite", default="off", help="write the number even if the file exists"),),
            help="make the file at start, with this number in it",
        ),
    ],
    record=TrackFile,
    show_header=lambda record: values.quoted(record.name),
)


def opened(run: Run, target: Written, at: Directive) -> File:
    """The draft of the file; of the old name keepalived only writes a line to its log."""
    if at.keyword == "vrrp_track_file":
        run.log('"vrrp_track_file" is deprecated, please use "track_file"', at, code="deprecated")
    return Draft(TrackFile, at, name=at.words[1])


def closed(run: Run, file: File, at: Directive) -> None:
    """Keep it if it names a file; of two with one name the first is found."""
    end = closing(at)
    if not file.written("path"):
        message = f"No file set for track_file {file.name} - ignoring"
        run.error(message, end, code="missing-value", expected="file PATH")
        return
    run.written.track_files.setdefault(file.name, file)
    if file.initial is not None and file.overwrite:
        found = run.host.status(file.path)
        if found is not None and not stat.S_ISREG(found.mode):
            message = f"Cannot initialise track file {file.name} - it is not a regular file"
            run.error(message, end, code="not-a-file")
