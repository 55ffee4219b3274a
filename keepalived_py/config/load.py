"""The one door in: a file name becomes a configuration and everything that is to be said about it.

Passes as in keepalived: `global_defs` first, wherever it stands, because it
changes how the rest is read; then everything.  `test_exit_code` is that of
`-t` in keepalived 2.2.7, `start_exit_code` that of a start: None if it may
start, 2 if the configuration cannot be used, 6 if there is none.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from keepalived_py.base.record import Record
from keepalived_py.config.blocks import root
from keepalived_py.config.document import Directive, Statement
from keepalived_py.config.host import Host
from keepalived_py.config.resolve import resolve
from keepalived_py.config.schema import Run, walk
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass
from keepalived_py.model.config import Configuration

EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_FATAL_CLASS = 4
EXIT_ERROR = 5
EXIT_SECURITY = 6  # also: a file that must exist is missing


class Loaded(Record):
    """A configuration with all diagnostics, in the order in which they were found.

    `without_effect` names keywords that are valid but do nothing yet, each with
    its place.  If `start_exit_code` is not None the configuration must not be run.
    """

    configuration: Configuration
    diagnostics: tuple[Diagnostic, ...]
    without_effect: tuple[str, ...]
    test_exit_code: int
    start_exit_code: int | None


def load(path: str, *, config_id: str, host: Host, all_config: bool = False) -> Loaded:
    """Read the configuration file `path` (a glob, as `-f` takes it).

    `config_id` decides `@ID` lines; `all_config` is keepalived's `-e`: every
    file must exist.  Never raises for what stands in the files.
    """
    from keepalived_py.config.syntax import read_document  # lark: paid only when something is read

    with _no_collection():
        document = read_document(path, config_id, all_config)
        if document.fatal:
            code = EXIT_FATAL_CLASS if document.include_failed else EXIT_OK
            return Loaded(Configuration(), document.diagnostics, (), code, EXIT_SECURITY)
        if document.include_failed:
            return Loaded(Configuration(), document.diagnostics, (), EXIT_SECURITY, EXIT_SECURITY)
        return interpret(document.directives, document.diagnostics, host)


def interpret(directives: Sequence[Statement], lexical: Iterable[Diagnostic], host: Host) -> Loaded:
    """The configuration that `directives` describe; `lexical` are the mistakes found before."""
    before = tuple(lexical)
    run = Run(host, Written())
    written = _read(directives, run)
    if run.stopped:
        found = _in_order(before, run.diagnostics)
        return Loaded(Configuration(), found, tuple(run.without_effect), EXIT_CONFIG, EXIT_CONFIG)
    resolved = resolve(written, run)
    found = _in_order(before, run.diagnostics)
    refused = EXIT_CONFIG if resolved.refused else None
    return Loaded(resolved.configuration, found, tuple(run.without_effect), exit_code_of_test(found), refused)


def _read(directives: Sequence[Statement], run: Run) -> Written:
    """Both passes: the first one only looks, what it finds wrong is reported by the second."""
    written = run.written
    first = [one for one in directives if isinstance(one, Directive) and one.keyword == "global_defs"]
    walk(Run(run.host, written), root.globals_root(), written, first)
    walk(run, root.root(written), written, directives)
    return written


def _in_order(lexical: Sequence[Diagnostic], found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By line, as far as they name one; what names none keeps its place at the end."""
    placed = [one for one in (*lexical, *found) if one.origin is not None]
    other = [one for one in (*lexical, *found) if one.origin is None]
    return (*placed, *other)


def exit_code_of_test(found: Iterable[Diagnostic]) -> int:
    """The exit code of `-t`: 2 if reading stopped; else the class that stands last decides."""
    classes: list[ErrorClass] = []
    for one in found:
        if one.stops:
            return EXIT_CONFIG
        if one.error_class is not None and not one.logged_only:
            classes.append(one.error_class)
    if not classes:
        return EXIT_OK
    decisive = max(classes)
    if decisive is ErrorClass.SCRIPT_SECURITY:
        return EXIT_SECURITY
    return EXIT_FATAL_CLASS if decisive <= ErrorClass.FATAL else EXIT_ERROR


@contextmanager
def _no_collection() -> Iterator[None]:
    """Cyclic garbage collection off: a parse only builds, and the collector doubles its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
