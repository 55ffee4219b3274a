"""`TCP_CHECK`: a TCP connection can be opened."""

from __future__ import annotations

from keepalived_py.config.blocks.check_common import CONNECTION, CheckDraft, closed, timing
from keepalived_py.config.schema import Block, block
from keepalived_py.model.checks import TcpCheck

__all__ = ["BLOCK", "closed"]

BLOCK: Block[CheckDraft] = block(
    "TCP_CHECK", [*CONNECTION, *timing()], record=TcpCheck, show_header=lambda check: ""
)
