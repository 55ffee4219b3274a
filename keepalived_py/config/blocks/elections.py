"""`election`: whether adverts or a quorum decide who holds what.  keepalived knows adverts only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.model.globals import Election

_WORDS = {one.value: one for one in Election}
CHOICES = "|".join(_WORDS)
SCHEMA = {"enum": list(_WORDS)}


def read(run: Run, target: Any, at: Directive) -> None:
    """Another word is no reason to elect by adverts what a quorum should decide: nothing is started."""
    word = at.words[1]
    run.written.raft_asked = True
    if word in _WORDS:
        target.election = _WORDS[word]
        target.given["election"] = at
        return
    run.written.raft_failed = True
    expected = " or ".join(_WORDS)
    run.error(f"election '{word}' is not known", at, word=1, expected=expected, extension=True)


def show(found: Election | None) -> Iterable[str]:
    """The word; nothing where none was written."""
    return () if found is None else (found.value,)
