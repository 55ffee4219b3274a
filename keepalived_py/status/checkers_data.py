"""The part about virtual servers of keepalived's dump `keepalived_check.data` (SIGUSR1).

Lines and their order are the newest keepalived's.  What only shows the inner
workings of the C program (flags of a reload, the weight before the present one,
reference counts) has nothing here that it could show, and a check without timers
has no lines about them.  The result of the last run of each check is ours.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from time import ctime
from typing import assert_never

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.names import address_text, server_name, sorry_name, target_label
from keepalived_py.core.checks.pool import Pool, ServerState, is_present
from keepalived_py.core.checks.services import real_weight
from keepalived_py.core.checks.view import View
from keepalived_py.model import checks as kinds
from keepalived_py.model.check_events import CheckResult, Target
from keepalived_py.model.checks import Check
from keepalived_py.model.config import Configuration
from keepalived_py.model.scripts import Command
from keepalived_py.model.virtual_server import (
    AddressRange,
    Forwarding,
    ForwardingMethod,
    GroupEntry,
    Protocol,
    RealServer,
    Scheduler,
    ServerGroup,
    TunnelChecksum,
    TunnelType,
    VirtualServer,
)

FILE = "keepalived_check.data"
_IPVS_VERSION = "1.2.1"
_NOWHERE = ip_address("0.0.0.0")
_CHECKSUMS = {
    TunnelChecksum.NONE: ", no checksum",
    TunnelChecksum.FULL: ", checksum",
    TunnelChecksum.REMOTE: ", remote checksum",
}
_HASHING = {Scheduler.SOURCE_HASHING: "sh", Scheduler.MAGLEV_HASHING: "mh"}


def check_data(configuration: Configuration, view: View, wall_clock_s: float) -> str:
    """The text of the file.  `wall_clock_s`: the time of day (since 1970) at `view.now`."""
    lines: list[str] = []
    if configuration.ssl is not None:
        lines += ["------< SSL definitions >------", *_ssl(configuration)]
    if view.pools:
        lines += ["------< LVS Topology >------", f" System is compiled with LVS v{_IPVS_VERSION}"]
        for group in configuration.server_groups:
            lines += _group(group, view.pools)
        for pool in view.pools:
            lines += _virtual(pool)
            for index in range(len(pool.servers)):
                lines += _real(pool, index)
    lines.append("------< Health checkers >------")
    began_s = wall_clock_s - view.now / SECOND
    for number, pool in enumerate(view.pools):
        for index in range(len(pool.servers)):
            for checking in view.checks_of(number, index):
                lines += _check(pool, checking, began_s)
    lines += _files(configuration, view)
    lines += _sessions(view)
    return "\n".join(lines) + "\n"


def _ssl(configuration: Configuration) -> Iterator[str]:
    settings = configuration.ssl
    if not any((settings.password, settings.ca, settings.certificate, settings.key)):
        yield " Using autogen SSL context"
        return
    if settings.password:
        yield f" Password : {'*' * len(settings.password)}"
    if settings.ca:
        yield f" CA-file : {settings.ca}"
    if settings.certificate:
        yield f" Certificate file : {settings.certificate}"
    if settings.key:
        yield f" Key file : {settings.key}"


# -- groups -------------------------------------------------------------------------


def _group(group: ServerGroup, pools: Sequence[Pool]) -> Iterator[str]:
    families = {family for entry in group.entries if (family := _family(entry)) is not None}
    yield " ------< Virtual server group >------"
    yield (
        f" Virtual Server Group = {group.name}, IPv4 = {_yes(4 in families)}, IPv6 = {_yes(6 in families)}"
    )
    users = [pool for pool in pools if pool.settings.group == group.name and pool.present]
    ranges = [entry for entry in group.entries if isinstance(entry, AddressRange)]
    for entry in ranges:
        yield from _range(entry, users)
    for mark in group.entries:
        if not isinstance(mark, AddressRange):
            yield f"   FWMARK = {mark.mark}" + ("" if mark.family is None else f" IPv{mark.family}")
            alive = [sum(_has_mark(pool, mark.mark, one) for pool in users) for one in (4, 6)]
            yield f"     Alive: {alive[0]} IPv4, {alive[1]} IPv6"


def _family(entry: GroupEntry) -> int | None:
    return entry.first.version if isinstance(entry, AddressRange) else entry.family


def _range(entry: AddressRange, users: Sequence[Pool]) -> Iterator[str]:
    if entry.first == entry.last:
        yield f"   VIP = {address_text(entry.first)}, VPORT = {entry.port}"
    else:
        ends = f"{address_text(entry.first)}-{address_text(entry.last)}"
        yield f"   VIP Range = {ends}, VPORT = {entry.port}"
    alive = [
        sum(pool.settings.protocol is protocol for pool in users)
        for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
    ]
    yield f"     Alive: {alive[0]} tcp, {alive[1]} udp, {alive[2]} sctp"


def _has_mark(pool: Pool, mark: int, family: int) -> bool:
    return any(service.mark == mark and service.family == family for service in pool.services)


# -- virtual servers -----------------------------------------------------------------


def _virtual(pool: Pool) -> Iterator[str]:
    settings = pool.settings
    yield " ------< Virtual server >------"
    if settings.group is not None:
        yield f" VS GROUP = {pool.name}"
    elif settings.mark is not None:
        yield f" VS FWMARK = {settings.mark}"
    else:
        yield f" VS VIP = {address_text(settings.address or _NOWHERE)}, VPORT = {settings.port}"
    if settings.virtualhost is not None:
        yield f"   VirtualHost = {settings.virtualhost}"
    if settings.snmp_name is not None:
        yield f"   SNMP name = '{settings.snmp_name}'"
    yield f"   Address family = {_family_text(pool)}"
    yield f"   connection timeout = {_seconds(settings.connect_timeout_us)}"
    yield f"   delay_loop = {_seconds(settings.delay_loop_us)}"
    yield from _scheduling(settings)
    yield f"   protocol = {'none' if settings.protocol is None else settings.protocol.value}"
    yield f"   alpha is {_on(settings.alpha)}"
    yield f"   omega is {_on(settings.omega)}"
    yield from _timers(settings)
    yield f"   Inhibit on failure is {_on(settings.inhibit_on_failure)}"
    yield f"   quorum = {settings.quorum}, hysteresis = {settings.hysteresis}"
    yield from _script("Quorum up", settings.quorum_up)
    yield from _script("Quorum down", settings.quorum_down)
    if settings.ha_suspend:
        yield "   Using HA suspend"
    yield f"   Using smtp notification = {_yes(settings.smtp_alert)}"
    yield _method("default ", settings.method)
    yield from _sorry(pool)
    yield f"   VS alive = {int(pool.present)}"
    yield f"   quorum_state_up = {int(pool.quorum_up)}"


def _family_text(pool: Pool) -> str:
    family = pool.settings.family
    if family is not None:
        return "inet" if family == 4 else "inet6"
    both = {service.family for service in pool.services} == {4, 6}
    return "IPv4 & IPv6" if both else "unknown"


def _scheduling(settings: VirtualServer) -> Iterator[str]:
    yield f"   lvs_sched = {settings.scheduler.value}"
    yield "   Hashed = disabled"
    hashing = _HASHING.get(settings.scheduler)
    if hashing is not None:
        yield f"   {hashing}-port = {_abled(settings.flag_2)}"
        yield f"   {hashing}-fallback = {_abled(settings.flag_1)}"
    else:
        for number, flag in enumerate((settings.flag_1, settings.flag_2, settings.flag_3), 1):
            yield f"   flag-{number} = {_abled(flag)}"
    inactive = settings.one_packet and settings.protocol is not Protocol.UDP
    yield (
        f"   One packet scheduling = {_abled(settings.one_packet)}"
        f"{' (inactive due to not UDP)' if inactive else ''}"
    )
    if settings.persistence_timeout_s:
        yield f"   persistence timeout = {settings.persistence_timeout_s}"
    if settings.persistence_granularity is not None:
        yield f"   persistence granularity = {settings.persistence_granularity}"


def _sorry(pool: Pool) -> Iterator[str]:
    sorry = pool.settings.sorry_server
    if sorry is None:
        return
    twin = "(duplicates rs) " if pool.twin is not None else ""
    yield f"   sorry server {twin}= {sorry_name(pool.settings)}"
    yield _method("  ", sorry.method)
    yield f"     Inhibit on failure is {_on(sorry.inhibit)}"
    yield f"     set = {int(pool.sorry_present)}"
    yield f"     alive = {int(pool.sorry_alive)}"


# -- real servers ---------------------------------------------------------------------


def _real(pool: Pool, index: int) -> Iterator[str]:
    state = pool.servers[index]
    settings = state.settings
    yield "   ------< Real server >------"
    yield (
        f"   RIP = {address_text(settings.address)}, RPORT = {settings.port},"
        f" WEIGHT = {real_weight(state.weight)} EFF WEIGHT = {state.weight}"
    )
    yield _method("", settings.method)
    yield f"   Alpha is {_on(settings.alpha)}"
    yield f"   connection timeout = {_seconds(settings.connect_timeout_us)}"
    yield f"   connection limit range = {settings.lower_threshold} -> {settings.upper_threshold}"
    yield f"   Delay loop = {_seconds(settings.delay_loop_us)}"
    yield from _timers(settings)
    yield f"   Inhibit on failure is {_on(settings.inhibit_on_failure)}"
    yield from _script("RS up", settings.notify_up)
    yield from _script("RS down", settings.notify_down)
    if settings.virtualhost is not None:
        yield f"    VirtualHost = '{settings.virtualhost}'"
    if settings.snmp_name is not None:
        yield f"   SNMP name = {settings.snmp_name}"
    yield f"   Using smtp notification = {_yes(settings.smtp_alert)}"
    yield f"   initial weight = {settings.weight}"
    yield f"   effective weight = {state.weight}"
    yield f"   alive = {int(state.alive)}"
    yield f"   num failed checkers = {state.failed}"
    yield f"   RS set = {int(is_present(pool, index))}"
    files = [check for check in settings.checks if isinstance(check, kinds.FileCheck)]
    if files:
        yield "   Tracked Files"
        yield from (f"     {check.track_file}, weight {_weight(check.weight)}" for check in files)
    sessions = [check.name for check in settings.checks if isinstance(check, kinds.BfdCheck)]
    if sessions:
        yield "   Tracked BFDs"
        yield from (f"     {name}" for name in sessions)


def _timers(settings: VirtualServer | RealServer) -> Iterator[str]:
    if settings.retry is not None:
        yield f"   Retry count = {settings.retry}"
    if settings.delay_before_retry_us is not None:
        yield f"   Retry delay = {_seconds(settings.delay_before_retry_us)}"
    if settings.warmup_us is not None:
        yield f"   Warmup = {_seconds(settings.warmup_us)}"


def _script(which: str, command: Command | None) -> Iterator[str]:
    if command is not None:
        yield f"   {which} notify script = {_quoted(command)}, uid:gid {command.uid}:{command.gid}"


def _method(prefix: str, method: ForwardingMethod) -> str:
    forwarding = f"   {prefix}forwarding method = "
    match method.forwarding:
        case Forwarding.NAT | Forwarding.DIRECT:
            return f"{forwarding}{method.forwarding.value}"
        case Forwarding.TUNNEL:
            return f"{forwarding}TUN, type = {_tunnel(method)}"
        case _:
            assert_never(method.forwarding)


def _tunnel(method: ForwardingMethod) -> str:
    match method.tunnel:
        case TunnelType.IPIP:
            return "IPIP"
        case TunnelType.GUE:
            return f"GUE, port = {method.port}{_CHECKSUMS[method.checksum]}"
        case TunnelType.GRE:
            return f"GRE{_CHECKSUMS[method.checksum]}"
        case _:
            assert_never(method.tunnel)


# -- checks --------------------------------------------------------------------------


def _check(pool: Pool, checking: Checking, began_s: float) -> Iterator[str]:
    check = checking.check
    yield f" {pool.name} -> {target_label(checking.target, pool.settings)}"
    yield f"   Enabled = {_yes(checking.enabled)}"
    yield f"   Up = {_yes(checking.is_up)}"
    yield f"   Has run = {_yes(checking.has_run)}"
    yield f"   Current weight = {checking.share}"
    if isinstance(check, kinds.ScheduledCheck):
        yield from _schedule(check, checking.attempt)
    if isinstance(check, kinds.ConnectedCheck):
        yield from _connection(check, checking.target)
    yield from _kind(check)
    if isinstance(check, kinds.WebCheck) and checking.failed_part is not None:
        yield f"   Failed URL = {check.urls[checking.failed_part].path}"
    if checking.last is not None and checking.last_at is not None:
        yield from _last(checking.last, began_s + checking.last_at / SECOND)


def _schedule(check: kinds.ScheduledCheck, attempts: int) -> Iterator[str]:
    yield f"   Alpha = {_yes(check.alpha)}"
    yield f"   Delay loop = {check.delay_loop_us} us"
    yield f"   Warmup = {check.warmup_us} us"
    yield f"   Retries = {check.retry}"
    if check.retry:
        yield f"   Delay before retry = {check.delay_before_retry_us} us"
        yield f"   Retries iterations = {attempts}"
    yield f"   Default delay before retry = {_default_delay(check)} us"
    yield f"   Log all failures = {_yes(check.log_all_failures)}"


def _default_delay(check: kinds.ScheduledCheck) -> int:
    """What a check of this kind waits if nothing is configured; 0: as long as between two runs."""
    if isinstance(check, kinds.DnsCheck):
        return 0
    return 3 * SECOND if isinstance(check, kinds.WebCheck) else SECOND


def _connection(check: kinds.ConnectedCheck, target: Target) -> Iterator[str]:
    yield "   Connection"
    yield f"     Dest = [{address_text(target.address)}]:{target.port}"
    if check.source_ip is not None:
        yield f"     Bind to = [{address_text(check.source_ip)}]:{check.source_port or 0}"
    if check.source_interface is not None:
        yield f"     Bind i/f = {check.source_interface}"
    if check.mark:
        yield f"     Mark = {check.mark}"
    yield f"     Timeout = {_seconds(check.connect_timeout_us)}"


def _kind(check: Check) -> Iterable[str]:
    match check:
        case kinds.TcpCheck():
            return ("   Keepalive method = TCP_CHECK",)
        case kinds.PingCheck():
            return ("   Keepalive method = PING_CHECK",)
        case kinds.WebCheck():
            return _web(check)
        case kinds.SmtpCheck():
            return ("   Keepalive method = SMTP_CHECK", f"   helo = {check.helo_name}")
        case kinds.DnsCheck():
            return (
                "   Keepalive method = DNS_CHECK",
                f"   Type = {check.query_type.name}",
                f"   Name = {check.name}",
            )
        case kinds.UdpCheck():
            return _udp(check)
        case kinds.MiscCheck():
            return _misc(check)
        case kinds.FileCheck():
            return ("   Keepalive method = FILE_CHECK", f"     Tracked file = {check.track_file}")
        case kinds.BfdCheck():
            return (
                "   Keepalive method = BFD_CHECK",
                f"   Name = {check.name}",
                f"   Alpha is {_on(check.alpha)}",
            )
        case _:
            raise AssertionError(f"{check} is a kind of check that has no lines")


def _web(check: kinds.WebCheck) -> Iterator[str]:
    secure = isinstance(check, kinds.SslGet)
    yield (
        f"   Keepalive method = {'SSL' if secure else 'HTTP'}_GET, http protocol {check.http_version.value}"
    )
    if check.virtualhost is not None:
        yield f"   Virtualhost = {check.virtualhost}"
    yield f"   Enable SNI {_set(check.enable_sni)}"
    if check.sni_name is not None:
        yield f"     SNI name = {check.sni_name}"
    yield f"   Fast recovery {_set(check.fast_recovery)}"
    if isinstance(check, kinds.SslGet):
        yield f"   tls_compliant {_set(check.tls_compliant)}"
    for url in check.urls:
        yield from _url(url, secure)


def _url(url: kinds.Url, secure: bool) -> Iterator[str]:
    yield f"   Checked url = {url.path}"
    if url.digest is not None:
        yield f"     digest = {url.digest.hex()}"
    if secure:
        yield f"     tls_compliant {_set(url.tls_compliant)}"
    yield "     HTTP Status Code(s)"
    for codes in url.status_codes:
        yield f"       {codes.low}" if codes.low == codes.high else f"       {codes.low}-{codes.high}"
    if url.virtualhost is not None:
        yield f"     Virtual host = {url.virtualhost}"
    if url.regex is not None:
        yield from _regex(url, url.regex)


def _regex(url: kinds.Url, pattern: str) -> Iterator[str]:
    yield f'     Regex = "{pattern}"'
    if url.regex_no_match:
        yield "     Regex no match"
    if url.regex_max_offset is not None:
        yield f"     Regex min offset = {url.regex_min_offset}, max_offset = {url.regex_max_offset}"
    elif url.regex_min_offset:
        yield f"     Regex min offset = {url.regex_min_offset}"
    yield "     Regex options:" + "".join(f" {option}" for option in url.regex_options)
    if url.regex_stack is not None:
        yield f"     Regex stack start {url.regex_stack.start}, max {url.regex_stack.maximum}"


def _udp(check: kinds.UdpCheck) -> Iterator[str]:
    yield "   Keepalive method = UDP_CHECK"
    if check.payload is None:
        yield "   Payload specified = no"
    else:
        yield f"   Payload len = {len(check.payload)}"
    yield f"   Require reply = {_yes(check.reply is not None)}"
    if check.reply is not None:
        yield f"     Min reply length = {check.min_reply_length}"
        yield f"     Max reply length = {check.max_reply_length}"
        yield f"     Reply data len = {len(check.reply.data)}"
        if check.reply.data:
            yield f"     Reply data mask = {_yes(any(check.reply.mask))}"


def _misc(check: kinds.MiscCheck) -> Iterator[str]:
    yield "   Keepalive method = MISC_CHECK"
    yield f"   script = {_quoted(check.command)}"
    yield f"   timeout = {check.timeout_us // SECOND}"
    yield f"   dynamic = {'YES' if check.dynamic else 'NO'}"
    yield f"   uid:gid = {check.command.uid}:{check.command.gid}"


def _last(result: CheckResult, at_s: float) -> Iterator[str]:
    code = "" if result.code is None else f", code {result.code}"
    text = f": {result.text}" if result.text else ""
    seconds, micros = divmod(round(at_s * SECOND), SECOND)
    yield f"   Last ran = {seconds}.{micros:06} ({ctime(seconds)}.{micros:06})"
    yield f"   Last result = {'good' if result.good else 'bad'} ({result.ending.value}{code}){text}"
    yield f"   Last duration = {result.took_us} us"


# -- what others tell ------------------------------------------------------------------


def _files(configuration: Configuration, view: View) -> list[str]:
    trackers: dict[str, list[str]] = {}
    values: dict[str, int] = {}
    for pool, server, checking in _checkings(view):
        check = checking.check
        if isinstance(check, kinds.FileCheck):
            line = f"{_tracker(pool, server)}, weight {_weight(check.weight)}"
            trackers.setdefault(check.track_file, []).append(line)
            values[check.track_file] = checking.value
    lines: list[str] = []
    for file in configuration.track_files:
        if file.name in trackers:
            reverse = " reverse" if file.reverse else ""
            lines += [f" Track file = {file.name}", f"   File = {file.path}"]
            lines += [f"   Status = {values[file.name]}", f"   Weight = {file.weight}{reverse}"]
            lines += ["   Tracking instances :", *trackers[file.name]]
    return ["------< Checker track files >------", *lines] if lines else []


def _sessions(view: View) -> list[str]:
    trackers: dict[str, list[str]] = {}
    for pool, server, checking in _checkings(view):
        if isinstance(checking.check, kinds.BfdCheck):
            trackers.setdefault(checking.check.name, []).append(_tracker(pool, server))
    lines = [
        line
        for name, servers in trackers.items()
        for line in (f" Checker Track BFD = {name}", "   Tracking RS :", *servers)
    ]
    return ["------< Checker track BFDs >------", *lines] if lines else []


def _tracker(pool: Pool, server: ServerState) -> str:
    return f"     {pool.name} -> {server_name(pool.settings, server.settings)}"


def _checkings(view: View) -> Iterator[tuple[Pool, ServerState, Checking]]:
    for number, pool in enumerate(view.pools):
        for index, server in enumerate(pool.servers):
            for checking in view.checks_of(number, index):
                yield pool, server, checking


# -- words ------------------------------------------------------------------------------


def _weight(weight: kinds.FileWeight) -> str:
    return f"{weight.value}{' reverse' if weight.reverse else ''}"


def _quoted(command: Command) -> str:
    """Each word in apostrophes, one inside a word as the shell wants it."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in command.argv)


def _seconds(duration_us: Micros) -> str:
    seconds, micros = divmod(duration_us, SECOND)
    return f"{seconds}.{micros:06}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _on(value: bool) -> str:
    return "ON" if value else "OFF"


def _abled(value: bool) -> str:
    return "enabled" if value else "disabled"


def _set(value: bool) -> str:
    return "set" if value else "unset"
