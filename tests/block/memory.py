"""Drivers for these tests: a protocol in memory that checks what the node promises, and an overlay above a backing.

Both give the loop a turn within every request, so that requests interleave as much as they can.
"""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager

from backcheck_engine.block import driver_table
from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.errors import BlockError

CLUSTER = 1024


class MemoryDriver(Driver):
    """Bytes in memory. A request that breaks the limits it announced is a failed assertion."""

    format_name = "memory"
    kind = DriverKind.PROTOCOL
    supports_discard = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK

    @classmethod
    async def open(cls, opener: Opener) -> "MemoryDriver":
        driver = cls(opener.node)
        options = opener.options
        driver.content = bytearray(options.take_size("size", 16 * CLUSTER))
        driver.align = options.take_size("align", 1)
        driver.max_transfer = options.take_size("max-transfer")
        driver.can_zero = options.take_bool("can-zero", True)
        driver.log: list[str] = []
        return driver

    def refresh_limits(self, limits: Limits) -> None:
        limits.request_alignment = self.align
        limits.max_transfer = self.max_transfer
        limits.pdiscard_alignment = limits.pwrite_zeroes_alignment = CLUSTER

    async def _begin(self, what: str, offset: int, length: int) -> None:
        self.log.append(what)
        assert what == "discard" or offset % self.align == length % self.align == 0
        assert length > 0
        if what in ("read", "write"):
            assert length <= (self.max_transfer or length)
        elif offset % (cluster := max(CLUSTER, self.align)) or length % cluster:
            assert offset // cluster == (offset + length - 1) // cluster, "only aligned requests cross a boundary"
        if what == "read":
            block = max(self.align, 512)
            assert offset + length <= -(-len(self.content) // block) * block
        await asyncio.sleep(0)

    async def pread(self, offset: int, length: int) -> Buffer:
        await self._begin("read", offset, length)
        return bytes(self.content[offset : offset + length]).ljust(length, b"\0")

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._begin("write", offset, len(data))
        self.content[offset : offset + len(data)] = data
        await asyncio.sleep(0)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        if not self.can_zero:
            raise BlockError.from_errno(errno.ENOTSUP)
        await self._begin("zero", offset, length)
        self.content[offset : offset + length] = bytes(length)

    async def discard(self, offset: int, length: int) -> None:
        await self._begin("discard", offset, length)
        if offset % CLUSTER or length % CLUSTER:
            raise BlockError.from_errno(errno.EINVAL)
        self.content[offset : offset + length] = bytes(length)

    async def flush(self) -> None:
        self.log.append("flush")

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))

    def size(self) -> int:
        return len(self.content)


class OverlayDriver(Driver):
    """Clusters in memory above an optional backing; what is not written is the backing's."""

    format_name = "overlay"
    kind = DriverKind.FORMAT
    supports_backing = True

    @classmethod
    async def open(cls, opener: Opener) -> "OverlayDriver":
        driver = cls(opener.node)
        driver.disk_size = opener.options.take_size("size")
        driver.clusters: dict[int, bytearray] = {}
        return driver

    async def _cluster(self, index: int) -> bytes:
        if index in self.clusters:
            return bytes(self.clusters[index])
        backing = self.node.backing
        if backing is None:
            return bytes(CLUSTER)
        return bytes(await backing.pread(index * CLUSTER, CLUSTER))

    async def pread(self, offset: int, length: int) -> Buffer:
        first, end = offset // CLUSTER, -(-(offset + length) // CLUSTER)
        whole = b"".join([await self._cluster(index) for index in range(first, end)])
        return whole[offset - first * CLUSTER :][:length]

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        for index in range(offset // CLUSTER, -(-(offset + len(data)) // CLUSTER)):
            if index not in self.clusters:
                self.clusters[index] = bytearray(await self._cluster(index))
            start = max(offset, index * CLUSTER)
            end = min(offset + len(data), (index + 1) * CLUSTER)
            self.clusters[index][start - index * CLUSTER : end - index * CLUSTER] = data[start - offset : end - offset]

    async def block_status(self, offset: int, length: int, want_zero: bool) -> BlockStatus:
        index = offset // CLUSTER
        return BlockStatus(length=min(length, (index + 1) * CLUSTER - offset), data=index in self.clusters)

    def size(self) -> int:
        return self.disk_size


@contextmanager
def memory_drivers() -> Iterator[None]:
    """Both drivers can be opened by name."""
    added = {"memory": f"{__name__}:MemoryDriver", "overlay": f"{__name__}:OverlayDriver"}
    driver_table._DRIVERS.update(added)
    try:
        yield
    finally:
        for name in added:
            del driver_table._DRIVERS[name]
