"""A backend: what a guest device, a tool or an export uses to reach the graph.

It holds the edge "root" to its node, keeps requests inside the image, and queues them while the node is drained, so
that they resume in the order in which they came.
"""

import asyncio
import enum
import errno
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.child import Child
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import BlockStatus, Buffer, RequestFlag
from backcheck_engine.block.throttle_group import ThrottleMember
from backcheck_engine.block.throttling import IoDirection, ThrottleLimits
from backcheck_engine.errors import BlockError
from backcheck_engine.tracing import BLK_CO_PREADV, BLK_CO_PWRITEV, ZERO_WRITE

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node


class OnError(enum.Enum):
    """What to do about a request that failed: BlockdevOnError."""

    REPORT = "report"
    IGNORE = "ignore"
    ENOSPC = "enospc"
    STOP = "stop"
    AUTO = "auto"

    def action(self, error: int) -> "ErrorAction":
        """What this policy does about the errno `error`."""
        if self is OnError.IGNORE:
            return ErrorAction.IGNORE
        if self is OnError.STOP or (self in (OnError.ENOSPC, OnError.AUTO) and error == errno.ENOSPC):
            return ErrorAction.STOP
        return ErrorAction.REPORT


class ErrorAction(enum.Enum):
    """What is done about a request that failed: BlockErrorAction."""

    IGNORE = "ignore"
    REPORT = "report"
    STOP = "stop"


class IoStatus(enum.Enum):
    """BlockDeviceIoStatus."""

    OK = "ok"
    FAILED = "failed"
    NOSPACE = "nospace"


class Accounting:
    """What `query-blockstats` counts for a device."""

    def __init__(self) -> None:
        self.read_operations = self.write_operations = self.flush_operations = 0
        self.read_bytes = self.write_bytes = 0
        self.failed_read_operations = self.failed_write_operations = self.failed_flush_operations = 0
        self.invalid_read_operations = self.invalid_write_operations = 0


class BlockBackend:
    """One user's access. `name` is the device's id, or '' for an anonymous backend."""

    def __init__(
        self,
        graph: "Graph",
        name: str = "",
        *,
        permissions: Permission = Permission.NONE,
        shared: Permission = Permission.ALL,
    ) -> None:
        self.graph = graph
        self.name = name
        self.permissions = permissions
        self.shared = shared
        self.root: Child | None = None
        self.attached_device = ""
        """The id or path of the guest device that uses this backend, or ''."""
        self.write_cache = True
        """Off (cache=writethrough): every write is followed by a flush."""
        self.allow_write_beyond_eof = False
        self.queues_while_drained = True
        """Off for a user that is quiesced in another way and must get its last requests through."""
        self.has_io_status = False
        """Whether queries tell how the guest's requests fare. No guest runs, so that none ever fails."""
        self.iothread: str | None = None
        """The iothread that it is in, with its node; None is the main loop."""
        self.allows_iothread_change = False
        """Whether its user does not mind where it is."""
        self.accounting = Accounting()
        self.before_removal: list[Callable[[], Awaitable[None]]] = []
        """What is to be done, once, when the medium is about to be let go."""
        self.throttle: ThrottleMember | None = None
        """Its membership in a throttle group, while its reads and writes are limited."""
        self.in_flight = 0
        self.quiesced = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        if name:
            graph.add_backend(self)

    # The medium.

    @property
    def node(self) -> "Node | None":
        """The root node, or None without a medium."""
        return self.root.node if self.root is not None else None

    def inserted_node(self) -> "Node":
        """The root node. Raises BlockError when there is no medium."""
        if self.root is None:
            raise BlockError(f"Device '{self.name}' has no medium", errno.ENOMEDIUM)
        return self.root.node

    def insert(self, node: "Node") -> None:
        """Make `node` the medium, with a reference of its own. Raises BlockError on a permission conflict."""
        self.root = self.graph.attach(node, "root", owner=self, permissions=self.permissions, shared=self.shared)
        self.iothread = node.iothread

    async def replace(self, node: "Node") -> None:
        """Make another node the medium, drained. Raises BlockError on a permission conflict; nothing has changed."""
        root = self.root
        assert root is not None
        old = root.node
        async with old.drained(), node.drained():
            self.graph.replace_child(root, node)
        await old.unref()

    async def remove(self) -> None:
        """Let the medium go, after what is in flight on it."""
        if self.root is None:
            return
        while self.before_removal:
            await self.before_removal.pop(0)()
        async with self.root.node.drained():
            root, self.root = self.root, None
            self.graph.detach_now(root)
        await root.node.unref()

    def give_up(self) -> None:
        """Let go of a medium that somebody else holds too, before any request was made."""
        if self.root is not None:
            root, self.root = self.root, None
            self.graph.detach_now(root)
            root.node.give_reference_away()

    async def close(self) -> None:
        """Let the medium, the throttle group and the name go."""
        self.limit(None, ThrottleLimits())
        await self.remove()
        if self.name:
            self.graph.remove_backend(self)

    def set_permissions(self, permissions: Permission, shared: Permission) -> None:
        """Change what this user needs and shares. Raises BlockError on a conflict; nothing has changed."""
        if self.root is not None:
            self.graph.set_permissions(self.root, permissions, shared)
        self.permissions, self.shared = permissions, shared

    @property
    def may_change_iothread(self) -> bool:
        """Whether it may be taken to another iothread with its node: a -drive that no device uses does not mind."""
        return self.allows_iothread_change or bool(self.name and not self.attached_device)

    # I/O limits.

    def limit(self, group_name: str | None, limits: ThrottleLimits) -> None:
        """Limit its reads and writes, together with the other members of a group, or with no limits, no longer.

        Without a name the group is the one that it is in, or else one of its own.
        """
        member = self.throttle
        if member is not None and (not limits.is_any() or group_name not in (None, member.group.name)):
            self.throttle = None
            member.leave()
            self.graph.throttle_groups.forget_unused(member.group)
        if limits.is_any():
            if self.throttle is None:
                self.throttle = ThrottleMember(self.graph.throttle_groups.shared(group_name or self.name))
                for _ in range(self.quiesced):
                    self.throttle.drain_begin()
            self.throttle.group.configure(limits)
            self.throttle.group.restart(self.throttle)

    # As an owner of its edge.

    def describe(self) -> str:
        """How a permission conflict names this backend."""
        old = release.current() < release.QEMU_7_2
        name = self.name or self.attached_device
        if not name:
            return "a block device" if old else "an unnamed block device"
        return name if old else f"block device '{name}'"

    def drained_begin(self, child: Child) -> None:
        """Queue new requests, and hold back none that is on its way."""
        self.quiesced += 1
        if self.throttle:
            self.throttle.drain_begin()

    def drained_poll(self, child: Child) -> bool:
        """Whether requests that are not queued are still in flight."""
        return self.in_flight > 0

    def drained_end(self, child: Child) -> None:
        """Let queued requests go, in the order in which they came. From now on they are in flight."""
        self.quiesced -= 1
        if self.throttle:
            self.throttle.drain_end()
        if not self.quiesced:
            while self._queue:
                waiter = self._queue.popleft()
                if not waiter.done():
                    self.in_flight += 1
                    waiter.set_result(None)

    def resized(self, child: Child) -> None:
        """The medium has a new size; whoever shows it asks for it."""

    # Requests. All raise BlockError: ENOMEDIUM without a medium, EIO outside the image, or what the driver says.

    async def pread(self, offset: int, length: int) -> Buffer:
        """Exactly `length` bytes."""
        await self._enter()
        try:
            self._check_range(offset, length)
            if self.throttle:
                await self.throttle.admit(IoDirection.READ, length)
            node = self.inserted_node()
            if BLK_CO_PREADV.is_on:
                BLK_CO_PREADV(self, node, offset, length, 0)
            return await node.pread(offset, length)
        finally:
            self._leave()

    async def bring_near(self, offset: int, length: int) -> None:
        """Read, and store in the medium itself what layers below it hold; EPERM where that cannot be written."""
        await self._enter()
        try:
            self._check_range(offset, length)
            if self.throttle:
                await self.throttle.admit(IoDirection.READ, length)
            node = self.inserted_node()
            if BLK_CO_PREADV.is_on:
                BLK_CO_PREADV(self, node, offset, length, 0)
            if node.read_only and length and await node.is_allocated(offset, length) != (True, length):
                raise BlockError.from_errno(errno.EPERM)
            await node.pread_storing(offset, length)
        finally:
            self._leave()

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Write `data`."""
        await self._enter()
        try:
            self._check_range(offset, len(data))
            if self.throttle:
                await self.throttle.admit(IoDirection.WRITE, len(data))
            node = self.inserted_node()
            if BLK_CO_PWRITEV.is_on:
                BLK_CO_PWRITEV(self, node, offset, len(data), flags.value)
            await node.pwrite(offset, data, self._write_flags(flags))
        finally:
            self._leave()

    async def pwrite_zeroes(self, offset: int, length: int, flags: RequestFlag = RequestFlag.NONE) -> None:
        """Make a range read as zeroes."""
        await self._enter()
        try:
            self._check_range(offset, length)
            if self.throttle:
                await self.throttle.admit(IoDirection.WRITE, length)
            node = self.inserted_node()
            if BLK_CO_PWRITEV.is_on:
                BLK_CO_PWRITEV(self, node, offset, length, flags.value | ZERO_WRITE)
            await node.pwrite_zeroes(offset, length, self._write_flags(flags), is_from_outside=True)
        finally:
            self._leave()

    async def pwrite_compressed(self, offset: int, data: Buffer) -> None:
        """Write `data` compressed."""
        await self._enter()
        try:
            self._check_range(offset, len(data))
            await self.inserted_node().pwrite_compressed(offset, data)
        finally:
            self._leave()

    async def discard(self, offset: int, length: int) -> None:
        """Say that a range is no longer needed."""
        await self._enter()
        try:
            self._check_range(offset, length)
            await self.inserted_node().discard(offset, length)
        finally:
            self._leave()

    async def flush(self) -> None:
        """Put everything written on stable storage."""
        await self._enter()
        try:
            await self.inserted_node().flush()
        finally:
            self._leave()

    async def block_status(self, offset: int, length: int) -> BlockStatus:
        """What a reader of the medium, with all that is below it, sees in a range."""
        await self._enter()
        try:
            self._check_range(offset, length)
            return await self.inserted_node().block_status_above(None, offset, length)
        finally:
            self._leave()

    async def allocation_depth(self, offset: int, length: int) -> tuple[int, int]:
        """(for how many bytes, how many layers down it is decided what they are); the depth is 0 where nobody does."""
        await self._enter()
        try:
            self._check_range(offset, length)
            return await self.inserted_node().allocation_depth(offset, length)
        finally:
            self._leave()

    async def truncate(self, size: int, *, exact: bool, preallocation: str = "off", zero: bool = False) -> None:
        """Change the size of the medium."""
        await self._enter()
        try:
            await self.inserted_node().truncate(size, exact=exact, preallocation=preallocation, zero=zero)
        finally:
            self._leave()

    @property
    def size(self) -> int:
        """The size of the medium in bytes. Raises BlockError without one."""
        return self.inserted_node().size

    async def _enter(self) -> None:
        if not (self.quiesced and self.queues_while_drained):
            self.in_flight += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self.in_flight -= 1
        if self.quiesced and not self.in_flight:
            self.graph.drain_kick()

    def _check_range(self, offset: int, length: int) -> None:
        if self.root is None:
            raise BlockError.from_errno(errno.ENOMEDIUM)
        if length < 0 or offset < 0:
            raise BlockError.from_errno(errno.EIO)
        if not self.allow_write_beyond_eof and offset + length > self.root.node.size:
            raise BlockError.from_errno(errno.EIO)

    def _write_flags(self, flags: RequestFlag) -> RequestFlag:
        return flags if self.write_cache else flags | RequestFlag.FUA
