"""Backcheck: a conformance test suite for QEMU's drive-backup.

What a numbered case imports is here; everything else has a module of its own.
"""

from backcheck.definition import case

__all__ = ["case"]
