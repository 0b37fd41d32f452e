"""What the answers to one request add up to: data in a buffer, extents, or an error. Bytes in, no I/O.

A server may answer a read in chunks in any order; every byte must come exactly once.
"""

import bisect
import errno
from collections.abc import Sequence

from backcheck_engine.nbd import transmission
from backcheck_engine.nbd.constants import ChunkType, Command
from backcheck_engine.nbd.errors import WireError
from backcheck_engine.nbd.transmission import Chunk, ErrorDetail, Extent


class Answer:
    """What has come for one request so far. Raises WireError for what does not answer it."""

    __slots__ = ("_context_id", "_ranges", "buffer", "command", "error", "extents", "length", "offset")

    def __init__(
        self, command: int, offset: int, length: int, buffer: memoryview | None = None, *, context_id: int | None = None
    ) -> None:
        self.command = command
        self.offset = offset
        self.length = length
        self.buffer = buffer
        """Where a read's data goes; of `length` bytes."""
        self.error = 0
        """The errno that the server answered."""
        self.extents: Sequence[Extent] = ()
        self._context_id = context_id
        self._ranges: list[tuple[int, int]] = []
        """(start, end) of the data that has come, relative to the request; sorted, no two of them touch."""

    def place_for(self, offset: int, length: int) -> memoryview:
        """Where `length` bytes of data for `offset` go, once."""
        start = offset - self.offset
        if self.buffer is None or not length or start < 0 or start + length > self.length:
            raise WireError("Protocol error: server sent chunk exceeding requested region")
        self._enter(start, start + length)
        return self.buffer[start : start + length]

    def _enter(self, start: int, end: int) -> None:
        """Note that a range has come; ranges that touch become one."""
        ranges = self._ranges
        index = bisect.bisect_left(ranges, (start, end))
        before, after = ranges[index - 1 : index] if index else [], ranges[index : index + 1]
        if (before and before[0][1] > start) or (after and after[0][0] < end):
            raise WireError("Protocol error: server sent the same data twice")
        first, last = index, index
        if before and before[0][1] == start:
            start, first = before[0][0], index - 1
        if after and after[0][0] == end:
            end, last = after[0][1], index + 1
        ranges[first:last] = [(start, end)]

    def take_simple(self, code: int) -> None:
        """A simple reply, without the data of a read; `code` is an errno."""
        self.error = code

    def take_payload(self, chunk: Chunk, payload: bytes) -> None:
        """A whole chunk that is not data."""
        if transmission.is_error(chunk.kind):
            self._take_error(transmission.unpack_error(chunk.kind, payload))
        elif chunk.kind == ChunkType.OFFSET_HOLE and self.command == Command.READ:
            offset, length = transmission.unpack_hole(payload)
            self.place_for(offset, length)[:] = bytes(length)
        elif chunk.kind == ChunkType.BLOCK_STATUS and self.command == Command.BLOCK_STATUS:
            self._take_status(payload)
        elif chunk.kind != ChunkType.NONE or payload or not chunk.is_done:
            raise WireError(f"Protocol error: unexpected reply type: {chunk.kind}")

    def _take_error(self, detail: ErrorDetail) -> None:
        if not detail.errno:
            raise WireError("Protocol error: server sent error chunk with zero error")
        self.error = self.error or detail.errno

    def _take_status(self, payload: bytes) -> None:
        context_id, extents = transmission.unpack_status(payload)
        if self.extents:
            raise WireError("Protocol error: several block status chunks in reply")
        if context_id != self._context_id:
            raise WireError("Protocol error: unexpected context id for block status")
        if not extents[0].length:
            raise WireError("Protocol error: server sent status chunk with zero length")
        self.extents = extents

    def finish(self) -> None:
        """The reply is complete: so is what it carries, unless the server said what failed."""
        if self.error:
            return
        if self.command == Command.READ and self._ranges != [(0, self.length)]:
            raise WireError("Protocol error: server did not send all data")
        if self.command == Command.BLOCK_STATUS and not self.extents:
            # As in QEMU an answer without any extent is a failure of the request, and no reason to part.
            self.error = errno.EIO
