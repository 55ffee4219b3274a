"""The exception tree.  A user's mistake is never an exception: it is a diagnostic."""

from __future__ import annotations


class KeepalivedError(Exception):
    """Base of everything this program raises on purpose."""


class PermissionMissing(KeepalivedError):
    """The process may not do what its job needs (not root, capability missing)."""


class FatalStart(KeepalivedError):
    """A process cannot do its work at all; restarting it would not help."""
