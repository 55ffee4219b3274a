"""From text to the model: defaults, corrections, refusals and exit codes."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.config.host import FileStatus
from keepalived_py.config.load import Loaded, load
from keepalived_py.model.config import AuthType, InitialState
from tests.config.fake_host import FakeHost

BASE = "interface eth0\nvirtual_router_id 51\n"
ADDRESS = "virtual_ipaddress {\n10.1.0.100/16\n}\n"
SECURE = "global_defs {\nenable_script_security\nscript_user root\n}\n"


def read(tmp_path: Path, text: str, host: FakeHost | None = None) -> Loaded:
    path = tmp_path / "k.conf"
    path.write_text(text)
    return load(str(path), config_id="node", host=host or FakeHost())


def instance(lines: str = "", address: str = ADDRESS) -> str:
    return f"vrrp_instance VI_1 {{\n{BASE}{lines}\n{address}}}\n"


def messages(loaded: Loaded) -> list[str]:
    return [one.message for one in loaded.diagnostics if not one.logged_only]


def test_defaults(tmp_path: Path) -> None:
    loaded = read(tmp_path, instance())
    (one,) = loaded.configuration.instances
    assert (loaded.test_exit_code, loaded.start_exit_code, messages(loaded)) == (0, None, [])
    assert (one.base_priority, one.version, one.preempt, one.advert_interval_us) == (100, 2, True, 1_000_000)
    assert one.initial_state is InitialState.BACKUP
    assert one.destination == IPv4Address("224.0.0.18")
    assert one.garp.repeat == one.garp.lower_priority_repeat == 5
    assert loaded.configuration.globals.router_id == "node.example"


def test_globals_count_wherever_they_stand(tmp_path: Path) -> None:
    text = instance("garp_master_delay 2") + (
        "global_defs {\nvrrp_garp_master_repeat 3\nvrrp_garp_master_delay 9\nvrrp_mcast_group4 224.0.0.99\n}\n"
    )
    (one,) = read(tmp_path, text).configuration.instances
    assert (one.garp.repeat, one.garp.lower_priority_repeat, one.garp.delay_us) == (3, 3, 2_000_000)
    assert one.garp.lower_priority_delay_us == 9_000_000, "not the instance's own garp_master_delay"
    assert one.destination == IPv4Address("224.0.0.99")


def test_master_without_priority_is_owner(tmp_path: Path) -> None:
    (one,) = read(tmp_path, instance("state MASTER")).configuration.instances
    assert (one.base_priority, one.initial_state) == (255, InitialState.MASTER)


def test_master_with_priority_starts_as_backup(tmp_path: Path) -> None:
    (one,) = read(tmp_path, instance("state MASTER\npriority 150")).configuration.instances
    assert (one.base_priority, one.initial_state) == (150, InitialState.BACKUP)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("priority 0", "(VI_1) Priority not valid! must be between 1 & 255. Using default 100"),
        ("state master", "(VI_1) unknown state 'master', defaulting to BACKUP"),
        ("prioirty 5", "Unknown keyword 'prioirty'"),
        (
            "state MASTER\npriority 9\nnopreempt",
            "(VI_1) Warning - nopreempt will not work with initial state MASTER - clearing",
        ),
        (
            "nopreempt\npriority 255\nstate BACKUP",
            "(VI_1) nopreempt is incompatible with priority 255. resetting nopreempt",
        ),
        (
            "nopreempt\npreempt_delay 3",
            "(VI_1) preempt_delay is incompatible with nopreempt mode - resetting",
        ),
        ("advert_int 1.3", "(VI_1) VRRPv2 advertisement interval 1.300000s must be an integer. rounding"),
        (
            "authentication {\nauth_type PASS\n}",
            "(VI_1) Authentication specified but no password given. Ignoring",
        ),
        ("track_script {\nnone\n}", "(VI_1) track script none not found, ignoring..."),
        ("advert_int fast", "invalid number 'fast'"),
    ],
)
def test_mistakes_are_reported_and_tolerated(tmp_path: Path, lines: str, message: str) -> None:
    loaded = read(tmp_path, instance(lines))
    assert message in messages(loaded)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, None)
    assert len(loaded.configuration.instances) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vrrp_instance A {\ninterface eth0\n}\n", "(A) the virtual router id must be set"),
        ("vrrp_instance A {\nvirtual_router_id 4\n}\n", "(A) Unknown interface!"),
        (instance("interface lo"), "(VI_1) Unknown interface!"),
        (instance("interface eth9"), "Non-existent interface specified in configuration"),
        (
            instance() + instance().replace("VI_1", "VI_2"),
            "VI_1 and VI_2 both use VRID 51 with IPv4 on interface eth0",
        ),
    ],
)
def test_unusable_configurations_do_not_start(tmp_path: Path, text: str, message: str) -> None:
    loaded = read(tmp_path, text)
    assert message in messages(loaded)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, 2)


def test_missing_argument_stops_at_once(tmp_path: Path) -> None:
    loaded = read(tmp_path, instance("priority\nprioirty 5"))
    assert (loaded.test_exit_code, loaded.start_exit_code) == (2, 2)
    assert messages(loaded) == [
        "*** Configuration line starting `priority` is missing a parameter after keyword `priority` "
        "at word position 2"
    ]


def test_password_is_cut_to_eight_bytes(tmp_path: Path) -> None:
    loaded = read(tmp_path, instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}"))
    (one,) = loaded.configuration.instances
    assert (one.auth_type, one.auth_data) == (AuthType.PASS, b"12345678")
    assert messages(loaded) == ["Truncating auth_pass to 8 characters"]


def test_address_options(tmp_path: Path) -> None:
    block = "virtual_ipaddress {\n10.1.0.9/24 brd + dev eth1 label eth1:v scope link no_track\n10.1.0.8\n}\n"
    first, second = read(tmp_path, instance("", block)).configuration.instances[0].addresses
    assert (first.prefix_length, first.interface, first.label, first.scope) == (24, "eth1", "eth1:v", 253)
    assert (first.broadcast, first.tracked) == (IPv4Address("10.1.0.255"), False)
    assert (second.prefix_length, second.interface, second.broadcast) == (32, "eth0", None)


def test_excess_addresses_are_excluded(tmp_path: Path) -> None:
    many = "".join(f"10.1.{n // 200}.{n % 200 + 1}\n" for n in range(300))
    (one,) = read(tmp_path, instance("", f"virtual_ipaddress {{\n{many}}}\n")).configuration.instances
    assert (len(one.addresses), len(one.excluded_addresses)) == (255, 45)


def test_script_without_security_gives_6(tmp_path: Path) -> None:
    loaded = read(
        tmp_path, 'vrrp_script c {\nscript "/bin/true a"\n}\n' + instance("track_script {\nc weight -9\n}")
    )
    assert (loaded.test_exit_code, loaded.start_exit_code) == (6, None)
    assert loaded.configuration.scripts[0].command.argv == ("/bin/true", "a")
    assert loaded.configuration.instances[0].track_scripts[0].weight == -9


def test_insecure_and_missing_track_scripts_are_disabled(tmp_path: Path) -> None:
    text = SECURE + "vrrp_script c {\nscript /bin/x\n}\n" + instance("track_script {\nc\n}")
    missing = read(tmp_path, text)
    assert "Disabling track script c since not found/accessible" in messages(missing)
    loose = read(tmp_path, text, FakeHost({"/bin/x": FileStatus(0o100777, 0, 0)}))
    assert "Disabling track script c due to insecure" in messages(loose)
    for loaded in (missing, loose):
        assert loaded.configuration.instances[0].track_scripts == ()
        assert loaded.test_exit_code == 5


def test_notify_words(tmp_path: Path) -> None:
    loaded = read(tmp_path, SECURE + instance("notify \"/bin/true 'a b' c\"\nnotify_master /bin/true nobody"))
    notifies = loaded.configuration.instances[0].notifies
    assert notifies.any is not None
    assert notifies.any.argv == ("/bin/true", "a b", "c")
    assert notifies.master is None
    assert loaded.test_exit_code == 0


def test_sync_group(tmp_path: Path) -> None:
    other = instance().replace("VI_1", "VI_2").replace("51", "52")
    group = "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\nVI_9\n}\n}\n"
    loaded = read(tmp_path, group + instance() + other)
    assert loaded.configuration.groups[0].members == ("VI_1", "VI_2")
    assert messages(loaded) == ["Virtual router VI_9 specified in sync group G doesn't exist - ignoring"]


def test_missing_file(tmp_path: Path) -> None:
    loaded = load(str(tmp_path / "none.conf"), config_id="node", host=FakeHost())
    assert (loaded.test_exit_code, loaded.start_exit_code) == (0, 6)


def test_tracking_the_own_interface_is_a_mistake_without_consequence(tmp_path: Path) -> None:
    loaded = read(tmp_path, instance("track_interface {\neth0\neth1\n}"))
    (one,) = loaded.configuration.instances
    assert [track.name for track in one.track_interfaces] == ["eth1"]
    assert messages(loaded) == ["(VI_1) Ignoring track_interface eth0 since own interface"]
    assert (loaded.test_exit_code, loaded.start_exit_code) == (5, None)


@pytest.mark.parametrize(
    ("name", "all_config", "code", "said"),
    [
        ("no.conf", False, 0, "Config files missing '{}'."),
        ("no.conf", True, 4, "Config files missing '{}'."),
        ("no*.conf", False, 0, ""),
        ("no*.conf", True, 4, "No config files matched '{}'."),
    ],
)
def test_no_main_file(name: str, all_config: bool, code: int, said: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    loaded = load(path, config_id="", host=FakeHost(), all_config=all_config)
    assert (loaded.test_exit_code, loaded.start_exit_code) == (code, 6)
    assert messages(loaded) == ([said.format(path)] if said else [])
