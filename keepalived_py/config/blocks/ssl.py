"""`SSL`: what checks over TLS show."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.interfaces import SslSettings


def _replaceable(name: str, attribute: str, title: str, help: str, **more: Any) -> Keyword[Any]:
    """A word that may be given again, with a complaint."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        if getattr(target, attribute) is not None:
            run.error(f"SSL {title} already specified - replacing", at, code="duplicate")
        return at.words[1]

    return values.converted(
        name,
        attribute,
        convert,
        "<STRING>",
        required=False,
        missing=f"SSL {title} missing",
        pure=False,
        help=help,
        schema={"type": "string"},
        **more,
    )


BLOCK: Block[Any] = block(
    "SSL",
    [
        _replaceable("password", "password", "password", "password of the key", secret=True),
        _replaceable("ca", "ca", "cafile", "file with certificates of those we trust"),
        _replaceable("certificate", "certificate", "certfile", "file with our certificate"),
        _replaceable("key", "key", "keyfile", "file with our private key"),
    ],
    record=SslSettings,
)


def opened(run: Run, written: Written, at: Directive) -> Draft[SslSettings]:
    """A second block takes the place of the first."""
    if written.ssl is not None:
        run.error("SSL context already specified - replacing", at, code="duplicate")
    written.ssl = Draft(SslSettings, at)
    return written.ssl
