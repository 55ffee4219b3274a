"""Whether the kernel may be asked for tables: not if it would load a module for the answer."""

import os
from pathlib import Path

from keepalived_py.system.gate_at_need import may_ask


def modules(directory: Path, text: str) -> str:
    release = directory / os.uname().release
    release.mkdir()
    (release / "modules.dep").write_text(text)
    return str(directory)


def test_a_loaded_module_may_be_asked(tmp_path: Path) -> None:
    (tmp_path / "nf_tables").mkdir()
    known = modules(tmp_path, "kernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko.xz\n")
    assert may_ask(str(tmp_path / "nf_tables"), known)


def test_a_module_that_nobody_has_loaded_stays_so(tmp_path: Path) -> None:
    known = modules(
        tmp_path,
        "kernel/net/ipv4/ip_gre.ko:\nkernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko.xz\n",
    )
    assert not may_ask(str(tmp_path / "nf_tables"), known)


def test_a_kernel_that_has_it_built_in_is_asked(tmp_path: Path) -> None:
    """Such a kernel has no directory for it, and no module that it could load."""
    users = "kernel/net/netfilter/nft_ct.ko: kernel/net/netfilter/nf_tables.ko\n"
    assert may_ask(str(tmp_path / "nf_tables"), modules(tmp_path, users))
    assert may_ask(str(tmp_path / "nf_tables"), str(tmp_path / "nothing"))
