"""One mistake, as a value.

`message` is keepalived's own text where it has one (without the file and line
in front).  `error_class` decides the exit code of `-t`: of all diagnostics,
the class that stands last in keepalived's order wins (reference: parser of
2.2.7), see `ErrorClass`.  A diagnostic without a class never changes the exit code.
"""

from __future__ import annotations

from enum import Enum, IntEnum

from keepalived_py.base.record import Record
from keepalived_py.diagnostics.origin import Origin


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


class ErrorClass(IntEnum):
    """keepalived's classes of configuration errors, in its order; the greatest one decides."""

    FILE_NOT_FOUND = 1
    BAD_INTERFACE = 2
    FATAL = 3
    MULTIPLE_FILES = 4
    UNKNOWN_KEYWORD = 5
    UNEXPECTED_BRACE = 6
    MISSING_BRACE = 7
    UNMATCHED_QUOTE = 8
    MISSING_PARAMETER = 9
    INVALID_NUMBER = 10
    GENERAL = 11
    WARNING = 12
    DEPRECATED = 13
    SCRIPT_SECURITY = 14


class Diagnostic(Record):
    """`code` is a stable kebab-case word; `expected`, `suggestion` and `notes` help a person.

    `logged_only`: keepalived writes this to its log and not to the output of `-t`.
    `stops`: keepalived gives up at once here (exit 2).
    `own`: our own help, without a counterpart in keepalived; its output style leaves it out.
    `cause`: the mistake of which this is a mere consequence; only keepalived's style prints it by itself.
    `fix`: the text that stands for `origin`'s span in a right file, where that is sure.
    `spoils`: file, first and last line in which unknown keywords and braces are consequences of this.
    `early`: by how many lines keepalived names an earlier one (`Origin.unended`).
    `extension`: about something that keepalived does not have; in its style, too, it says what is expected.
    `about`: the place it is about where keepalived names none; its own style does not show it.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    origin: Origin | None = None
    error_class: ErrorClass | None = ErrorClass.GENERAL
    expected: str = ""
    suggestion: str = ""
    notes: tuple[str, ...] = ()
    logged_only: bool = False
    stops: bool = False
    own: bool = False
    cause: Diagnostic | None = None
    fix: str = ""
    spoils: tuple[str, int, int] | None = None
    about: Origin | None = None
    early: int = 0
    extension: bool = False

    @property
    def place(self) -> Origin | None:
        """Where a person should look: keepalived's place, or the one that we know."""
        return self.about if self.origin is None else self.origin
