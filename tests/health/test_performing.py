"""What the kernel is asked for at once: users see the table between two requests."""

from collections.abc import Sequence
from pathlib import Path

from keepalived_py.model.effects import Outcome
from keepalived_py.model.ipvs import IpvsChange
from tests.health.kernel_table import Scene

CONFIGURATION = """virtual_server 10.0.0.1 80 {
    delay_loop 5
    warmup 0
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    sorry_server 10.1.0.9 80
    quorum_down /bin/true
    real_server 10.1.0.2 80 {
        notify_down /bin/false
        TCP_CHECK {
            connect_timeout 1
        }
    }
}
"""


def test_somebody_serves_after_each_request(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    made = scene.table.apply
    seen: list[tuple[list[str], list[str]]] = []

    def apply(changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        outcomes = made(changes)
        servers = scene.table.shown().get("10.0.0.1:tcp:80", {})
        seen.append((list(servers), list(scene.scripts)))
        return outcomes

    scene.table.apply = apply  # type: ignore[method-assign]
    scene.start(CONFIGURATION)
    scene.after(2.0)
    scene.dead = {"10.1.0.2"}
    scene.after(10.0)
    scene.dead = set()
    scene.after(10.0)
    scene.do(lambda: scene.shell.stop(release=True))
    scene.after(30.0)
    scene.loop.close()
    # The start, the sorry server's coming and its going, the end; programs are called when that is done.
    called = ["/bin/false", "/bin/true"]
    assert seen == [(["10.1.0.2:80"], []), (["10.1.0.9:80"], []), (["10.1.0.2:80"], called), ([], called)]
