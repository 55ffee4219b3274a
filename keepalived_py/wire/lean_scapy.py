"""scapy's packets and fields, without the vendor tables that come along.

`scapy.packet` loads at import the names of all Ethernet and Bluetooth vendors
and keeps them cached in the user's home.  That is a third of its import time
and 16 MB of memory in each process, for names that nothing here prints; and a
daemon writes no files into anybody's home.  So during the import the tables
are empty and the cache is off.  Where scapy was imported before, nothing changes.
"""

import sys
from types import ModuleType

_TABLES: dict[str, object] = {
    "scapy.libs.manuf": "",
    "scapy.libs.ethertypes": "",
    "scapy.libs.bluetoothids": {},
}


def _empty(name: str) -> ModuleType:
    module = ModuleType(name)
    vars(module)["DATA"] = _TABLES[name]
    return module


def _import_lean() -> None:
    import scapy.main

    cache_folder = getattr(scapy.main, "SCAPY_CACHE_FOLDER", None)
    stand_ins = {name: _empty(name) for name in _TABLES if name not in sys.modules}
    sys.modules.update(stand_ins)
    vars(scapy.main)["SCAPY_CACHE_FOLDER"] = None
    try:
        import scapy.packet
    finally:
        vars(scapy.main)["SCAPY_CACHE_FOLDER"] = cache_folder
        for name in stand_ins:
            sys.modules.pop(name, None)


if "scapy.data" not in sys.modules:
    _import_lean()

from scapy.fields import (  # noqa: E402
    BitField,
    ByteField,
    FieldLenField,
    FieldListField,
    IntField,
    IP6Field,
    IPField,
    ShortField,
    StrFixedLenField,
    XByteField,
    XShortField,
)
from scapy.packet import Packet  # noqa: E402

__all__ = [
    "BitField",
    "ByteField",
    "FieldLenField",
    "FieldListField",
    "IP6Field",
    "IPField",
    "IntField",
    "Packet",
    "ShortField",
    "StrFixedLenField",
    "XByteField",
    "XShortField",
]
