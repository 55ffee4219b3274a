"""Pieces of configurations that many plays share, and the life most of them lead.

Checks run every half second with one retry after a third of one, and without warm-up,
so that a play takes seconds; every change of a server calls a program that leaves a line.
"""

from collections.abc import Callable, Sequence

from play import Condition, Start, Step, Stop, both, contacted, down, has, lacks, logged, services, up, weighs

NOTE = "/run/lab/note"
ASKED = "/run/lab/asked"
VIRTUAL = "10.5.0.1"
ONE, TWO, THREE = "10.5.0.11:80", "10.5.0.12:80", "10.5.0.13:80"
SORRY = "10.5.0.99:80"
TIMES = "delay_loop 0.5\n retry 1\n delay_before_retry 0.3\n connect_timeout 4\n warmup 0"
TCP = "TCP_CHECK {\n }"


def text(*parts: str, more: str = "") -> str:
    """A configuration: `more` inside global_defs, then the parts."""
    head = f"global_defs {{\n script_user root\n lvs_notify_fifo /run/lab/fifo\n {more}\n}}\n"
    return head + "\n".join(parts) + "\n"


def real(server: str, check: str = TCP, more: str = "") -> str:
    """A real server with programs for both its changes."""
    host, _, port = server.rpartition(":")
    name = server.replace(":", "_")
    return (
        f" real_server {host.strip('[]')} {port} {{\n  {more}\n"
        f'  notify_up "{NOTE} up {name}"\n  notify_down "{NOTE} down {name}"\n  {check}\n }}\n'
    )


def virtual(
    *servers: str,
    where: str = f"{VIRTUAL} 80",
    more: str = "",
    algo: str = "wrr",
    kind: str = "NAT",
    protocol: str = "TCP",
) -> str:
    """A virtual server with programs for both changes of its quorum."""
    name = where.replace(" ", "_")
    return (
        f"virtual_server {where} {{\n {TIMES}\n lb_algo {algo}\n lb_kind {kind}\n protocol {protocol}\n"
        f' quorum_up "{NOTE} quorum up {name}"\n quorum_down "{NOTE} quorum down {name}"\n {more}\n'
        f"{''.join(servers)}}}\n"
    )


def bare(where: str, servers: Sequence[str], more: str = "", inside: str = "") -> str:
    """A virtual server whose real servers nobody checks: they stay as configured."""
    made = "".join(f" real_server {one} {{\n  {inside}\n }}\n" for one in servers)
    return f"virtual_server {where} {{\n {more}\n{made}}}\n"


def group(name: str, *entries: str) -> str:
    """A group of addresses, ranges and marks."""
    return f"virtual_server_group {name} {{\n " + "\n ".join(entries) + "\n}\n"


def page(status: str = "200", more: str = "") -> str:
    """HTTP_GET of one page."""
    return f"HTTP_GET {{\n url {{\n path /\n status_code {status}\n }}\n {more}\n }}"


def script(path: str, more: str = "") -> str:
    """MISC_CHECK of a script of `exits`."""
    return f'MISC_CHECK {{\n misc_path "{path}"\n misc_timeout 5\n {more}\n }}'


def exits(name: str) -> dict[str, str]:
    """A script that ends with the number in NAME.status, if there is one, and leaves its name behind."""
    path = f"/run/lab/{name}"
    words = (
        f'#!/bin/sh\necho {name} >>{ASKED}\nread status <{path}.status || status=0\nexit "${{status:-0}}"\n'
    )
    return {path: words, f"{path}.status": "0\n"}


def life(
    one: str = ONE,
    two: str = TWO,
    *,
    gone: Callable[..., Condition] = lacks,
    there: Callable[..., Condition] = has,
    servers: tuple[str, str] | None = None,
    looks: tuple[str, ...] = (),
) -> tuple[Step, ...]:
    """Start, one dead, back again, all dead, one back, stop.

    `servers`: what to end, if it is not called as the destinations are.
    """
    first, second = servers or (one, two)
    return (
        Step("started", (Start(),), contacted(first, second, times=2), looks=looks, any_order=True),
        Step("one dead", (down(second),), gone(two)),
        Step("recovered", (up(second),), there(two)),
        Step("all dead", (down(first, second),), both(gone(one), gone(two)), any_order=True),
        Step("one back", (up(first),), there(one)),
        Step("stopped", (Stop(),), services(0), looks=looks),
    )


def inhibited(destination: str) -> Condition:
    """`gone` where failed servers stay with weight 0."""
    return weighs(destination, 0)


def still(*looks: str) -> tuple[Step, ...]:
    """Start, look, stop: what a configuration without checks makes of the table."""
    return (
        Step("started", (Start(),), logged("Startup complete"), looks=looks),
        Step("stopped", (Stop(),), looks=looks),
    )
