"""The effective priority: the configured one and the sum of all weights.

keepalived clamps the sum to 1..254; 255 (address owner) never changes.
"""

from collections.abc import Iterable

from keepalived_py.core.vrrp.timing import OWNER

LOWEST = 1
HIGHEST = 254


def effective_priority(base: int, weights: Iterable[int]) -> int:
    """`base` with all `weights` that apply now."""
    if base == OWNER:
        return OWNER
    return max(LOWEST, min(HIGHEST, base + sum(weights)))


def weight_now(weight: int, reverse: bool, good: bool | None) -> int:
    """What a tracked object adds: a positive weight while it is good, a negative one while it is bad.

    `good` None: not known yet, adds nothing.  `reverse` turns the sign: 20 reverse is taken off while
    the object is good, -20 reverse added while it is bad.
    """
    if good is None or (weight > 0) is not good:
        return 0
    return -weight if reverse else weight
