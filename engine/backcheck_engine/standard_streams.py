"""The standard streams of the engine, whatever whoever started it has made of them.

A stream may be closed from the start, its reader may have gone, and a monitor may have made it non-blocking. What the
engine says is lost then, and the engine goes on, as QEMU does.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import Final, TextIO, cast

OUTPUT: Final = 1
ERROR: Final = 2


class StandardStream(io.TextIOBase):
    """Text to a descriptor, all of it at once; nothing where nobody takes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "surrogateescape")
        with contextlib.suppress(OSError):
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    select.select([], [self._descriptor], [])
        return len(text)


def open_closed() -> None:
    """Where a standard stream is closed, have the null device take its descriptor.

    Otherwise a socket or an image would get the descriptor, and what is meant for the user would go there.
    """
    for descriptor in (0, OUTPUT, ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def take_over() -> None:
    """Make standard output and error such streams, also where they are closed."""
    open_closed()
    sys.stdout = cast("TextIO", StandardStream(OUTPUT))
    sys.stderr = cast("TextIO", StandardStream(ERROR))
