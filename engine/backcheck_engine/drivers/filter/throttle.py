"""The filter `throttle`: its requests wait for their turn in a throttle group."""

from collections.abc import Callable

from backcheck_engine.block.driver import Driver, DriverInfo, DriverKind
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import Opener
from backcheck_engine.block.options import Options
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.block.throttle_group import ThrottleGroup, ThrottleMember
from backcheck_engine.block.throttling import IoDirection
from backcheck_engine.errors import BlockError


class ThrottleDriver(Driver):
    """Passes everything to its child `file`, no faster than its group allows; flushes do not count."""

    format_name = "throttle"
    kind = DriverKind.FILTER
    supports_discard = True
    supports_fua = True
    zero_flags = RequestFlag.MAY_UNMAP | RequestFlag.NO_FALLBACK | RequestFlag.FUA
    supports_compressed_writes = True
    strong_options = ("throttle-group",)
    mutable_options = ("throttle-group",)

    _member: ThrottleMember

    @classmethod
    async def open(cls, opener: Opener) -> "ThrottleDriver":
        driver = cls(opener.node)
        await opener.file()
        driver._member = ThrottleMember(driver._take_group(opener.options))
        return driver

    def _take_group(self, options: Options) -> ThrottleGroup:
        """The group that the options name. Raises BlockError."""
        name = options.take_str("throttle-group")
        if name is None:
            raise BlockError("Please specify a throttle group")
        group = self.node.graph.throttle_groups.find(name)
        if group is None:
            raise BlockError(f"Throttle group '{name}' does not exist")
        return group

    async def prepare_reopen(self, options: Options, discard: str) -> Callable[[], None]:
        group = self._take_group(options)

        def put_in_force() -> None:
            if group is not self._member.group:
                self._member = self._member.successor_in(group)

        return put_in_force

    @property
    def _file(self) -> Node:
        return self.node.file

    async def pread(self, offset: int, length: int) -> Buffer:
        await self._member.admit(IoDirection.READ, length)
        return await self._file.pread(offset, length)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._member.admit(IoDirection.WRITE, len(data))
        await self._file.pwrite(offset, data, flags)

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        await self._member.admit(IoDirection.WRITE, length)
        await self._file.pwrite_zeroes(offset, length, flags)

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        await self._member.admit(IoDirection.WRITE, len(data))
        await self._file.pwrite_compressed(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self._member.admit(IoDirection.WRITE, length)
        await self._file.discard(offset, length)

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        await self._file.truncate(size, exact=exact, preallocation=preallocation, zero=zero)

    async def close(self) -> None:
        self._member.leave()
        self.node.graph.throttle_groups.forget_unused(self._member.group)

    def drain_begin(self) -> None:
        self._member.drain_begin()

    def drain_end(self) -> None:
        self._member.drain_end()

    def size(self) -> int:
        return self._file.size

    def info(self) -> DriverInfo | None:
        return self._file.driver.info()

    def has_zero_init(self) -> bool:
        return self._file.driver.has_zero_init()
