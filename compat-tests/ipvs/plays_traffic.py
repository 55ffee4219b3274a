"""Traffic through a virtual service goes where the checks say, and is counted over reloads."""

from play import (
    Ask,
    Play,
    Reload,
    Start,
    Step,
    Stop,
    View,
    both,
    contacted,
    down,
    has,
    services,
    up,
    weighs,
)
from texts import ONE, TWO, page, real, text, virtual

_WEB = {ONE: {"kind": "http"}, TWO: {"kind": "http"}}
_FILE = text(virtual(real(ONE, page()), real(TWO, page()), algo="rr", more="inhibit_on_failure"))
_OTHER_FILE = text(
    virtual(real(ONE, page(), "weight 5"), real(TWO, page()), algo="rr", more="inhibit_on_failure"),
    virtual(real(ONE, page(), "weight 5"), where="10.5.0.1 81"),
)
_SIX = Ask("10.5.0.1:80", 6)
# Connections only: packets and bytes depend on what TCP puts into one segment.
_COUNTED = """#!/bin/sh
ipvsadm -Ln --stats --exact | while read -r one two three rest; do
    case "$one" in "->") echo "$one $two $three" ;; TCP) echo "$two $three" ;; *) echo "$one $two $three $rest" ;; esac
done
"""


def asked(view: View) -> bool:
    """Each server has been asked often enough to tell who gets the traffic."""
    return sum(view.contacts.values()) >= 20


_BEGIN = Step("started", (Start(),), both(contacted(ONE, TWO, times=4), has(ONE, TWO)))
_END = Step("stopped", (Stop(),), services(0))
# Both daemons: who gets the traffic follows the checks.
FOLLOWS = Play(
    "traffic follows health",
    (_FILE,),
    (
        _BEGIN,
        Step("both serve", (), asked),
        Step("one dies", (down(TWO),), weighs(TWO, 0)),
        Step("one serves", (), asked),
        Step("it comes back", (up(TWO),), weighs(TWO, 1)),
        Step("both serve again", (), asked),
        _END,
    ),
    _WEB,
    ("10.5.0.1",),
    client="10.5.0.1:80",
)
# What is counted of a service stays when a reload changes something else.
COUNTED = Play(
    "counters go on over reloads",
    (_FILE, _OTHER_FILE),
    (
        _BEGIN,
        Step("six", (_SIX,), shows=("/run/lab/counted", "10.5.0.1:80 6")),
        Step(
            "reloaded",
            (Reload(1),),
            both(weighs(ONE, 5), services(2)),
            looks=("/run/lab/counted",),
        ),
        Step("twelve", (_SIX,), shows=("/run/lab/counted", "10.5.0.1:80 12")),
        Step("as before", (Reload(0),), both(weighs(ONE, 1), services(1)), looks=("/run/lab/counted",)),
        _END,
    ),
    _WEB,
    ("10.5.0.1",),
    {"/run/lab/counted": _COUNTED},
)
PLAYS = (FOLLOWS, COUNTED)
