"""Where the fields of a packet stand, worked out once from its scapy definition.

scapy says what a packet looks like and builds it; but to dissect one it needs
some hundred microseconds, and a flood of packets brings 50,000 of them a
second.  So heard bytes are read at the offsets that stand in here.
"""

from keepalived_py.wire.lean_scapy import BitField, FieldListField, Packet


def byte_offsets(packet: type[Packet]) -> dict[str, int]:
    """For each field up to the first list: the byte that it begins in.

    Fields narrower than a byte that share one have the same offset.
    """
    offsets: dict[str, int] = {}
    bits = 0
    for field in packet.fields_desc:
        offsets[field.name] = bits // 8
        if isinstance(field, FieldListField):
            break
        bits += field.size if isinstance(field, BitField) else field.sz * 8
    return offsets
