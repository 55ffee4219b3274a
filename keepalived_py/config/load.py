"""The one door in: a file name becomes a configuration and everything that is to be said about it.

Passes as in keepalived: `global_defs` first, wherever it stands, because it
changes how the rest is read; then everything.  `test_exit_code` is that of
`-t` in keepalived 2.2.7, `start_exit_code` that of a start: None if it may
start, 2 if the configuration cannot be used, 6 if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from keepalived_py.base.collection import no_collection
from keepalived_py.config import passes
from keepalived_py.config.blocks import root
from keepalived_py.config.document import Directive, Document, Statement
from keepalived_py.config.host import Host
from keepalived_py.config.resolve import finish
from keepalived_py.config.schema import BASELINE, Run
from keepalived_py.config.walk import walk
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass
from keepalived_py.model.config import Configuration

ROOTS = passes.Roots(root.FIRST, root.root)
EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_FATAL_CLASS = 4
EXIT_ERROR = 5
EXIT_SECURITY = 6  # also: a file that must exist is missing


class Loaded:
    """A configuration with all diagnostics, in the order in which they were found.

    The model is built when somebody asks for it first: whoever only checks never
    does.  If `start_exit_code` is not None it must not be run (and holds the
    globals at most).  `net_namespace` is the one that the file names.
    """

    def __init__(
        self,
        configuration: Configuration | Callable[[], Configuration],
        diagnostics: tuple[Diagnostic, ...],
        test_exit_code: int,
        start_exit_code: int | None,
        net_namespace: str | None = None,
    ) -> None:
        self._configuration = configuration
        self.diagnostics = diagnostics
        self.test_exit_code = test_exit_code
        self.start_exit_code = start_exit_code
        self.net_namespace = net_namespace

    @property
    def configuration(self) -> Configuration:
        """The model."""
        if not isinstance(self._configuration, Configuration):
            self._configuration = self._configuration()
        return self._configuration


def load(
    path: str, *, config_id: str, host: Host, all_config: bool = False, compat: str = BASELINE
) -> Loaded:
    """Read the configuration file `path` (a glob, as `-f` takes it).

    `config_id` decides `@ID` lines; `all_config` is keepalived's `-e`: every
    file must exist.  Never raises for what stands in the files.
    """
    if is_yaml(path):
        return load_cluster(path, host=host)
    from keepalived_py.config.syntax import read_document  # lark: paid only when something is read

    with no_collection():
        document = read_document(path, config_id, all_config)
        if document.fatal:
            code = EXIT_FATAL_CLASS if document.include_failed else EXIT_OK
            return Loaded(Configuration(), document.diagnostics, code, EXIT_SECURITY)
        if document.include_failed:
            return _of_parent(document, EXIT_SECURITY, host, compat)
        return interpret(document.directives, document.diagnostics, host, compat)


def load_as_parent(path: str, *, config_id: str, host: Host, compat: str = BASELINE) -> Loaded:
    """What keepalived says about `path` when the network namespace that it names is not there.

    Only the parent process has read the file by then; `-t` ends with 0 all the same.
    """
    from keepalived_py.config.syntax import read_document  # lark: paid only when something is read

    return _of_parent(read_document(path, config_id), EXIT_OK, host, compat)


def _of_parent(document: Document, code: int, host: Host, compat: str) -> Loaded:
    """Nothing but the parent's reading; `code` is the exit code unless a required argument is missing."""
    run = passes.read_as_parent(
        Run(host, Written(), compat), ROOTS, document.directives, document.diagnostics
    )
    found = _in_order((), passes.unread(run, run.diagnostics))
    return Loaded(Configuration(), found, EXIT_CONFIG if run.stopped else code, EXIT_SECURITY)


def is_yaml(path: str) -> bool:
    """Whether the file is keep-vip's, by its name: keep-vip insists on such a one."""
    return path.endswith((".yaml", ".yml"))


def load_cluster(path: str, *, host: Host) -> Loaded:
    """Read keep-vip's YAML.

    The cluster is in the model, and with it what is run for it.  On a machine that is no
    member of it the file can be checked and converted, and is refused at start.
    """
    from keepalived_py.config.keepvip.reader import read_file  # the YAML library: paid by such files only

    found = read_file(path, host)
    if found.cluster is None:
        refusal = EXIT_CONFIG if found.readable else EXIT_SECURITY
        return Loaded(Configuration(), found.diagnostics, exit_code_of_test(found.diagnostics), refusal)
    from keepalived_py.config.keepvip.elected import elected

    made = elected(found.cluster, host)
    said = (*found.diagnostics, *made.diagnostics)
    start = None if made.member else EXIT_CONFIG
    return Loaded(made.configuration, said, exit_code_of_test(said), start)


def interpret(
    directives: Sequence[Statement], lexical: Iterable[Diagnostic], host: Host, compat: str = BASELINE
) -> Loaded:
    """The configuration that `directives` describe; `lexical` are the mistakes found before.

    `compat` is the version of keepalived whose verdict counts.
    """
    before = tuple(lexical)
    run = _read(directives, before, host, compat)
    verdict = run.verdict or run
    if verdict.stopped:
        found = _in_order(passes.unread(verdict, before), verdict.diagnostics)
        return Loaded(Configuration(), found, EXIT_CONFIG, EXIT_CONFIG, _namespace(run))
    refused = run.stopped or finish(run)
    if verdict is not run:
        finish(verdict)
        verdict.diagnostics += passes.said_by_newer(run, verdict)
    found = _in_order(before, verdict.diagnostics)
    code = exit_code_of_test(found)
    return Loaded(_maker(run, refused), found, code, EXIT_CONFIG if refused else None, _namespace(run))


def _maker(run: Run, refused: bool) -> Callable[[], Configuration]:
    written, host = run.written, run.host

    def make() -> Configuration:
        from keepalived_py.config.build import build, build_globals  # not paid by a check

        return Configuration(build_globals(written, host)) if refused else build(written, host)

    return make


def _namespace(run: Run) -> str | None:
    found: str | None = run.written.globals.net_namespace
    return found


def _read(directives: Sequence[Statement], lexical: tuple[Diagnostic, ...], host: Host, compat: str) -> Run:
    """`global_defs` first, then everything; what the first pass finds wrong is reported by the second."""
    run = Run(host, Written(), compat)
    written = run.written
    first = [one for one in directives if isinstance(one, Directive) and one.keyword == "global_defs"]
    walk(Run(host, written, compat), root.globals_root(), written, first)
    return passes.read(run, ROOTS, directives, lexical)


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
