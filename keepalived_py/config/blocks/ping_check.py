"""`PING_CHECK`: an ICMP echo is answered."""

from __future__ import annotations

from keepalived_py.config.blocks.check_common import CONNECTION, CheckDraft, closed, timing
from keepalived_py.config.schema import Block, block
from keepalived_py.model.checks import PingCheck

__all__ = ["BLOCK", "closed"]

BLOCK: Block[CheckDraft] = block(
    "PING_CHECK", [*CONNECTION, *timing()], record=PingCheck, show_header=lambda check: ""
)
