"""Reads of one client that follow each other: one look at the graph and one read serve all of them.

Clients that copy a disk ask for it in many small pieces, several at a time. What comes in one go and continues where
the last one ended is read together, and each request gets its own answer. Nodes that count or judge requests one by one
(blkdebug, throttle) see them one by one.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.request import Buffer
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import transmission
from backcheck_engine.nbd.constants import REQUEST_MAGIC, ChunkFlag, Command
from backcheck_engine.nbd.export import Export
from backcheck_engine.nbd.stream import Stream
from backcheck_engine.nbd.transmission import Request
from backcheck_engine.nbd.turns import HEAVY_BYTES, Turns

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node

_MAX_RUN_BYTES: Final = 2 * 2**20
_ONE_BY_ONE: Final = ("blkdebug", "throttle")


def following_reads(first: Request, stream: Stream, export: Export) -> list[Request]:
    """`first`, and what has come in behind it that reads on from its end, which is taken."""
    run = [first]
    end = first.offset + first.length
    while head := stream.peek(transmission.REQUEST_BYTES):
        request = transmission.unpack_request(head)
        is_next = request.magic == REQUEST_MAGIC and request.command == Command.READ and request.offset == end
        if not is_next or request.flags or not request.length:
            break
        end += request.length
        if (
            end > export.size
            or end - first.offset > _MAX_RUN_BYTES
            or (len(run) == 1 and _is_counted(export.backend.node))
        ):
            break
        stream.take(transmission.REQUEST_BYTES)
        run.append(request)
    return run


def _is_counted(node: "Node | None") -> bool:
    """Whether a node here or below cares how many requests there are."""
    if node is None or node.format_name in _ONE_BY_ONE:
        return True
    return any(_is_counted(child.node) for child in node.children.values())


class RunOfReads:
    """Requests that follow each other, being answered in structured replies: zeroes are told, not sent."""

    def __init__(self, run: list[Request], stream: Stream, export: Export, turns: Turns) -> None:
        self._left: Final = list(run)
        """Those that are not answered yet; of the first, what is before `_offset` has been."""
        self._stream: Final = stream
        self._backend: Final = export.backend
        self._heavy_reads: Final = export.heavy_reads
        self._turns: Final = turns
        self._offset = run[0].offset

    async def answer(self, answered: Callable[[Request], None] = lambda _: None) -> None:
        """Answer them all; `answered` is told of each. Raises StreamClosed.

        When reading together fails, each is read alone, so that the one hears of it whom it concerns.
        """
        together = True
        while self._left:
            last = self._left[-1] if together else self._left[0]
            try:
                self._offset = await self._send_extent(last.offset + last.length)
            except BlockError as error:
                if together and len(self._left) > 1:
                    together = False
                    continue
                failed = self._left[0]
                await self._stream.write(transmission.pack_error_chunk(failed.cookie, error.errno, error.message))
                self._offset = failed.offset + failed.length
            while self._left and self._left[0].offset + self._left[0].length <= self._offset:
                answered(self._left.pop(0))

    async def _send_extent(self, end: int) -> int:
        """Send what lies at the offset up to where it changes between data and zeroes; returns that place."""
        offset = self._offset
        if end - offset < HEAVY_BYTES or _is_counted(self._backend.node):
            length, data = await self._read_extent(offset, end)
        else:
            async with self._heavy_reads:
                await self._turns.take()
                length, data = await self._read_extent(offset, end)
        await self._stream.write(*self._chunks(offset, offset + length, data))
        return offset + length

    async def _read_extent(self, offset: int, end: int) -> tuple[int, Buffer | None]:
        """(length, data) of what lies at `offset`; the data is None where it is zeroes."""
        try:
            status = await self._backend.block_status(offset, end - offset)
        except BlockError as error:
            raise BlockError(f"unable to check for holes: {os.strerror(error.errno)}", error.errno) from error
        if status.zero:
            return status.length, None
        try:
            return status.length, await self._backend.pread(offset, status.length)
        except BlockError as error:
            raise BlockError(f"reading from file failed: {os.strerror(error.errno)}", error.errno) from error

    def _chunks(self, offset: int, end: int, data: Buffer | None) -> list[Buffer]:
        """A chunk for each request that has a part in [offset, end)."""
        parts: list[Buffer] = []
        view = None if data is None else memoryview(data)
        for request in self._left:
            start = max(offset, request.offset)
            stop = min(end, request.offset + request.length)
            if start >= stop:
                break
            done = ChunkFlag.DONE if stop == request.offset + request.length else ChunkFlag.NONE
            if view is None:
                parts.append(transmission.pack_hole_chunk(request.cookie, start, stop - start, done))
            else:
                parts.append(transmission.pack_data_chunk(request.cookie, start, stop - start, done))
                parts.append(view[start - offset : stop - offset])
        return parts
