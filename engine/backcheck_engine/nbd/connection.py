"""One connection to an export, from the client's side: requests in flight, each with its cookie, and their replies.

A connection that breaks, or whose server says what no server may say, ends every request in flight with the same error.
"""

import asyncio
import contextlib
import errno
import itertools
from typing import Final, NamedTuple

from backcheck_engine.address import Address
from backcheck_engine.block.request import Buffer
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import transmission
from backcheck_engine.nbd.connecting import connect
from backcheck_engine.nbd.constants import (
    MAX_BUFFER_BYTES,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    ChunkType,
    Command,
    CommandFlag,
)
from backcheck_engine.nbd.errors import WireError, to_errno
from backcheck_engine.nbd.handshake import Export, Wanted, shake_hands
from backcheck_engine.nbd.replies import Answer
from backcheck_engine.nbd.stream import Stream, StreamClosed

_FAREWELL_S: Final = 1.0
"""How long a server that reads nothing keeps a client from going."""


class ConnectionLost(BlockError):
    """The connection is over, and with it a request that may or may not have been done."""

    def __init__(self, code: int) -> None:
        super().__init__(BlockError.from_errno(code).message, code)
        self.is_peers_fault: Final = code != errno.EIO
        """Whether the server broke the protocol, so that it is no use to come back to it."""


class _Pending(NamedTuple):
    """A request in flight; `done` is 0, or the errno that ended the connection."""

    answer: Answer
    done: asyncio.Future[int]


class Connection:
    """A negotiated connection; `close` ends it."""

    def __init__(self, stream: Stream, export: Export) -> None:
        self.export: Final = export
        self._stream: Final = stream
        self._cookies: Final = itertools.count(1)
        self._pending: Final[dict[int, _Pending]] = {}
        self._failure = 0
        """The errno that ended the connection."""
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
        return self._failure != 0

    async def perform(
        self,
        command: Command,
        offset: int = 0,
        length: int = 0,
        *,
        flags: CommandFlag = CommandFlag.NONE,
        data: Buffer = b"",
        buffer: memoryview | None = None,
    ) -> Answer:
        """Do one request; the answer may say that it failed. Raises ConnectionLost.

        A read's data goes to `buffer`, of `length` bytes. `data` has to stay as it is until the request is done.
        """
        if self._failure:
            raise ConnectionLost(self._failure)
        cookie = next(self._cookies)
        answer = Answer(command, offset, length, buffer, context_id=self.export.context_id)
        done = self._loop.create_future()
        self._pending[cookie] = _Pending(answer, done)
        try:
            await self._stream.write(transmission.pack_request(command, cookie, offset, length, flags), data)
            failure = await done
        except StreamClosed as error:
            self._fail(errno.EIO)
            raise ConnectionLost(self._failure) from error
        except asyncio.CancelledError:
            # Half a request may be under way, or a reply that nobody waits for any more.
            self._fail(errno.EIO)
            raise
        if failure:
            raise ConnectionLost(failure)
        return answer

    async def close(self) -> None:
        """Take leave of the server, as far as it still listens, and let the socket go."""
        if not self._failure:
            farewell = transmission.pack_request(Command.DISC, next(self._cookies), 0, 0)
            with contextlib.suppress(StreamClosed, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._stream.write(farewell)
            self._fail(errno.EIO)
        await self._receiver

    def drop(self) -> None:
        """End the connection without a word."""
        self._fail(errno.EIO)

    def _fail(self, code: int) -> None:
        """End the connection and every request that is in flight."""
        if self._failure:
            return
        self._failure = code
        self._stream.close()
        for _, done in self._pending.values():
            if not done.done():
                done.set_result(code)
        self._pending.clear()

    # Replies.

    async def _receive_all(self) -> None:
        """Take replies until the connection is over."""
        try:
            while True:
                await self._receive_one()
        except StreamClosed:
            self._fail(errno.EIO)
        except WireError as error:
            self._fail(error.errno)

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
        answer = self._answer_to(reply.cookie)
        if reply.error:
            answer.take_simple(to_errno(reply.error))
        elif answer.command == Command.READ:
            if self.export.structured:
                raise WireError("Protocol error: simple reply when structured reply chunk was expected")
            await self._stream.read_into(answer.place_for(answer.offset, answer.length))
        self._finish(reply.cookie, answer)

    async def _take_chunk(self, chunk: transmission.Chunk) -> None:
        answer = self._answer_to(chunk.cookie)
        if chunk.kind == ChunkType.OFFSET_DATA:
            if chunk.length <= transmission.OFFSET_BYTES:
                raise WireError("Protocol error: invalid payload for NBD_REPLY_TYPE_OFFSET_DATA")
            offset = transmission.unpack_data_offset(await self._stream.read(transmission.OFFSET_BYTES))
            await self._stream.read_into(answer.place_for(offset, chunk.length - transmission.OFFSET_BYTES))
        elif chunk.length > MAX_BUFFER_BYTES:
            raise WireError("Protocol error: payload too large")
        else:
            answer.take_payload(chunk, await self._stream.read(chunk.length) if chunk.length else b"")
        if chunk.is_done:
            self._finish(chunk.cookie, answer)

    def _answer_to(self, cookie: int) -> Answer:
        pending = self._pending.get(cookie)
        if pending is None:
            raise WireError(f"Protocol error: unexpected cookie {cookie:#x}")
        return pending.answer

    def _finish(self, cookie: int, answer: Answer) -> None:
        answer.finish()
        done = self._pending.pop(cookie).done
        if not done.done():
            done.set_result(0)
