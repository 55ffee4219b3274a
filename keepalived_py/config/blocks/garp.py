"""How a master announces its addresses: `garp_*` in an instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.nested import inside
from keepalived_py.config.blocks.values import LARGEST_INT, TIMER_SECONDS, UNSIGNED
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.vrrp import ExtraInterfaces

DAY = 86400


def _number(name: str, attribute: str, high: int, message: str, **more: Any) -> Keyword[Any]:
    more.setdefault("default", "the global value")
    text = f"({{name}}): {message}"
    return inside("garp", values.number(name, attribute, 0, high, text, inherited=True, **more))


def _seconds(name: str, attribute: str, high: int, message: str, help: str) -> Keyword[Any]:
    return _number(name, attribute, high, message, scale=SECOND, unit="s", help=help)


def _count(name: str, attribute: str, help: str) -> Keyword[Any]:
    zero = f"({{name}}): {name} must be greater than 0, setting to 1"
    return _number(name, attribute, UNSIGNED, f"{name} '{{word}}' invalid - ignoring", zero=zero, help=help)


def _refresh(run: Run, target: Any, at: Directive) -> object:
    """A number that is not usable turns it off."""
    value = values.integer(run, at, at.words[1], 0, UNSIGNED)
    if value is None:
        message = f"({target.name}): Invalid garp_master_refresh '{at.words[1]}' - ignoring"
        run.error(message, at, word=1, expected=f"a whole number from 0 to {UNSIGNED}")
    return Micros((value or 0) * SECOND)


def _extra(run: Run, target: Any, at: Directive) -> object:
    name, every, seconds = at.keyword, target.garp.extra_interfaces.every, None
    if name == "vmac_garp_intvl":
        run.error(
            'Keyword "vmac_garp_intvl" is deprecated - please use "garp_extra_if"',
            at,
            word=0,
            code="deprecated",
            error_class=ErrorClass.DEPRECATED,
        )
    for position, word in enumerate(at.words[1:], 1):
        if word == "all":
            every = True
            continue
        seconds = values.integer(run, at, word, 0, DAY)
        if seconds is None:
            message = f"({target.name}): {name} '{word}' invalid - ignoring"
            run.error(message, at, word=position, expected=f"all, or seconds from 0 to {DAY}")
            return FAILED
    if seconds is None:
        message = f"({target.name}): {name} specified without time - ignoring"
        run.error(message, at, code="missing-value", expected=f"{name} [all] SECONDS")
        return FAILED
    return ExtraInterfaces(Micros(seconds * SECOND), every)


def _show_extra(found: ExtraInterfaces) -> Iterable[str]:
    seconds = found.interval_us // SECOND
    return (f"all {seconds}" if found.every else str(seconds),)


_ALL = Keyword[Any]("all", default="off", help="on every interface that has addresses, not only on VMACs")


def _extra_keyword(name: str, **more: Any) -> Keyword[Any]:
    keyword = Keyword[Any](
        name,
        arguments=f"[all] <INT 0..{DAY}>",
        default="the global value",
        unit="s",
        convert=_extra,
        attribute="extra_interfaces",
        show=_show_extra,
        schema={"type": "string", "pattern": "^(all )?[0-9]+$"},
        inherited=True,
        options=(_ALL,),
        **more,
    )
    return inside("garp", keyword)


KEYWORDS: tuple[Keyword[Any], ...] = (
    _seconds(
        "garp_master_delay",
        "delay_us",
        TIMER_SECONDS,
        "garp_master_delay '{word}' invalid - ignoring",
        "time to the second burst of announcements after becoming MASTER; 0: none",
    ),
    inside(
        "garp",
        values.converted(
            "garp_master_refresh",
            "refresh_us",
            _refresh,
            f"<INT 0..{UNSIGNED}>",
            default="the global value",
            unit="s",
            help="time between bursts while it is MASTER; 0: never again",
            show=lambda found: (str(found // SECOND),),
            schema={"type": "integer", "minimum": 0, "maximum": UNSIGNED},
            inherited=True,
        ),
    ),
    _count("garp_master_repeat", "repeat", "announcements of each address in a burst"),
    _count("garp_master_refresh_repeat", "refresh_repeat", "announcements of each address in a refresh"),
    _seconds(
        "garp_lower_prio_delay",
        "lower_priority_delay_us",
        TIMER_SECONDS,
        "garp_lower_prio_delay '{word}' invalid - ignoring",
        "time to the second burst after an advert of lower priority",
    ),
    _number(
        "garp_lower_prio_repeat",
        "lower_priority_repeat",
        LARGEST_INT,
        "Invalid garp_lower_prio_repeat '{word}'",
        help="announcements of each address after an advert of lower priority",
    ),
    _extra_keyword("garp_extra_if", help="repeats announcements on other interfaces; 0: never"),
    _extra_keyword("vmac_garp_intvl", help="the old name of garp_extra_if", alias="garp_extra_if"),
)
