"""Imports asyncio without the TLS stack, which nothing here uses and which would take a tenth of the start-up time.

Import this before anything that imports asyncio.
"""

from __future__ import annotations

import sys

if "asyncio" not in sys.modules and "ssl" not in sys.modules:
    # asyncio does without ssl when importing it fails; None in sys.modules makes it fail.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio  # noqa: F401 - the import is what this module is for

    del sys.modules["ssl"]
