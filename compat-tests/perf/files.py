"""Generated configuration files for the timing of `-t`: valid, and of a wanted length.

A network interface has 255 virtual router ids, so beyond 255 instances the file
grows by virtual servers, as real large files do.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from configs import Instance, whole


def instances(count: int) -> list[Instance]:
    """`count` (at most 255) instances with an address each."""
    return [
        Instance(vrid=n, name=f"VI_{n}", priority=100, addresses=(f"10.77.2.{n}/32",))
        for n in range(1, count + 1)
    ]


def _server(number: int) -> str:
    high, low = divmod(number, 250)
    reals = "".join(
        f"    real_server 10.{100 + r}.{high}.{low + 1} 80 {{\n        weight {r}\n"
        "        TCP_CHECK {\n            connect_timeout 3\n            connect_port 80\n        }\n    }\n"
        for r in (1, 2)
    )
    return (
        f"virtual_server 10.90.{high}.{low + 1} 80 {{\n    delay_loop 6\n    lb_algo rr\n    lb_kind NAT\n"
        f"    protocol TCP\n{reals}}}\n\n"
    )


def of_lines(lines: int) -> str:
    """A valid file of at least `lines` lines (at most one block more)."""
    each = whole(*instances(1)).count("\n")
    text = whole(*instances(min(255, max(1, lines // (2 * each)))))
    per_server = _server(0).count("\n")
    servers = max(0, -(-(lines - text.count("\n")) // per_server))
    return text + "".join(_server(n) for n in range(servers))
