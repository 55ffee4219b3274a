"""A configuration read for people: keepalived's verdict, and our advice on top of it.

Advice never changes the exit code.  What the machine's description could not
tell is said once, as a hint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from keepalived_py.base.record import Record
from keepalived_py.config.host import Host
from keepalived_py.config.lint.advice import Subject
from keepalived_py.config.lint.expected import explained
from keepalived_py.config.lint.places import Places, Switches
from keepalived_py.config.lint.rules import linted, without_ignored
from keepalived_py.config.load import EXIT_SECURITY, Loaded, interpret, is_yaml, load
from keepalived_py.config.schema import BASELINE
from keepalived_py.config.syntax import read_document
from keepalived_py.diagnostics.report import Diagnostic, Severity

NOT_CHECKED = "not-checked"


class Checked(Record):
    """`diagnostics`: all that is to be said, by file and line.

    `subject` None: there is nothing to compare with the files of other nodes.
    `unreadable`: there is no such file, or it may not be read.
    """

    loaded: Loaded
    diagnostics: tuple[Diagnostic, ...]
    subject: Subject | None = None
    unreadable: bool = False


def checked(
    path: str,
    *,
    config_id: str,
    host: Host,
    all_config: bool = False,
    ignored: Collection[str] = (),
    name: str = "",
    compat: str = BASELINE,
) -> Checked:
    """Read the configuration `path` (as `load` does) and give advice; `name` stands for it in messages."""
    if is_yaml(path):
        loaded = load(path, config_id=config_id, host=host, all_config=all_config)
        said = tuple(without_ignored(loaded.diagnostics, None, ignored))
        return Checked(loaded, said, unreadable=loaded.start_exit_code == EXIT_SECURITY)
    document = read_document(path, config_id, all_config)
    if document.fatal or document.include_failed:
        loaded = load(path, config_id=config_id, host=host, all_config=all_config)
        return Checked(loaded, loaded.diagnostics, unreadable=document.fatal)
    loaded = interpret(document.directives, document.diagnostics, host, compat)
    subject = Subject(name or path, loaded.configuration, Places(document.directives), host)
    found = by_place(explained(linted(subject, loaded.diagnostics, ignored), subject))
    return Checked(loaded, found, None if loaded.start_exit_code is not None else subject)


def skipped(host: Host, ignored: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """A hint that names what `host` could not know, if there is anything."""
    tell = getattr(host, "skipped", None)
    lines: tuple[str, ...] = tell() if tell is not None else ()
    if not lines or NOT_CHECKED in ignored:
        return ()
    message = "not checked, since nothing is known about them here: " + "; ".join(lines)
    return (Diagnostic(NOT_CHECKED, message, Severity.HINT, None, None, own=True),)


def by_place(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Files in the order in which they come up, each by line; what has no place stays at the end."""
    listed = list(found)
    files = {one.place.file: None for one in listed if one.place is not None}
    rank = {file: place for place, file in enumerate(files)}

    def key(one: Diagnostic) -> tuple[int, int]:
        return (rank[one.place.file], one.place.line) if one.place is not None else (len(rank), 0)

    return tuple(sorted(listed, key=key))


def switched_off(subjects: Iterable[Subject]) -> Switches:
    """The comments of all configurations that switch advice off."""
    sources = {}
    for subject in subjects:
        sources.update(subject.places.sources())
    return Switches(sources)
