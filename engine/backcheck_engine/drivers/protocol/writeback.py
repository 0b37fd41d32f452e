"""Having the kernel write a file to its disk while more is copied to it, so that a flush in the end waits for less."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

from backcheck_engine.block.io_threads import start_in_thread

_PIECE_BYTES: Final = 4 << 20
"""How much is copied before the kernel is told to begin."""
_WRITE: Final = 2
"""SYNC_FILE_RANGE_WRITE: begin to write what is dirty, and wait for nothing."""


@functools.cache
def _sync_file_range() -> Callable[..., int]:
    import ctypes  # late: a program that copies nothing does without it

    function: Any = ctypes.CDLL(None).sync_file_range
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[..., int] = function
    return found


class Writeback:
    """What was copied to one file since the kernel was told."""

    def __init__(self) -> None:
        self._copied = 0
        self._telling: asyncio.Future[int] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a thread uses the descriptor that was given last."""
        return self._telling is not None and not self._telling.done()

    def copied(self, fd: int, length: int) -> None:
        """Bytes were copied to the file; tell the kernel from time to time. Whether it obeys does not matter."""
        self._copied += length
        if self._copied >= _PIECE_BYTES and not self.is_under_way:
            self._copied = 0
            self._telling = start_in_thread(_sync_file_range(), fd, 0, 0, _WRITE)

    async def wait(self) -> None:
        """Return when no thread uses the descriptor any more."""
        if self._telling is not None:
            await self._telling
