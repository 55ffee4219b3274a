"""Importing parts of pyroute2 without the rest of the library.

Importing anything of pyroute2 imports all of it: 90 ms, in which adverts have to
wait for the interpreter, and 9 MB of memory.  So during the import an empty
package stands in for the one that would load everything, and afterwards none of
it counts as imported.  Where pyroute2 was imported before, its classes are used.
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def lean(load: Callable[[], T]) -> T:
    """What `load` imports of pyroute2; raises ImportError if it is not installed."""
    if "pyroute2" in sys.modules:
        return load()
    found = find_spec("pyroute2")
    stand_in = ModuleType("pyroute2")
    # Where its modules are looked for; if there are none, the imports of `load` say so.
    stand_in.__path__ = [] if found is None else list(found.submodule_search_locations or ())
    sys.modules["pyroute2"] = stand_in
    try:
        return load()
    finally:
        # Whoever imports pyroute2 later gets the whole of it, and not what it makes of these parts.
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
            del sys.modules[name]
