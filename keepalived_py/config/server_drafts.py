"""Drafts of virtual and real servers: they know what they inherit.

A value that a real server does not give is its virtual server's.  It is filled
in when the model is built, not while the file is read: only a check of the
whole needs it before, and asks for it then.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.written import Written
from keepalived_py.model.virtual_server import RealServer, VirtualServer

# What a real server takes from its virtual server; the method is there since its block was opened.
INHERITED = (
    "alpha",
    "inhibit_on_failure",
    "retry",
    "connect_timeout_us",
    "delay_loop_us",
    "warmup_us",
    "delay_before_retry_us",
    "weight",
)


class VirtualServerDraft(Draft[VirtualServer]):
    """A `virtual_server` being read.

    `family` is what is known of it so far: it also comes from servers and the
    granularity of persistence.  `server_group` is the draft of its group once
    they are linked, `place` its number among the virtual servers of the group.
    `skipped` are real servers that were dropped although keepalived goes on with
    their checks; `sorry_method_known`: the sorry server has a method of its own,
    or has one of ours.
    """

    def __init__(self, header: Directive, everything: Written, **values: Any) -> None:
        super().__init__(
            VirtualServer,
            header,
            family=None,
            server_group=None,
            place=0,
            everything=everything,
            real_servers=[],
            skipped=[],
            sorry_method_known=False,
            **values,
        )

    def build(self, **changes: Any) -> VirtualServer:
        """The record, with what the global definitions say about mail."""
        family = None if self.address is not None else self.family
        alert = mail_default(self.everything, self.smtp_alert if self.written("smtp_alert") else None)
        return super().build(ip_family=family, smtp_alert=bool(alert), **changes)


class RealServerDraft(Draft[RealServer]):
    """A `real_server` being read; `virtual_server` is the draft of the one it belongs to."""

    def __init__(self, header: Directive, virtual_server: VirtualServerDraft, **values: Any) -> None:
        super().__init__(RealServer, header, virtual_server=virtual_server, **values)

    def effective(self, name: str) -> Any:
        """The value of a field, or of the virtual server's if it is inherited and was not written here."""
        return getattr(self if self.written(name) else self.virtual_server, name)

    def build(self, **changes: Any) -> RealServer:
        """The record, with what it inherits."""
        for name in INHERITED:
            if not self.written(name):
                setattr(self, name, getattr(self.virtual_server, name))
        alert = self.smtp_alert if self.written("smtp_alert") else None
        found = mail_default(self.virtual_server.everything, alert)
        return super().build(smtp_alert=found is not False, **changes)


def mail_default(everything: Written, own: bool | None) -> bool | None:
    """Whether mail is sent: as it was said itself, else for checkers, else for all; None: nobody said."""
    if own is not None:
        return own
    mail = everything.globals.mail
    for found in (mail.alert_checker, mail.alert):
        if found is not None:
            return bool(found)
    return None
