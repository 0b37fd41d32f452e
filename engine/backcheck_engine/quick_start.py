"""Makes the start of a program quick, and its stack deep enough. Import this before anything that imports asyncio.

asyncio is imported without the TLS stack, which nothing here uses and which would take a tenth of the start-up time.
"""

from __future__ import annotations

import gc
import sys

if "asyncio" not in sys.modules and "ssl" not in sys.modules:
    # asyncio does without ssl when importing it fails; None in sys.modules makes it fail.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio  # noqa: F401 - the import is what this module is for

    del sys.modules["ssl"]


sys.setrecursionlimit(4000)
# A request passes about five calls for each node of a chain, and what JSON nests has up to 1024 levels.


def begin() -> None:
    """Do not look for garbage while modules are imported: there is none, and the search takes a tenth of the time."""
    gc.disable()


def finish() -> None:
    """The program has started: look for garbage again, among what comes from now on."""
    gc.freeze()
    gc.enable()
