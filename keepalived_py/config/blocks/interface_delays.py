"""`interface_up_down_delays`: how long a change of a link must last to count."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.linkbeat import known
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Run, entries
from keepalived_py.config.written import Written
from keepalived_py.model.interfaces import InterfaceDelay

LONGEST_US = 255_000_000


def _entry(run: Run, written: Written, at: Directive) -> None:
    if not known(run, at, "up/down delay"):
        return
    name = at.words[0]
    if len(at.words) < 2:
        run.log(f"No timeouts specified for {name} up/down delays", at)
        return
    if len(at.words) > 3:
        run.log(f"Too many parameters for {name} up/down delays", at)
    delays: list[Micros] = [Micros(0), Micros(0)]
    for position, word in enumerate(at.words[1:3]):
        value = values.decimal(run, at, word, 0, LONGEST_US)
        if value is None:
            run.log(f"Invalid {('down', 'up')[position]} delay {word} for {name}", at)
            return
        delays[position] = value
    others = [one for one in written.interface_delays if one.interface != name]
    made = Draft(InterfaceDelay, at, interface=name, down_us=delays[0], up_us=delays[1])
    written.interface_delays = [*others, made]


def _show_entry(found: InterfaceDelay) -> str:
    shown = [values.quoted(found.interface), values.seconds_text(found.down_us)]
    return " ".join((*shown, values.seconds_text(found.up_us)) if found.up_us else shown)


BLOCK: Block[Any] = entries(
    "interface_up_down_delays",
    _entry,
    show_entry=_show_entry,
    entry_help="<IF> <DEC 0..255> [<DEC 0..255>]: seconds to wait when it goes down, and when it comes up",
)


def opened(run: Run, written: Written, at: Directive) -> Written:
    """The list is kept with everything that was written."""
    values.list_block(run, at)
    return written
