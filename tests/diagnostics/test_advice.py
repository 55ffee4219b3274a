"""Each of the commonest real mistakes gets its own help."""

import pytest

from keepalived_py.diagnostics.advice import advised
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic


def help_for(message: str, text: str) -> Diagnostic:
    return advised(Diagnostic("x", message, origin=Origin("k.conf", 1, 1, 2, text)))


@pytest.mark.parametrize(
    ("message", "text", "wanted"),
    [
        ("Truncating auth_pass to 8 characters", "auth_pass 1234567890", "become MASTER"),
        ("(VI_1) track script chk not found, ignoring...", "chk", "'vrrp_script chk' must stand above"),
        ("vrrp_garp_interval '0' is invalid", "vrrp_garp_interval 0", "delete it"),
        ("vrrp_gna_interval '0' is invalid", "vrrp_gna_interval 0", "delete it"),
        ("Unknown keyword 'nat_mask'", "nat_mask 255.255.255.0", "no meaning any more"),
        ("Unknown keyword 'net_mask'", "net_mask 255.255.255.0", "no meaning any more"),
        ("Unknown keyword '}'", "}", "has been closed before"),
        ("Unexpected '{' - ignoring", "interface ${IF}", "not defined"),
        ("(V) Warning - nopreempt will not work with initial state MASTER - clearing", "", "state BACKUP"),
        (
            "(V) Warning - preempt delay will not work with initial state MASTER - clearing",
            "",
            "preempt_delay",
        ),
        ("number '0' outside range [1, 2678400]", "persistence_timeout 0", "not persistent"),
        ("Unknown keyword 'lvs_sync_daemon_inteface'", "lvs_sync_daemon_inteface eth0", "global_defs"),
        ("Unknown keyword '\u00a0'", "\u00a0 state MASTER", "no-break space"),
        ("Unknown keyword 'state\u3000MASTER'", "state\u3000MASTER", "ideographic space"),
        ("Unknown keyword '//'", "// a comment", "begins with '#'"),
        ("Unknown keyword '<<<<<<<'", "<<<<<<< HEAD", "merge conflict"),
        ("Unknown keyword '[root@lb1'", "[root@lb1 ~]# cat k.conf", "shell's prompt"),
        ("Script user 'backup' does not exist", "notify_backup /x.sh backup", 'notify_backup "/x.sh backup"'),
        ("Unknown keyword 'priority=100'", "priority=100", "parted by blanks"),
    ],
)
def test_help(message: str, text: str, wanted: str) -> None:
    assert any(wanted in note for note in help_for(message, text).notes)


@pytest.mark.parametrize(
    ("message", "text", "fix"),
    [
        ("Unknown keyword 'nb_get_retry'", "nb_get_retry 3", "retry"),
        ("Unknown keyword '//x'", "//x", "#x"),
        ("Unknown keyword 'priority=100'", "priority=100", "priority 100"),
        ("Unknown keyword 'weight;'", "weight;", "weight"),
    ],
)
def test_sure_fix(message: str, text: str, fix: str) -> None:
    assert help_for(message, text).fix == fix


def test_others_stay_as_they_are() -> None:
    one = Diagnostic("x", "Unknown keyword 'foo'", origin=Origin("k.conf", 1, 1, 4, "foo"), suggestion="for")
    assert advised(one) == one
