"""What must hold at every single step of every router, whatever the network does.

These rules need no settled network: nobody but a master sends adverts
(RFC 3768 section 6.4), role changes form a chain, and the last role announced
to observers is the role in the state.
"""

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.names import InstanceName
from keepalived_py.core.node import Node, Step
from keepalived_py.model.effects import Role, RoleChanged, SendAdvert


class RuleBroken(KeepalivedError):
    """A property does not hold.  `rule` is its short name, `detail` says who and how."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def check_step(router: str, before: Node | None, step: Step) -> None:
    """Raise RuleBroken if this step of `router` could never be right."""
    changed = {effect.instance for effect in step.effects if isinstance(effect, RoleChanged)}
    for instance in changed:
        _check_chain(router, before, step, instance)
    for effect in step.effects:
        if isinstance(effect, SendAdvert) and effect.advert.priority:
            _check_sender(router, before, step, effect.instance)
    if before is not None:
        _check_silent_change(router, before, step, changed)


def _role(node: Node | None, instance: InstanceName) -> Role:
    return Role.INIT if node is None else node.instances[instance].role


def _check_chain(router: str, before: Node | None, step: Step, instance: InstanceName) -> None:
    changes = [
        effect for effect in step.effects if isinstance(effect, RoleChanged) and effect.instance == instance
    ]
    role = _role(before, instance)
    for change in changes:
        if change.old is not role:
            raise RuleBroken("role chain", f"{router} {instance} was {role.name}, said {change.old.name}")
        role = change.new
    if role is not _role(step.node, instance):
        raise RuleBroken("role chain", f"{router} {instance} announced {role.name} and is something else")


def _check_sender(router: str, before: Node | None, step: Step, instance: InstanceName) -> None:
    if Role.MASTER not in (_role(before, instance), _role(step.node, instance)):
        raise RuleBroken("sender", f"{router} {instance} sent an advert without being master")


def _check_silent_change(router: str, before: Node, step: Step, changed: set[InstanceName]) -> None:
    for instance in step.node.instances.keys() - changed:
        if _role(before, instance) is not _role(step.node, instance):
            raise RuleBroken("role chain", f"{router} {instance} changed its role without saying so")
