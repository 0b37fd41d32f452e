"""The server's side of the transmission: requests of one client, several at a time, each answered as it is done.

A request that makes no sense is answered with an error; the connection goes on as long as it is clear where the next
request begins. No client can have more than _MAX_REQUESTS or _MAX_BYTES of requests under way.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

from backcheck_engine import release
from backcheck_engine.block.eager import start_eagerly
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import transmission
from backcheck_engine.nbd.constants import (
    MAX_BUFFER_BYTES,
    REQUEST_MAGIC,
    ChunkFlag,
    ChunkType,
    Command,
    CommandFlag,
    TransmissionFlag,
)
from backcheck_engine.nbd.errors import WireError
from backcheck_engine.nbd.extents import MAX_EXTENTS
from backcheck_engine.nbd.server_handshake import Agreement
from backcheck_engine.nbd.server_reading import RunOfReads, following_reads
from backcheck_engine.nbd.stream import Stream, StreamClosed
from backcheck_engine.nbd.transmission import Request
from backcheck_engine.nbd.turns import Turns

_MAX_REQUESTS: Final = 16
_MAX_BYTES: Final = 2 * MAX_BUFFER_BYTES
_MAX_MESSAGE: Final = 4096

_WITH_BUFFER: Final = (Command.READ, Command.WRITE, Command.CACHE)
_CHANGING: Final = (Command.WRITE, Command.WRITE_ZEROES, Command.TRIM)

_NAMES: Final = {
    Command.READ: "read",
    Command.WRITE: "write",
    Command.DISC: "disconnect",
    Command.FLUSH: "flush",
    Command.TRIM: "trim",
    Command.CACHE: "cache",
    Command.WRITE_ZEROES: "write zeroes",
    Command.BLOCK_STATUS: "block status",
}

_Handler: TypeAlias = "Callable[[Transmission, Request, Buffer], Awaitable[None]]"


class Transmission:
    """The requests of one client that has chosen an export."""

    def __init__(self, stream: Stream, agreement: Agreement, turns: Turns) -> None:
        self._stream: Final = stream
        self._turns: Final = turns
        self._export: Final = agreement.export
        self._backend: Final = agreement.export.backend
        self._structured: Final = agreement.structured
        self._contexts: Final = agreement.contexts
        self._under_way = self._bytes_under_way = 0
        self._one_less: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Answer requests until the client goes; its last ones are done when this ends.

        Raises WireError for what is no request, and StreamClosed.
        """
        try:
            while True:
                request = await self._next_request()
                if request.command == Command.DISC:
                    return
                data = await self._payload(request)
                size = request.length if request.command in _WITH_BUFFER else 0
                await self._wait_until(_MAX_REQUESTS - 1, max(0, _MAX_BYTES - size))
                self._under_way += 1
                self._bytes_under_way += size
                if self._may_be_sparse(request):
                    start_eagerly(self._answer_reads(self._with_following(request)))
                else:
                    start_eagerly(self._answer(request, data, size))
        finally:
            if self._under_way:
                self._stream.close()
                await self._wait_until(0, 0)

    async def _next_request(self) -> Request:
        """The head of the next request. Raises WireError for what is none; since 7.0 its sender is told."""
        head = await self._stream.read(transmission.REQUEST_BYTES)
        request = transmission.unpack_request(head)
        if request.magic != REQUEST_MAGIC:
            error = _refused(f"invalid magic (got 0x{request.magic:x})")
            if release.current() >= release.QEMU_7_2:
                await self._fail(request, error)
            raise WireError(error.message)
        return request

    async def _payload(self, request: Request) -> Buffer:
        """The data that follows a write. Raises WireError, after an answer, when it is too much to be read."""
        if request.command != Command.WRITE or not request.length:
            return b""
        if request.length > MAX_BUFFER_BYTES:
            await self._fail(request, _too_long(request))
            raise WireError("Request handling failed in intermediate state")
        data = bytearray(request.length)
        await self._stream.read_into(memoryview(data))
        return data

    async def _wait_until(self, requests: int, size: int) -> None:
        """Wait until at most so many requests, of together so many bytes, are under way; one may be larger."""
        while self._under_way > requests or (self._under_way and self._bytes_under_way > size):
            self._one_less = asyncio.get_running_loop().create_future()
            await self._one_less

    async def _answer(self, request: Request, data: Buffer, size: int) -> None:
        try:
            try:
                self._check(request)
                await _HANDLERS[request.command](self, request, data)
            except BlockError as error:
                await self._fail(request, error)
        except StreamClosed:
            # Whoever reads from the client notices, too.
            self._stream.close()
        finally:
            self._is_done(size)

    def _is_done(self, size: int) -> None:
        """A request, with a buffer of `size`, is no longer under way."""
        self._under_way -= 1
        self._bytes_under_way -= size
        if self._one_less is not None and not self._one_less.done():
            self._one_less.set_result(None)

    def _may_be_sparse(self, request: Request) -> bool:
        """Whether it is a plain read, which makes sense, of a client that understands chunks."""
        is_plain = request.command == Command.READ and self._structured and not request.flags
        return (
            is_plain and 0 < request.length <= MAX_BUFFER_BYTES and request.offset + request.length <= self._export.size
        )

    def _with_following(self, first: Request) -> list[Request]:
        """A read that is under way, with those that continue it, which are so from now on."""
        run = following_reads(first, self._stream, self._export)
        self._under_way += len(run) - 1
        self._bytes_under_way += sum(request.length for request in run[1:])
        return run

    async def _answer_reads(self, run: list[Request]) -> None:
        left = [request.length for request in run]
        try:
            await RunOfReads(run, self._stream, self._export, self._turns).answer(
                lambda request: self._is_done(left.pop(0))
            )
        except StreamClosed:
            self._stream.close()
        finally:
            for size in left:
                self._is_done(size)

    def _check(self, request: Request) -> None:
        """Raise BlockError for what this export cannot do."""
        command, size = request.command, self._export.size
        if command in _WITH_BUFFER and request.length > MAX_BUFFER_BYTES:
            raise _too_long(request)
        if command in _CHANGING and TransmissionFlag.READ_ONLY in self._export.flags:
            raise _refused("Export is read-only")
        if request.offset > size or request.length > size - request.offset:
            where = f"From: {request.offset}, Len: {request.length}, Size: {size}"
            raise _refused(f"operation past EOF; {where}")
        if command not in _HANDLERS:
            raise _refused(f"invalid request type ({command}) received")
        valid = CommandFlag.FUA | _FLAGS.get(Command(command), CommandFlag.NONE)
        if command == Command.READ and not self._structured:
            valid = CommandFlag.FUA
        if request.flags & ~int(valid):
            raise _refused(f"unsupported flags for command {_NAMES[Command(command)]} (got 0x{request.flags:x})")

    # Commands. All raise BlockError with the text that the client gets, and StreamClosed.

    async def _read(self, request: Request, data: Buffer) -> None:
        if request.flags & CommandFlag.FUA:
            await _doing("flush failed", self._backend.flush())
        if not self._structured:
            read = await self._pread(request.offset, request.length)
            await self._stream.write(transmission.pack_simple_reply(request.cookie), read)
        elif not request.length:
            await self._stream.write(transmission.pack_chunk(ChunkType.NONE, request.cookie, 0, ChunkFlag.DONE))
        elif not request.flags & CommandFlag.DF:
            await RunOfReads([request], self._stream, self._export, self._turns).answer()
        else:
            data = await self._pread(request.offset, request.length)
            head = transmission.pack_data_chunk(request.cookie, request.offset, request.length, ChunkFlag.DONE)
            await self._stream.write(head, data)

    async def _pread(self, offset: int, length: int) -> Buffer:
        return await _doing("reading from file failed", self._backend.pread(offset, length))

    async def _cache(self, request: Request, data: Buffer) -> None:
        """What is near is in the exported node itself."""
        await _doing("caching data failed", self._backend.bring_near(request.offset, request.length))
        await self._succeed(request)

    async def _write(self, request: Request, data: Buffer) -> None:
        await _doing("writing to file failed", self._backend.pwrite(request.offset, data, _fua(request)))
        await self._succeed(request)

    async def _write_zeroes(self, request: Request, data: Buffer) -> None:
        flags = _fua(request)
        if not request.flags & CommandFlag.NO_HOLE:
            flags |= RequestFlag.MAY_UNMAP
        if request.flags & CommandFlag.FAST_ZERO:
            flags |= RequestFlag.NO_FALLBACK
        zeroing = self._backend.pwrite_zeroes(request.offset, request.length, flags)
        await _doing("writing to file failed", zeroing)
        await self._succeed(request)

    async def _flush(self, request: Request, data: Buffer) -> None:
        await _doing("flush failed", self._backend.flush())
        await self._succeed(request)

    async def _trim(self, request: Request, data: Buffer) -> None:
        await _doing("discard failed", self._backend.discard(request.offset, request.length))
        if request.flags & CommandFlag.FUA:
            await _doing("discard failed", self._backend.flush())
        await self._succeed(request)

    async def _block_status(self, request: Request, data: Buffer) -> None:
        """One chunk for each meta context that was chosen."""
        if not request.length:
            raise _refused("need non-zero length")
        if not self._contexts:
            raise _refused("CMD_BLOCK_STATUS not negotiated")
        limit = 1 if request.flags & CommandFlag.REQ_ONE else MAX_EXTENTS
        for context_id in self._contexts:
            finding = self._export.extents(context_id, request.offset, request.length, limit)
            extents = await _doing("can't get block status", finding)
            done = ChunkFlag.DONE if context_id == self._contexts[-1] else ChunkFlag.NONE
            await self._stream.write(transmission.pack_status_chunk(request.cookie, context_id, extents, done))

    # Replies.

    async def _succeed(self, request: Request) -> None:
        await self._stream.write(transmission.pack_simple_reply(request.cookie))

    async def _fail(self, request: Request, error: BlockError) -> None:
        if self._structured:
            text = error.message.encode(errors="surrogateescape")[:_MAX_MESSAGE].decode(errors="ignore")
            await self._stream.write(transmission.pack_error_chunk(request.cookie, error.errno, text))
        else:
            await self._stream.write(transmission.pack_simple_reply(request.cookie, error.errno))


_HANDLERS: Final[dict[int, _Handler]] = {
    Command.READ: Transmission._read,
    Command.WRITE: Transmission._write,
    Command.FLUSH: Transmission._flush,
    Command.TRIM: Transmission._trim,
    Command.CACHE: Transmission._cache,
    Command.WRITE_ZEROES: Transmission._write_zeroes,
    Command.BLOCK_STATUS: Transmission._block_status,
}
_FLAGS: Final = {
    Command.READ: CommandFlag.DF,
    Command.WRITE_ZEROES: CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO,
    Command.BLOCK_STATUS: CommandFlag.REQ_ONE,
}
"""What a command may be given besides FUA."""

_ResultT = TypeVar("_ResultT")


async def _doing(what: str, request: Awaitable[_ResultT]) -> _ResultT:
    """What a request gives; when it fails, the client hears what could not be done, and why."""
    try:
        return await request
    except BlockError as error:
        raise BlockError(f"{what}: {os.strerror(error.errno)}", error.errno) from error


def _fua(request: Request) -> RequestFlag:
    return RequestFlag.FUA if request.flags & CommandFlag.FUA else RequestFlag.NONE


def _too_long(request: Request) -> BlockError:
    space = " " if release.current() < release.QEMU_10_0 else ""
    return _refused(f"len ({request.length}{space}) is larger than max len ({MAX_BUFFER_BYTES})")


def _refused(why: str) -> BlockError:
    """A request that is not even tried; as in QEMU, they all have the same number."""
    return BlockError(why, errno.EINVAL)
