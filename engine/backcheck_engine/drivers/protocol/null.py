"""The drivers `null-co` and `null-aio`: images without storage, which read as zeroes and forget what is written."""

import asyncio
import errno

from backcheck_engine.block.driver import Driver, DriverKind
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject

_DEFAULT_SIZE = 2**30
_NANOSECONDS = 1_000_000_000


class NullCoDriver(Driver):
    """An image of any size that stores nothing, with an optional latency."""

    format_name = "null-co"
    kind = DriverKind.PROTOCOL
    protocol_prefix = "null-co"
    strong_options = ("size", "read-zeroes")
    mutable_options = ()

    _size: int
    _latency_ns: int
    _reads_zeroes: bool

    @classmethod
    async def open(cls, opener: Opener) -> "NullCoDriver":
        driver = cls(opener.node)
        options = opener.options
        opener.take_filename()
        driver._size = options.take_size("size", _DEFAULT_SIZE)
        driver._latency_ns = options.take_int("latency-ns")
        if driver._latency_ns >= 2**63:
            raise BlockError("latency-ns is invalid", errno.EINVAL)
        driver._reads_zeroes = options.take_bool("read-zeroes")
        return driver

    @classmethod
    def parse_filename(cls, filename: str) -> JsonObject:
        if filename != f"{cls.protocol_prefix}://":
            raise BlockError(f"The only allowed filename for this driver is '{cls.protocol_prefix}://'", errno.EINVAL)
        return {}

    async def _pass_time(self) -> None:
        if self._latency_ns:
            await asyncio.sleep(self._latency_ns / _NANOSECONDS)

    async def pread(self, offset: int, length: int) -> Buffer:
        await self._pass_time()
        return bytes(length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._pass_time()

    async def flush(self) -> None:
        await self._pass_time()

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        return BlockStatus(length=length, zero=self._reads_zeroes, host_offset=offset, file=self.node)

    def size(self) -> int:
        return self._size

    def allocated_size(self) -> int | None:
        return 0

    def refresh_filename(self) -> str | None:
        """The URL, when nothing but the driver was chosen."""
        plain = not any(key in self.strong_options for key in self.node.options)
        return f"{self.protocol_prefix}://" if plain else ""


class NullAioDriver(NullCoDriver):
    """The same with requests that QEMU completes from a callback; here there is no difference."""

    format_name = "null-aio"
    protocol_prefix = "null-aio"
