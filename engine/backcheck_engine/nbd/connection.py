"""One connection to an export, from the client's side: requests in flight, each with its cookie, and their replies.

A connection that breaks, or whose server says what no server may say, ends every request in flight with the same error.
"""

import asyncio
import contextlib
import enum
import errno
import itertools
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from backcheck_engine.address import Address
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import transmission
from backcheck_engine.nbd.client_request import ClientRequest
from backcheck_engine.nbd.connecting import connect
from backcheck_engine.nbd.constants import (
    MAX_BUFFER_BYTES,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    ChunkType,
    Command,
)
from backcheck_engine.nbd.errors import WireError, to_errno
from backcheck_engine.nbd.handshake import Export, Wanted, shake_hands
from backcheck_engine.nbd.replies import Answer
from backcheck_engine.nbd.stream import Stream, StreamClosed

_FAREWELL_S: Final = 1.0
"""How long a server that reads nothing keeps a client from going."""


class ConnectionLost(BlockError):
    """The connection is over, and with it a request that may or may not have been done."""

    def __init__(self, end: "_End") -> None:
        code = _ERRNO[end]
        super().__init__(os.strerror(code), code)
        self.is_peers_fault: Final = end is not _End.GONE
        """Whether the server broke the protocol, so that it is no use to come back to it."""


class _End(enum.Enum):
    """How a connection ended."""

    GONE = enum.auto()
    MISBEHAVED = enum.auto()
    """The server broke the protocol."""
    MISANSWERED = enum.auto()
    """So it did, in its answer to the very request that is told so."""


_ERRNO: Final = {_End.GONE: errno.EIO, _End.MISBEHAVED: errno.EIO, _End.MISANSWERED: errno.EINVAL}


class _Pending(NamedTuple):
    """A request in flight; `done` is None, or how the connection ended before the answer was complete."""

    answer: Answer
    done: asyncio.Future[_End | None]


class Connection:
    """A negotiated connection; `close` ends it."""

    def __init__(self, stream: Stream, export: Export) -> None:
        self.export: Final = export
        self._stream: Final = stream
        self._cookies: Final = itertools.count(1)
        self._pending: Final[dict[int, _Pending]] = {}
        self._end: _End | None = None
        self._loop: Final = asyncio.get_running_loop()
        self._receiver: Final = self._loop.create_task(self._receive_all())

    @classmethod
    async def open(cls, address: Address, wanted: Wanted) -> "Connection":
        """Connect and negotiate. Raises BlockError."""
        stream = Stream(await connect(address))
        try:
            export = await shake_hands(stream, wanted)
        except BaseException:
            stream.close()
            raise
        return cls(stream, export)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is over."""
        return self._end is not None

    async def perform(self, request: ClientRequest) -> Answer:
        """Do one request; the answer may say that it failed. Raises ConnectionLost."""
        if self._end is not None:
            raise ConnectionLost(self._end)
        cookie = next(self._cookies)
        command, offset, length, flags, data, buffer = request
        answer = Answer(command, offset, length, buffer, context_id=self.export.context_id)
        done = self._loop.create_future()
        self._pending[cookie] = _Pending(answer, done)
        try:
            await self._stream.write(transmission.pack_request(command, cookie, offset, length, flags), data)
            end = await done
        except StreamClosed as error:
            raise ConnectionLost(self._fail(_End.GONE)) from error
        except asyncio.CancelledError:
            # Half a request may be under way, or a reply that nobody waits for any more.
            self._fail(_End.GONE)
            raise
        if end is not None:
            raise ConnectionLost(end)
        return answer

    async def close(self) -> None:
        """Take leave of the server, as far as it still listens, and let the socket go."""
        if self._end is None:
            farewell = transmission.pack_request(Command.DISC, next(self._cookies), 0, 0)
            with contextlib.suppress(StreamClosed, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._stream.write(farewell)
            self._fail(_End.GONE)
        await self._receiver

    def _fail(self, end: _End) -> _End:
        """End the connection and every request that is in flight; how it ended, if it has already."""
        if self._end is not None:
            return self._end
        self._end = end
        self._stream.close()
        for _, done in self._pending.values():
            if not done.done():
                done.set_result(end)
        self._pending.clear()
        return end

    # Replies.

    async def _receive_all(self) -> None:
        """Take replies until the connection is over."""
        try:
            while True:
                await self._receive_one()
        except StreamClosed:
            self._fail(_End.GONE)
        except WireError:
            self._fail(_End.MISBEHAVED)

    async def _receive_one(self) -> None:
        start = await self._stream.read(transmission.MAGIC_BYTES)
        magic = transmission.reply_magic(start)
        if magic == SIMPLE_REPLY_MAGIC:
            rest = await self._stream.read(transmission.SIMPLE_REPLY_BYTES - len(start))
            await self._take_simple(transmission.unpack_simple_reply(start + rest))
        elif magic == STRUCTURED_REPLY_MAGIC and self.export.structured:
            rest = await self._stream.read(transmission.CHUNK_BYTES - len(start))
            await self._take_chunk(transmission.unpack_chunk(start + rest))
        else:
            raise WireError(f"invalid magic (got 0x{magic:x})")

    async def _take_simple(self, reply: transmission.SimpleReply) -> None:
        with self._answering(reply.cookie) as answer:
            if answer.command == Command.READ and self.export.structured:
                raise WireError("Protocol error: simple reply when structured reply chunk was expected")
            if reply.error:
                answer.take_simple(to_errno(reply.error))
            elif answer.command == Command.READ:
                await self._stream.read_into(answer.place_for(answer.offset, answer.length))
            answer.finish()
        self._finish(reply.cookie)

    async def _take_chunk(self, chunk: transmission.Chunk) -> None:
        if chunk.length > MAX_BUFFER_BYTES + transmission.OFFSET_BYTES:
            raise WireError("Protocol error: payload too large")
        with self._answering(chunk.cookie) as answer:
            if chunk.kind == ChunkType.OFFSET_DATA:
                if chunk.length <= transmission.OFFSET_BYTES:
                    raise WireError("Protocol error: invalid payload for NBD_REPLY_TYPE_OFFSET_DATA")
                offset = transmission.unpack_data_offset(await self._stream.read(transmission.OFFSET_BYTES))
                await self._stream.read_into(answer.place_for(offset, chunk.length - transmission.OFFSET_BYTES))
            else:
                answer.take_payload(chunk, await self._stream.read(chunk.length) if chunk.length else b"")
            if chunk.is_done:
                answer.finish()
        if chunk.is_done:
            self._finish(chunk.cookie)

    @contextlib.contextmanager
    def _answering(self, cookie: int) -> Iterator[Answer]:
        """The answer that a reply belongs to; what no server may say about it is told to who asked."""
        pending = self._pending.get(cookie)
        if pending is None:
            raise WireError(f"Protocol error: unexpected cookie {cookie:#x}")
        try:
            yield pending.answer
        except WireError:
            if not pending.done.done():
                pending.done.set_result(_End.MISANSWERED)
            raise

    def _finish(self, cookie: int) -> None:
        done = self._pending.pop(cookie).done
        if not done.done():
            done.set_result(None)
