"""Configuration texts for the laboratory, built from the few things a scenario varies."""

from collections.abc import Sequence
from dataclasses import dataclass

VIP = "10.77.1.51"


@dataclass(frozen=True, slots=True)
class Instance:
    """One vrrp_instance; `lines` go in verbatim, `notify` is the script for every event."""

    priority: int = 100
    vrid: int = 51
    name: str = "VI_1"
    state: str = "BACKUP"
    advert_int: int = 1
    password: str | None = "abcdefgh"
    addresses: Sequence[str] = (f"{VIP}/24",)
    excluded: Sequence[str] = ()
    lines: Sequence[str] = ()
    notify: str | None = None

    def text(self) -> str:
        """The block."""
        body = [
            f"state {self.state}",
            "interface eth0",
            f"virtual_router_id {self.vrid}",
            f"priority {self.priority}",
            f"advert_int {self.advert_int}",
            *self._authentication(),
            *_block("virtual_ipaddress", self.addresses),
            *(_block("virtual_ipaddress_excluded", self.excluded) if self.excluded else ()),
            *self.lines,
            *self._notifies(),
        ]
        return "\n".join([f"vrrp_instance {self.name} {{", *(f"    {line}" for line in body), "}", ""])

    def _authentication(self) -> list[str]:
        if self.password is None:
            return []
        return _block("authentication", ("auth_type PASS", f"auth_pass {self.password}"))

    def _notifies(self) -> list[str]:
        if self.notify is None:
            return []
        words = ("master", "backup", "fault", "stop")
        own = [f'notify_{word} "{self.notify} own-{word} {self.name}"' for word in words]
        return [*own, f'notify "{self.notify}"']


def _block(name: str, lines: Sequence[str]) -> list[str]:
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]


def whole(*instances: Instance, lines: Sequence[str] = (), before: str = "") -> str:
    """A complete file: global_defs with `lines`, then `before` (scripts, groups), then the instances."""
    head = _block("global_defs", ("router_id lab", "script_user root", *lines))
    return "\n".join([*head, "", before, *(instance.text() for instance in instances)])


def script(name: str, command: str, **settings: int) -> str:
    """A vrrp_script block."""
    lines = [f'script "{command}"', *(f"{key} {value}" for key, value in settings.items())]
    return "\n".join([*_block(f"vrrp_script {name}", lines), ""])


def tracking(name: str) -> list[str]:
    """The track_script block of an instance."""
    return _block("track_script", [name])
