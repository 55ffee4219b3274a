"""The dump of virtual servers, against what keepalived writes for the same configuration."""

from collections.abc import Iterable
from pathlib import Path

from keepalived_py.base.clock import Micros
from keepalived_py.base.record import replace
from keepalived_py.config.load import load
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks import schedule
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.names import places_in_groups, server_name
from keepalived_py.core.checks.orders import Orders
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.view import View
from keepalived_py.model.check_events import CheckResult, Ending
from keepalived_py.model.checks import HttpGet, MiscCheck
from keepalived_py.model.config import Configuration
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.model.scripts import Command
from keepalived_py.status.checkers_data import check_data
from tests.config.fake_host import FakeHost

NOW = Micros(50_000_000)


def configured(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=FakeHost()).configuration


def viewed(configuration: Configuration, result: CheckResult | None = None) -> View:
    """All virtual servers right after the start."""
    made: list[Pool] = []
    groups = {group.name: group for group in configuration.server_groups}
    places = places_in_groups(configuration.virtual_servers)
    for place, virtual in zip(places, configuration.virtual_servers, strict=True):
        failed = [0] * len(virtual.real_servers)
        pool = pools.begun(virtual, groups.get(virtual.group), place, failed, configuration.globals)
        made.append(pools.initialised(pool, []))

    def checks_of(virtual: int, server: int) -> Iterable[Checking]:
        pool = made[virtual]
        settings = pool.servers[server].settings
        for number, check in enumerate(settings.checks):
            label = server_name(pool.settings, settings)
            checking = schedule.begun(number, check, settings, label, pool.name, NOW, 0.0)
            at = None if result is None else Micros(NOW - 1_500_000)
            yield checking._replace(has_run=True, attempt=0, last=result, last_at=at)

    return View(tuple(made), checks_of, Orders(), NOW)


def dumped(tmp_path: Path, text: str, result: CheckResult | None = None) -> list[str]:
    configuration = configured(tmp_path, text)
    return check_data(configuration, viewed(configuration, result), 1_000_000.0).splitlines()


DNS = """virtual_server 10.5.0.1 53 {
    delay_loop 2
    lvs_sched wrr
    lvs_method NAT
    protocol UDP
    real_server 10.5.0.11 53 {
        DNS_CHECK {
            name .
        }
    }
}
"""

# As keepalived writes it; lines about its own inner workings are left out.
DNS_DUMP = """------< LVS Topology >------
 System is compiled with LVS v1.2.1
 ------< Virtual server >------
 VS VIP = 10.5.0.1, VPORT = 53
   Address family = inet
   connection timeout = 5.000000
   delay_loop = 2.000000
   lvs_sched = wrr
   Hashed = disabled
   flag-1 = disabled
   flag-2 = disabled
   flag-3 = disabled
   One packet scheduling = disabled
   protocol = UDP
   alpha is OFF
   omega is OFF
   Inhibit on failure is OFF
   quorum = 1, hysteresis = 0
   Using smtp notification = no
   default forwarding method = NAT
   VS alive = 1
   quorum_state_up = 1
   ------< Real server >------
   RIP = 10.5.0.11, RPORT = 53, WEIGHT = 1 EFF WEIGHT = 1
   forwarding method = NAT
   Alpha is OFF
   connection timeout = 5.000000
   connection limit range = 0 -> 0
   Delay loop = 2.000000
   Inhibit on failure is OFF
   Using smtp notification = yes
   initial weight = 1
   effective weight = 1
   alive = 1
   num failed checkers = 0
   RS set = 1
------< Health checkers >------
 [10.5.0.1]:udp:53 -> [10.5.0.11]:udp:53
   Enabled = yes
   Up = yes
   Has run = yes
   Current weight = 0
   Alpha = no
   Delay loop = 2000000 us
   Warmup = 2000000 us
   Retries = 3
   Delay before retry = 2000000 us
   Retries iterations = 0
   Default delay before retry = 0 us
   Log all failures = no
   Connection
     Dest = [10.5.0.11]:53
     Timeout = 5.000000
   Keepalive method = DNS_CHECK
   Type = SOA
   Name = .
"""


def test_as_keepalived_writes_it(tmp_path: Path) -> None:
    assert dumped(tmp_path, DNS) == DNS_DUMP.splitlines()


def test_without_virtual_servers() -> None:
    view = View((), lambda virtual, server: (), Orders(), NOW)
    assert check_data(Configuration(), view, 0.0) == "------< Health checkers >------\n"


EVERYTHING = """static_ipaddress {
}
track_file weights {
    file /run/weight
}
bfd_instance peer {
    neighbor_ip 10.9.0.1
}
virtual_server_group web {
    10.5.0.1 80
    10.5.0.4-6 80
    fwmark 7
}
virtual_server group web {
    lvs_sched sh
    sh-port
    lvs_method TUN type gue port 6080 csum
    protocol TCP
    persistence_timeout 60
    quorum 2
    hysteresis 1
    sorry_server 10.5.0.99 80
    real_server 10.5.0.11 80 {
        weight 5
        inhibit_on_failure
        uthreshold 9
        HTTP_GET {
            url {
                path /a
                digest 9b3a0c85a887a256d6939da88aabd8cd
                status_code 200-204 404
            }
            connect_port 8080
            bindto 10.5.0.2
            connect_timeout 3
        }
        FILE_CHECK {
            track_file weights
            weight 2
        }
        BFD_CHECK {
            name peer
        }
    }
    real_server 10.5.0.12 80 {
        UDP_CHECK {
            payload 00ff
            require_reply 6b
        }
    }
}
"""


def test_every_part(tmp_path: Path) -> None:
    """Groups, tunnels, hashing, sorry servers, kinds of checks, what is tracked: each has its lines."""
    lines = dumped(tmp_path, EVERYTHING)
    in_order = """ ------< Virtual server group >------
 Virtual Server Group = web, IPv4 = yes, IPv6 = no
   VIP = 10.5.0.1, VPORT = 80
     Alive: 1 tcp, 0 udp, 0 sctp
   VIP Range = 10.5.0.4-10.5.0.6, VPORT = 80
   FWMARK = 7
     Alive: 1 IPv4, 0 IPv6
 VS GROUP = [web]:0
   lvs_sched = sh
   sh-port = enabled
   sh-fallback = disabled
   persistence timeout = 60
   quorum = 2, hysteresis = 1
   default forwarding method = TUN, type = GUE, port = 6080, checksum
   sorry server = [10.5.0.99]:tcp:80
     set = 0
   RIP = 10.5.0.11, RPORT = 80, WEIGHT = 5 EFF WEIGHT = 5
   forwarding method = TUN, type = GUE, port = 6080, checksum
   connection limit range = 0 -> 9
   Inhibit on failure is ON
   Tracked Files
     weights, weight 2
   Tracked BFDs
     peer
 [web]:0 -> [10.5.0.11]:tcp:8080
     Dest = [10.5.0.11]:8080
     Bind to = [10.5.0.2]:0
     Timeout = 3.000000
   Keepalive method = HTTP_GET, http protocol 1.0
   Checked url = /a
     digest = 9b3a0c85a887a256d6939da88aabd8cd
       200-204
       404
   Keepalive method = FILE_CHECK
     Tracked file = weights
   Keepalive method = BFD_CHECK
   Name = peer
   Keepalive method = UDP_CHECK
   Payload len = 2
     Reply data len = 1
------< Checker track files >------
 Track file = weights
   File = /run/weight
     [web]:0 -> [10.5.0.11]:tcp:80, weight 2
------< Checker track BFDs >------
 Checker Track BFD = peer
     [web]:0 -> [10.5.0.11]:tcp:80""".splitlines()
    position = 0
    for wanted in in_order:
        assert wanted in lines[position:], wanted
        position += lines[position:].index(wanted) + 1


def test_the_last_result(tmp_path: Path) -> None:
    result = CheckResult(False, Ending.WRONG, 503, "503 Service Unavailable", took_us=Micros(1234))
    lines = dumped(tmp_path, DNS, result)
    assert lines[-3].startswith("   Last ran = 999998.500000 (") and lines[-3].endswith(".500000)")
    assert lines[-2:] == [
        "   Last result = bad (wrong answer, code 503): 503 Service Unavailable",
        "   Last duration = 1234 us",
    ]


def test_the_password_is_not_shown() -> None:
    ssl = SslSettings(password="hush", ca="/ca.pem")
    view = View((), lambda virtual, server: (), Orders(), NOW)
    text = check_data(Configuration(ssl=ssl), view, 0.0)
    assert " Password : ****\n CA-file : /ca.pem\n" in text and "hush" not in text
    assert " Using autogen SSL context\n" in check_data(Configuration(ssl=SslSettings()), view, 0.0)


def test_every_kind_has_lines(tmp_path: Path) -> None:
    """Also one whose settings are all at their defaults."""
    configuration = configured(tmp_path, DNS)
    virtual = configuration.virtual_servers[0]
    server = replace(virtual.real_servers[0], checks=(HttpGet(),))
    changed = replace(configuration, virtual_servers=(replace(virtual, real_servers=(server,)),))
    text = check_data(changed, viewed(changed), 0.0)
    assert "   Keepalive method = HTTP_GET, http protocol 1.0\n   Enable SNI unset\n" in text


def test_scripts(tmp_path: Path) -> None:
    """Each word in apostrophes, so that it can be told from its neighbours."""
    configuration = configured(tmp_path, DNS)
    virtual = configuration.virtual_servers[0]
    command = Command(("/bin/echo", "it's up"), 7, 8)
    server = replace(
        virtual.real_servers[0], checks=(MiscCheck(command=command, dynamic=True),), notify_down=command
    )
    changed = replace(
        configuration, virtual_servers=(replace(virtual, quorum_up=command, real_servers=(server,)),)
    )
    lines = check_data(changed, viewed(changed), 0.0).splitlines()
    words = "'/bin/echo' 'it'\\''s up'"
    assert f"   Quorum up notify script = {words}, uid:gid 7:8" in lines
    assert f"   RS down notify script = {words}, uid:gid 7:8" in lines
    assert lines[-5:] == [
        "   Keepalive method = MISC_CHECK",
        f"   script = {words}",
        "   timeout = 0",
        "   dynamic = YES",
        "   uid:gid = 7:8",
    ]
