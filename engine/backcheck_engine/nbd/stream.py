"""A connected socket of one peer: exact reads, reads into a buffer of one's own, writes of several parts at once.

One task reads at a time; any number may write, and each write goes out whole before the next begins.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from backcheck_engine.block.request import Buffer
from backcheck_engine.nbd.turns import HEAVY_BYTES, Turns

_READ_AHEAD: Final = 64 * 1024
_SOCKET_BUFFER: Final = 4 * 2**20
"""Asked for; the kernel gives what it allows."""


class StreamClosed(ConnectionError):
    """The peer has gone, or `close` was called."""


class Stream:
    """Owns `connection`. Every method that waits raises StreamClosed once the stream is at its end."""

    def __init__(self, connection: socket.socket, turns: Turns | None = None) -> None:
        """With `turns`, long writes are done in turn with those of others."""
        connection.setblocking(False)
        self._socket: Final = connection
        self._loop: Final = asyncio.get_running_loop()
        self._ahead = memoryview(bytearray(_READ_AHEAD))
        self._start = self._end = 0
        """What of `_ahead` has come and was not taken yet."""
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._writes: Final = asyncio.Lock()
        self._turns: Final = turns
        self.is_open = True
        self._set_options()

    def _set_options(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        if self._socket.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def read(self, length: int) -> bytes:
        """Exactly `length` bytes. A peer that goes in between raises StreamClosed, as at the start."""
        if self._end - self._start < length:
            if length > _READ_AHEAD:
                data = bytearray(length)
                await self.read_into(memoryview(data))
                return bytes(data)
            await self._fill(length)
        start = self._start
        self._start = start + length
        return bytes(self._ahead[start : start + length])

    def peek(self, length: int) -> memoryview | None:
        """The next `length` bytes, which stay where they are; None when they have not come yet."""
        if self._end - self._start < length:
            return None
        return self._ahead[self._start : self._start + length]

    def take(self, length: int) -> None:
        """Take bytes that `peek` has shown."""
        self._start += length

    async def read_into(self, buffer: memoryview) -> None:
        """Fill `buffer`; what has not come yet goes there without a copy."""
        done = min(len(buffer), self._end - self._start)
        buffer[:done] = self._ahead[self._start : self._start + done]
        self._start += done
        while done < len(buffer):
            done += await self._receive(buffer[done:])

    async def skip(self, length: int) -> None:
        """Take `length` bytes and forget them."""
        while length:
            taken = min(length, _READ_AHEAD)
            await self.read(taken)
            length -= taken

    async def _fill(self, length: int) -> None:
        """Have at least `length` bytes ahead."""
        if self._start:
            rest = bytes(self._ahead[self._start : self._end])
            self._ahead[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end < length:
            self._end += await self._receive(self._ahead[self._end :])

    async def _receive(self, buffer: memoryview) -> int:
        while self.is_open:
            try:
                count = self._socket.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                await self._wait_readable()
                continue
            except OSError as error:
                raise StreamClosed(error.strerror) from error
            if not count:
                break
            return count
        raise StreamClosed("end of stream")

    async def _wait_readable(self) -> None:
        self._readable = self._loop.create_future()
        self._loop.add_reader(self._socket, _wake, self._readable)
        try:
            await self._readable
        finally:
            self._readable = None
            if self.is_open:
                self._loop.remove_reader(self._socket)

    async def write(self, *parts: Buffer) -> None:
        """Send the parts one behind the other."""
        async with self._writes:
            await self._send(parts)

    async def _send(self, parts: Sequence[Buffer]) -> None:
        rest = [memoryview(part) for part in parts if len(part)]
        turns = self._turns if sum(map(len, rest)) >= HEAVY_BYTES else None
        while rest:
            if turns is not None:
                await turns.take()
            sent = self._send_now(rest)
            if not sent:
                await self._wait_writable()
                continue
            while rest and sent >= len(rest[0]):
                sent -= len(rest.pop(0))
            if rest:
                rest[0] = rest[0][sent:]

    def _send_now(self, parts: list[memoryview]) -> int:
        """Send what the kernel takes; how much that was."""
        if not self.is_open:
            raise StreamClosed("closed")
        try:
            return self._socket.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise StreamClosed(error.strerror) from error

    async def _wait_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._socket, _wake, self._writable)
        try:
            await self._writable
        finally:
            self._writable = None
            if self.is_open:
                self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """End it at once; whoever waits gets StreamClosed."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for waiter in (self._readable, self._writable):
            if waiter is not None:
                _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
