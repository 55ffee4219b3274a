"""Servers that die and come back, and what quorum, sorry servers and options make of it."""

from play import (
    Answer,
    KillChecks,
    Play,
    Start,
    Step,
    Stop,
    both,
    contacted,
    down,
    has,
    lacks,
    logged,
    run,
    services,
    up,
    weighs,
)
from texts import ONE, SORRY, THREE, TWO, VIRTUAL, group, inhibited, life, page, real, text, virtual

PAIR: dict[str, dict[str, str]] = {ONE: {}, TWO: {}}
_SORRY = "sorry_server 10.5.0.99 80"
_V6 = ("[fd05::11]:80", "[fd05::12]:80")
_HERE = ("10.5.0.2",)
_MAIL = "notification_email {\n  root@localhost\n }\n notification_email_from ka@localhost\n smtp_server 127.0.0.1\n"

# A director as the handbooks draw it: an address by VRRP, direct routing, a page fetched, a sorry server here.
_DIRECTOR = (
    "vrrp_instance OUTSIDE {\n state MASTER\n interface eth0\n virtual_router_id 44\n priority 100\n advert_int 1\n"
    " authentication {\n auth_type PASS\n auth_pass 12345678\n }\n virtual_ipaddress {\n 10.1.0.93/16 dev eth0\n }\n}\n"
)
_PAGE = "HTTP_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 4\n nb_get_retry 3\n delay_before_retry 0.2\n }"


def handbook(where: str, hosts: tuple[str, str], more: str = "", loop: str = "0.5") -> str:
    """A virtual server of the shape of the handbooks, with shorter times."""
    servers = "".join(f" real_server {host} 80 {{\n  weight 1\n  {_PAGE}\n }}\n" for host in hosts)
    return (
        f"virtual_server {where} {{\n delay_loop {loop}\n warmup 0\n lb_algo rr\n lb_kind DR\n protocol TCP\n {more}\n"
        f" sorry_server 127.0.0.1 80\n{servers}}}\n"
    )


def handbook_life(first: str, second: str, port: str = ":80") -> tuple[Step, ...]:
    """One page is an error, then it is well again; both servers die; one comes back."""
    one, two, sorry = first.replace(":80", port), second.replace(":80", port), f"127.0.0.1{port}"
    return (
        Step("started", (Start(),), contacted(first, second, times=2), any_order=True),
        Step("one errs", (Answer(second, {"status": 503}),), lacks(two)),
        Step("one is well", (Answer(second, {"status": 200}),), has(two)),
        Step("all dead", (down(first, second),), both(lacks(one, two), has(sorry)), any_order=True),
        Step("one back", (up(first),), both(has(one), lacks(sorry))),
        Step("stopped", (Stop(),), services(0)),
    )


_WEB = ("10.1.0.69:80", "10.1.0.71:80")
_MARKED = ("10.5.0.69:80", "10.5.0.6:80")
_HTTP = {"kind": "http"}


def plain(name: str, file: str, **more: object) -> Play:
    """The usual life of two servers."""
    return Play(name, (file,), life(**more), PAIR, _HERE)  # type: ignore[arg-type]


_THREE_SERVERS = virtual(
    real(ONE, more="weight 2"), real(TWO), real(THREE), more=f"quorum 3\n hysteresis 1\n {_SORRY}"
)
_QUORUM = (
    Step("started", (Start(),), contacted(ONE, TWO, THREE, times=2), any_order=True),
    Step("the third dead", (down(THREE),), lacks(THREE)),
    Step("the second dead", (down(TWO),), lacks(TWO)),
    Step("the first dead", (down(ONE),), lacks(ONE)),
    Step("the third back", (up(THREE),), logged("Adding service [10.5.0.13]")),
    Step("the first back", (up(ONE),), logged("Adding service [10.5.0.11]")),
    Step("the second back", (up(TWO),), has(TWO)),
    Step("stopped", (Stop(),), services(0)),
)
_ALPHA = (
    Step(
        "started",
        (Start(),),
        both(has(ONE), logged("TCP_CHECK on service [10.5.0.12]:tcp:80 failed")),
        any_order=True,
    ),
    Step("the second up", (up(TWO),), has(TWO)),
    Step("the first dead", (down(ONE),), lacks(ONE)),
    Step("stopped", (Stop(),), services(0)),
)
_NOT_LISTENING = {ONE: {}, TWO: {"listens": False}}
_SUSPENDED = (
    Step("started", (Start(),), logged("Startup complete")),
    Step("address there", (run(f"ip address add {VIRTUAL}/24 dev eth0"),), contacted(ONE, TWO, times=2)),
    Step("one dead", (down(TWO),), lacks(TWO)),
    Step("address gone", (run(f"ip address delete {VIRTUAL}/24 dev eth0"),), logged("uspend")),
    Step("back, and nobody looks", (up(TWO),), quiet_s=1.5),
    Step("address there again", (run(f"ip address add {VIRTUAL}/24 dev eth0"),), has(TWO)),
    Step("stopped", (Stop(),), services(0)),
)
_KILLED = (
    Step("started", (Start(),), contacted(ONE, TWO, times=2), any_order=True),
    Step(
        "checks killed",
        (KillChecks(),),
        both(logged("Respawning"), contacted(ONE, TWO, times=2)),
        any_order=True,
    ),
    Step("one dead", (down(TWO),), lacks(TWO)),
    Step("stopped", (Stop(),), services(0)),
)

PLAYS = (
    Play(
        "handbook: one site",
        (text(_DIRECTOR, handbook("10.1.0.93 80", ("10.1.0.69", "10.1.0.71")), more=_MAIL),),
        handbook_life(*_WEB),
        dict.fromkeys(_WEB, _HTTP),
        ("10.1.0.2",),
    ),
    Play(
        "handbook: two masters and a mark",
        (
            text(
                _DIRECTOR,
                _DIRECTOR.replace("OUTSIDE", "INSIDE").replace("44", "45").replace("MASTER", "BACKUP"),
                handbook("fwmark 3", ("10.5.0.69", "10.5.0.6")),
                more=_MAIL,
            ),
        ),
        handbook_life(*_MARKED, port=":0"),
        dict.fromkeys(_MARKED, _HTTP),
        ("10.5.0.2",),
    ),
    plain("plain", text(virtual(real(ONE, more="weight 3"), real(TWO, more="weight 2")))),
    plain("sorry server", text(virtual(real(ONE), real(TWO), more=_SORRY))),
    plain(
        "sorry server inhibited",
        text(virtual(real(ONE), real(TWO), more=f"{_SORRY}\n sorry_server_inhibit")),
    ),
    plain(
        "inhibited on failure",
        text(virtual(real(ONE), real(TWO), more="inhibit_on_failure")),
        gone=inhibited,
        there=lambda one: weighs(one, 1),
    ),
    Play(
        "inhibited on failure, and a sorry server",
        (text(virtual(real(ONE), real(TWO), more=f"inhibit_on_failure\n {_SORRY}\n sorry_server_inhibit")),),
        (
            Step("started", (Start(),), contacted(ONE, TWO, times=2), any_order=True),
            Step("one dead", (down(TWO),), weighs(TWO, 0)),
            Step("all dead", (down(ONE),), both(weighs(ONE, 0), weighs(SORRY, 1))),
            Step("one back", (up(ONE),), both(weighs(ONE, 1), weighs(SORRY, 0))),
            Step("stopped", (Stop(),), services(0)),
        ),
        PAIR,
        _HERE,
    ),
    plain(
        "one of two inhibited",
        text(virtual(real(ONE), real(TWO, more="inhibit_on_failure\n weight 5"), more=_SORRY)),
        gone=lambda one: lambda view: not any(view.weights(one)),
        there=lambda one: lambda view: any(view.weights(one)),
    ),
    plain("direct routing, least connections", text(virtual(real(ONE), real(TWO), algo="lc", kind="DR"))),
    plain("tunnels", text(virtual(real(ONE), real(TWO), kind="TUN type gre csum", more=_SORRY))),
    Play(
        "the sixth version",
        (text(virtual(real(_V6[0]), real(_V6[1]), where="fd05::1 80", more="sorry_server fd05::99 80")),),
        life(*_V6),
        {_V6[0]: {}, _V6[1]: {}},
        ("fd05::2",),
    ),
    plain("by a mark", text(virtual(real(ONE), real(TWO), where="fwmark 7", more=_SORRY))),
    plain(
        "by a group",
        text(
            group("front", "10.5.0.20-22 91", "10.5.0.1 80", "fwmark 9"),
            virtual(real(ONE), real(TWO), where="group front", more=_SORRY),
        ),
    ),
    plain(
        "persistent",
        text(virtual(real(ONE), real(TWO), more="persistence_timeout 30\n inhibit_on_failure")),
        gone=inhibited,
        there=lambda one: weighs(one, 1),
    ),
    Play("quorum and hysteresis", (text(_THREE_SERVERS),), _QUORUM, {**PAIR, THREE: {}}, _HERE),
    Play(
        "quorum and hysteresis, inhibited",
        (text(_THREE_SERVERS.replace("quorum 3", "inhibit_on_failure\n quorum 3")),),
        (
            _QUORUM[0],
            Step("two dead", (down(THREE, TWO),), both(weighs(TWO, 0), weighs(THREE, 0)), any_order=True),
            Step("all dead", (down(ONE),), weighs(ONE, 0)),
            Step("one back", (up(THREE),), logged("nabling service [10.5.0.13]")),
            Step("stopped", (Stop(),), services(0)),
        ),
        {**PAIR, THREE: {}},
        _HERE,
    ),
    Play("alpha", (text(virtual(real(ONE), real(TWO), more="alpha")),), _ALPHA, _NOT_LISTENING, _HERE),
    Play(
        "alpha, omega and a sorry server",
        (text(virtual(real(ONE), real(TWO), more=f"alpha\n omega\n {_SORRY}")),),
        _ALPHA,
        _NOT_LISTENING,
        _HERE,
    ),
    Play(
        "alpha of one server",
        (text(virtual(real(ONE, more="alpha"), real(TWO), more=_SORRY), more="rs_init_notifies"),),
        (Step("started", (Start(),), both(lacks(TWO), contacted(ONE, times=2)), any_order=True), *_ALPHA[1:]),
        _NOT_LISTENING,
        _HERE,
    ),
    Play(
        "omega with a dead server",
        (text(virtual(real(ONE), real(TWO), more=f"omega\n {_SORRY}")),),
        (*life()[:2], Step("stopped", (Stop(),), services(0))),
        PAIR,
        _HERE,
    ),
    Play(
        "omega with the sorry server",
        (text(virtual(real(ONE), real(TWO, more="weight 0"), more=f"omega\n {_SORRY}")),),
        (
            Step("started", (Start(),), contacted(ONE, TWO, times=2), any_order=True),
            Step("one dead", (down(ONE),), has(SORRY)),
            Step("stopped", (Stop(),), services(0)),
        ),
        PAIR,
        _HERE,
    ),
    Play(
        "dead from the beginning",
        (text(virtual(real(ONE), real(TWO), more=_SORRY)),),
        (
            Step("started", (Start(),), both(lacks(TWO), contacted(ONE, times=2)), any_order=True),
            Step("up", (up(TWO),), has(TWO)),
            Step("stopped", (Stop(),), services(0)),
        ),
        _NOT_LISTENING,
        _HERE,
    ),
    Play(
        "two services of one server",
        (
            text(
                virtual(real(ONE), real(TWO)),
                virtual(real(ONE), where="10.5.0.2 80", more=_SORRY),
            ),
        ),
        (
            Step("started", (Start(),), contacted(ONE, times=4), any_order=True),
            Step("one dead", (down(ONE),), lacks(ONE), any_order=True),
            Step("one back", (up(ONE),), lambda view: len(view.weights(ONE)) == 2, any_order=True),
            Step("stopped", (Stop(),), services(0)),
        ),
        PAIR,
        _HERE,
    ),
    Play(
        "suspended without the address",
        (text(virtual(real(ONE), real(TWO), more="ha_suspend")),),
        _SUSPENDED,
        PAIR,
        ("10.5.0.3",),
    ),
    Play("checks killed", (text(virtual(real(ONE), real(TWO))),), _KILLED, PAIR, _HERE),
    Play(
        "pages of one server",
        (text(virtual(real(ONE, page("200-210")), real(TWO, page()), more=_SORRY)),),
        handbook_life(ONE, TWO)[:3] + life()[-1:],
        {ONE: _HTTP, TWO: _HTTP},
        _HERE,
    ),
)
