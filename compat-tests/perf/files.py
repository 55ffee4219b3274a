"""Generated configuration files for the timing of `-t`: valid, and of a wanted length.

As many virtual routers as virtual servers, each server with two real servers,
one checked by HTTP and one by TCP.  An interface has room for 250 virtual
router ids, so large files need several: `interfaces` names them.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from configs import Instance

PER_INTERFACE = 250
HEAD = """\
global_defs {
    router_id lab
    enable_script_security
    script_user root
}
vrrp_script chk {
    script "/bin/true"
    interval 2
    weight -5
}
"""


def instances(count: int) -> list[Instance]:
    """`count` (at most 255) instances with an address each."""
    return [
        Instance(vrid=n, name=f"VI_{n}", priority=100, addresses=(f"10.77.2.{n}/32",))
        for n in range(1, count + 1)
    ]


def _router(number: int) -> str:
    interface, vrid = divmod(number, PER_INTERFACE)
    return (
        f"vrrp_instance V{number} {{\n    state BACKUP\n    interface eth{interface}\n"
        f"    virtual_router_id {vrid + 1}\n    priority 98\n    advert_int 1\n"
        f"    authentication {{\n        auth_type PASS\n        auth_pass s3cret{number % 10}\n    }}\n"
        f"    virtual_ipaddress {{\n        10.{interface}.{vrid + 1}.91/24 dev eth{interface}\n    }}\n"
        '    track_script {\n        chk\n    }\n    notify_master "/bin/echo master"\n}\n'
    )


def _server(number: int) -> str:
    high, low = divmod(number, PER_INTERFACE)
    return (
        f"virtual_server 10.100.{high}.{low + 1} 80 {{\n    delay_loop 3\n    lb_algo rr\n    lb_kind DR\n"
        f"    protocol TCP\n    real_server 10.1.0.{low + 1} 80 {{\n        weight 1\n        HTTP_GET {{\n"
        "            url {\n                path /\n                status_code 200\n            }\n"
        "            connect_timeout 1\n            retry 3\n            delay_before_retry 1\n        }\n    }\n"
        f"    real_server 10.1.1.{low + 1} 80 {{\n        weight 1\n        TCP_CHECK {{\n"
        "            connect_timeout 1\n        }\n    }\n}\n"
    )


def pairs(lines: int) -> int:
    """How many routers and as many servers make a file of about `lines` lines."""
    return max(1, (lines - HEAD.count("\n")) // (_router(0) + _server(0)).count("\n"))


def interfaces(lines: int) -> list[str]:
    """The interfaces that a file of `lines` lines names."""
    return [f"eth{n}" for n in range((pairs(lines) - 1) // PER_INTERFACE + 1)]


def of_lines(lines: int) -> str:
    """A valid file of about `lines` lines; a very short one has no virtual server."""
    if lines < 100:
        return HEAD + _router(0)
    number = range(pairs(lines))
    return HEAD + "".join(map(_router, number)) + "".join(map(_server, number))
