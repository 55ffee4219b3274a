"""The intervals of a session (RFC 5880 sections 6.8.2 to 6.8.7).

Everybody says how often he wants to send and how often he can hear; each
direction runs at the slower of both.  Chance comes from outside: `draw` is a
number below 2**32, drawn anew for each step.
"""

from keepalived_py.base.clock import Micros

DRAWN = 1 << 32


def transmit_interval(own_min_tx_us: int, remote_min_rx_us: int) -> Micros:
    """How often we send, before jitter."""
    return Micros(max(own_min_tx_us, remote_min_rx_us))


def detection_time(multiplier: int, own_min_rx_us: int, remote_min_tx_us: int) -> Micros:
    """After how long a silence the other end counts as lost; `multiplier` is the sender's."""
    return Micros(multiplier * max(own_min_rx_us, remote_min_tx_us))


def jittered(interval: Micros, multiplier: int, draw: int) -> Micros:
    """`interval` less 0 to 25 %, or 10 to 25 % where one lost packet is one too many (section 6.8.7)."""
    least = interval // 10 if multiplier == 1 else 0
    spread = interval // 4 - least
    return Micros(interval - least - spread * draw // DRAWN)
