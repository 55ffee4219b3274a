"""Traffic through a virtual service goes where the checks say."""

from play import Play, Start, Step, Stop, View, both, contacted, down, has, services, up, weighs
from texts import ONE, TWO, page, real, text, virtual

_WEB = {ONE: {"kind": "http"}, TWO: {"kind": "http"}}
_FILE = text(virtual(real(ONE, page()), real(TWO, page()), algo="rr", more="inhibit_on_failure"))


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
