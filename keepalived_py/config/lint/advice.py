"""What a lint is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keepalived_py.base.record import Record
from keepalived_py.config.host import Host
from keepalived_py.config.lint.places import Places
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.model.config import Configuration


class Subject(Record):
    """One configuration: the model, the places of its statements, and the machine it is for."""

    file: str
    configuration: Configuration
    places: Places
    host: Host


class Advice(Record):
    """What a lint has found, before it has a code."""

    message: str
    origin: Origin | None
    notes: tuple[str, ...] = ()
    expected: str = ""
    severity: Severity | None = None


class Lint(Record):
    """One rule.  `summary` is its line in the list of lints."""

    code: str
    severity: Severity
    summary: str
    find: Callable[[Subject], Iterator[Advice]]

    def diagnostics(self, subject: Subject) -> Iterator[Diagnostic]:
        """What the rule says about the configuration."""
        for one in self.find(subject):
            yield diagnostic(self.code, one.severity or self.severity, one)


def diagnostic(code: str, severity: Severity, advice: Advice) -> Diagnostic:
    """The advice as a diagnostic, which never changes the exit code of `-t`."""
    return Diagnostic(
        code,
        advice.message,
        severity,
        advice.origin,
        None,
        expected=advice.expected,
        notes=advice.notes,
        own=True,
    )
