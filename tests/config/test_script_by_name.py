"""A program that is named without its place."""

from pathlib import Path

from keepalived_py.config.load import load
from tests.config.fake_host import FakeHost


def test_it_is_looked_for_in_path_and_said(tmp_path: Path) -> None:
    path = tmp_path / "k.conf"
    head = "global_defs {\nscript_user root\nenable_script_security\n}\n"
    address = "virtual_ipaddress {\n10.1.0.100/16\n}\n"
    path.write_text(
        f"{head}vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\n{address}"
        'notify "true a"\nnotify_master /bin/true\nnotify_fault "none b"\n}\n'
    )
    found = load(str(path), config_id="node", host=FakeHost())
    notifies = found.configuration.instances[0].notifies
    assert notifies.any is not None and notifies.any.argv == ("/bin/true", "a")
    said = [each.message for each in found.diagnostics if "true" in each.message or "none" in each.message]
    assert said == [
        "Cannot find script none in path - disabling",
        "WARNING - script `true` resolved by path search to `/bin/true`. Please specify full path.",
    ]
