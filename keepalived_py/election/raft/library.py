"""PySyncObj, imported without what its import does to the process.

One of its modules (`win_inet_pton`, meant for Windows) puts functions of its own into
the place of `socket.inet_pton` and `socket.inet_ntop`, on every system, and on Linux these
raise TypeError.  Whoever imports the library does so here, and has the real ones back.
"""

import socket

_REAL = socket.inet_pton, socket.inet_ntop
try:
    from pysyncobj import SyncObj, SyncObjConf
    from pysyncobj.config import SERIALIZER_STATE
    from pysyncobj.node import Node
    from pysyncobj.transport import Transport
finally:
    socket.inet_pton, socket.inet_ntop = _REAL

__all__ = ["SERIALIZER_STATE", "Node", "SyncObj", "SyncObjConf", "Transport"]
