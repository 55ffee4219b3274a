"""The Internet checksum (RFC 1071).

The one's complement sum of 16-bit words is the whole message, read as one big
number, modulo 0xFFFF: every word's weight is a power of 2**16, which is 1
modulo 0xFFFF.  So one division by the interpreter's big integers replaces a
loop.  Only the all-zero message needs care: its sum is 0, not 0xFFFF.
"""

_ONES = 0xFFFF


def _as_number(data: bytes) -> int:
    return int.from_bytes(data, "big") << (8 * (len(data) % 2))


def internet_checksum(data: bytes) -> int:
    """The checksum over `data` (its checksum field zeroed); odd lengths are padded with a zero byte."""
    number = _as_number(data)
    return -number % _ONES if number else _ONES


def is_valid(data: bytes) -> bool:
    """Whether `data`, its checksum included, sums up as RFC 1071 section 1 asks."""
    number = _as_number(data)
    return number != 0 and number % _ONES == 0
