"""What configurations make of the table before any check has said a word."""

from play import Play, Start, Step, Stop, services
from texts import NOTE, VIRTUAL, bare, group, still, text

FOUR = ("10.5.0.11 80", "10.5.0.12 80")
SIX = ("fd05::11 80", "fd05::12 80")
V6_HOME = ("fd05::1",)
CLASSIC = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq")
HASHES = (
    "sh\n sh-port",
    "sh\n sh-fallback",
    "sh\n sh-port\n sh-fallback",
    "mh",
    "mh\n mh-port",
    "mh\n mh-fallback",
)
LIMITS = "ipvsadm -Ln --thresholds"
TIMEOUTS = "ipvsadm -Ln --timeout"
SYNC = "ipvsadm -Ln --daemon"


def schedulers(names: tuple[str, ...]) -> str:
    """One virtual server for each."""
    return text(
        *(
            bare(f"{VIRTUAL} {8000 + number}", FOUR, f"lb_algo {name}\n lb_kind NAT\n protocol TCP")
            for number, name in enumerate(names)
        )
    )


def method(place: int, words: str, where: str = "TCP", inside: str = "") -> str:
    """A virtual server that forwards so."""
    return bare(
        f"{VIRTUAL} {place}", (f"10.5.0.11 {place}",), f"lb_algo rr\n {words}\n protocol {where}", inside
    )


_METHODS = "".join((
    method(1001, "lb_kind NAT"),
    method(1002, "lb_kind DR"),
    method(1003, "lb_kind TUN"),
    method(1004, "lvs_method TUN type ipip"),
    method(1005, "lvs_method TUN type gre"),
    method(1006, "lvs_method TUN type gre csum"),
    method(1007, "lvs_method TUN type gue port 6080"),
    method(1008, "lvs_method TUN type gue port 6080 csum"),
    method(1009, "lvs_method TUN type gue port 6080 remcsum"),
    method(1010, "lvs_method NAT", inside="lvs_method DR"),
    method(1011, "lvs_method DR", inside="lvs_method TUN type gue port 7000 nocsum"),
    bare(f"{VIRTUAL} 1012", ("10.5.0.11 8080", "10.5.0.12"), "lb_algo rr\n lb_kind NAT\n protocol TCP"),
    bare(f"{VIRTUAL} 1013", ("10.5.0.11 8080",), "lb_algo rr\n lb_kind DR\n protocol TCP"),
))  # fmt: skip
_PERSISTENT = text(
    method(2001, "persistence_timeout"),
    method(2002, "persistence_timeout 77"),
    method(2003, "persistence_timeout 50\n persistence_granularity 255.255.255.0"),
    method(2004, "persistence_timeout 60\n persistence_engine sip", "UDP"),
    bare(
        "fd05::1 80", SIX, "lb_algo rr\n persistence_timeout 40\n persistence_granularity 64\n protocol TCP"
    ),
    bare(f"{VIRTUAL} 0", ("10.5.0.11 0",), "lb_algo rr\n lb_kind DR\n protocol TCP"),
    bare("fwmark 9", ("10.5.0.11 0",), "lb_algo rr\n lb_kind DR\n persistence_timeout 33"),
)
_PROTOCOLS = text(
    bare(f"{VIRTUAL} 80", FOUR, "lb_algo rr\n protocol TCP"),
    bare(f"{VIRTUAL} 80", FOUR, "lb_algo rr\n protocol UDP\n ops"),
    bare(f"{VIRTUAL} 80", FOUR, "lb_algo rr\n protocol SCTP"),
    bare(f"{VIRTUAL} 81", FOUR, "lb_algo rr"),
    bare("fd05::1 80", SIX, "lb_algo wlc\n protocol TCP"),
    bare("fd05::1 80", SIX, "lb_algo rr\n protocol UDP\n ops"),
    bare("fd05::1 80", SIX, "lb_algo rr\n protocol SCTP\n lb_kind TUN"),
)
_MARKS = "".join((
    bare("fwmark 7", FOUR, "lb_algo wrr\n lb_kind NAT"),
    bare("fwmark 8", SIX, "lb_algo wrr\n lb_kind NAT\n ip_family inet6"),
    bare("fwmark 8", FOUR, "lb_algo rr\n lb_kind NAT\n ip_family inet"),
    bare("fwmark 10", ("10.5.0.11 0", "10.5.0.12 0"), "lb_algo wrr\n lb_kind DR"),
    bare("fwmark 11", FOUR, "lb_algo wrr\n lb_kind DR"),
))  # fmt: skip
_GROUPS = text(
    group("many", "10.5.0.20-22 91", "10.5.0.30 92", "10.5.1.0/30 93", "fwmark 21", "fwmark 22"),
    group("six", "fd05::20-22 91", "fd05::30 92"),
    group("shared", "10.5.0.40 94", "10.5.0.41 94"),
    group("both", "10.5.0.50 95", "fd05::50 95"),
    bare("group many", FOUR, "lb_algo rr\n lb_kind NAT\n protocol TCP"),
    bare("group six", SIX, "lb_algo rr\n lb_kind NAT\n protocol TCP"),
    bare("group shared", FOUR, "lb_algo rr\n lb_kind NAT\n protocol TCP"),
    bare("group shared", FOUR, "lb_algo rr\n lb_kind NAT\n protocol UDP\n ops"),
    bare("group both", ("10.5.0.11 95", "fd05::11 95"), "lb_algo rr\n lb_kind TUN\n protocol TCP"),
)
_WEIGHTS = text(
    f"virtual_server {VIRTUAL} 80 {{\n lb_algo wlc\n protocol TCP\n weight 4\n quorum 3\n"
    " real_server 10.5.0.11 80 {\n weight 0\n }\n real_server 10.5.0.12 80 {\n }\n"
    " real_server 10.5.0.13 80 {\n weight 65535\n uthreshold 500\n lthreshold 100\n }\n"
    " real_server 10.5.0.14 80 {\n weight 2\n uthreshold 9\n }\n}\n"
)
_ODD = text(
    bare(f"{VIRTUAL} 80", (*FOUR, "10.5.0.11 80"), "lb_algo rr\n protocol TCP\n quorum 9\n hysteresis 12"),
    bare(f"{VIRTUAL} 81", FOUR, "protocol TCP\n ops"),
    bare(f"{VIRTUAL} 82", (), "lb_algo rr\n protocol TCP"),
    bare(f"{VIRTUAL} 83", FOUR, "lb_algo nonsense\n protocol TCP"),
    f"virtual_server {VIRTUAL} 84 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n sorry_server 10.5.0.99 8080\n"
    " sorry_server_inhibit\n real_server 10.5.0.11 84 {\n }\n}\n",
    f"virtual_server {VIRTUAL} 85 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n alpha\n sorry_server 10.5.0.99 8080\n"
    " sorry_server_lvs_method TUN type gue port 6080\n real_server 10.5.0.11 84 {\n }\n}\n",
)
_FOREIGN = (
    "ipvsadm -A -t 10.5.0.77:7 -s rr",
    "ipvsadm -a -t 10.5.0.77:7 -r 10.5.0.78:7 -m -w 5",
    f"ipvsadm -A -t {VIRTUAL}:80 -s lc -p 11",
    f"ipvsadm -a -t {VIRTUAL}:80 -r 10.5.0.12:80 -g -w 9",
)
_PLAIN = bare(f"{VIRTUAL} 80", FOUR, "lb_algo rr\n lb_kind NAT\n protocol TCP") + bare(
    f"{VIRTUAL} 81", FOUR, "lb_algo rr\n lb_kind NAT\n protocol TCP"
)
_OMEGA = bare(
    f"{VIRTUAL} 80",
    FOUR,
    f'lb_algo rr\n lb_kind NAT\n protocol TCP\n omega\n quorum_down "{NOTE} down"\n quorum_up "{NOTE} up"',
    f'notify_up "{NOTE} server up"\n notify_down "{NOTE} server down"',
)
_VRRP = (
    "vrrp_instance VI {\n state MASTER\n interface eth0\n virtual_router_id 7\n advert_int 1\n"
    " priority 200\n virtual_ipaddress {\n 10.5.0.200\n }\n}\n"
)
_PLACES = ("10.5.0.2", *V6_HOME)


def foreign(name: str, more: str, last: Step | None = None, *, options: tuple[str, ...] = ()) -> Play:
    """The table is not empty at the start: two services are there, one of them called as ours is."""
    begin = Step("started", (Start(0, options),), still()[0].until)
    end = last or Step("stopped", (Stop(),))
    return Play(name, (text(_PLAIN, more=more),), (begin, end), addresses=_PLACES, before=_FOREIGN)


PLAYS = (
    Play(
        "ten schedulers and newer ones",
        (schedulers((*CLASSIC, "fo", "ovf", *HASHES)),),
        still(),
        addresses=_PLACES,
    ),
    Play("forwarding and persistence", (_PERSISTENT + _METHODS,), still(), addresses=_PLACES),
    Play("protocols, families, marks", (_PROTOCOLS + _MARKS,), still(), addresses=_PLACES),
    Play("groups", (_GROUPS,), still(), addresses=_PLACES),
    Play("weights and thresholds", (_WEIGHTS,), still(LIMITS), addresses=_PLACES),
    Play("oddities", (_ODD,), still(), addresses=_PLACES),
    Play(
        "time limits",
        (text(_PLAIN, more="lvs_timeouts tcp 111 tcpfin 22 udp 33"),),
        still(TIMEOUTS),
        addresses=_PLACES,
    ),
    Play(
        "sync daemon of its own",
        (text(_PLAIN, more="lvs_sync_daemon eth0 id 5 maxlen 1400 port 8849 ttl 3 group 224.0.0.99"),),
        still(SYNC),
        addresses=_PLACES,
    ),
    Play(
        "sync daemon of an instance",
        (text(_VRRP, _PLAIN, more="lvs_sync_daemon eth0 VI id 6\n vrrp_garp_master_delay 0"),),
        (
            Step("started", (Start(),), looks=(SYNC,), shows=(SYNC, "master sync"), within_s=60),
            Step("stopped", (Stop(),), services(0), looks=(SYNC,)),
        ),
        addresses=_PLACES,
    ),
    foreign("services of others", ""),
    foreign("flush at the start", "lvs_flush"),
    foreign("flush at the end", "lvs_flush_on_stop"),
    foreign("flush each service at the end", "lvs_flush_on_stop VS"),
    foreign("nothing released", "", options=("-I",)),
    Play("omega", (text(_OMEGA),), still(), addresses=_PLACES),
    Play(
        "omega and flush of services",
        (text(_OMEGA, more="lvs_flush_on_stop VS"),),
        still(),
        addresses=_PLACES,
    ),
    Play("omega and flush", (text(_OMEGA, more="lvs_flush_on_stop"),), still(), addresses=_PLACES),
    Play("first news of servers", (text(_OMEGA, more="rs_init_notifies"),), still(), addresses=_PLACES),
)
