"""A node of the block graph: its identity, its place among children and parents, and its life.

Requests are in `node_io`, block status in `status`, drained sections in `drain`; the graph alone changes edges.
"""

import contextlib
import errno
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block import drain, node_filename
from backcheck_engine.block.blockers import Blockers
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.driver import Driver, DriverKind, Limits
from backcheck_engine.block.node_io import NodeIO
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import MAX_IMAGE_BYTES, SECTOR_SIZE, Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.opening import Opener


_ROLES_WITH_LIMITS = ChildRole.DATA | ChildRole.FILTERED | ChildRole.COW


class CacheMode:
    """`cache.direct` and `cache.no-flush` of a node; writeback belongs to the backend."""

    __slots__ = ("direct", "no_flush")

    def __init__(self) -> None:
        self.direct = False
        self.no_flush = False


class Node(NodeIO):
    """One node. Reference counted: whoever opened it, each child edge to it, and the monitor hold one each."""

    def __init__(self, graph: "Graph") -> None:
        super().__init__()
        self.graph = graph
        self.node_name = ""
        """Given by `graph.register`."""
        self.driver: Driver = NoDriver(self)
        self.driver_kind = DriverKind.PROTOCOL
        """The kind of the driver that is, or is about to be, this node's."""
        self.children: dict[str, Child] = {}
        """Outgoing edges by name, in the order in which they were attached."""
        self.parents: list[Child] = []
        """Incoming edges, newest first."""
        self.options: JsonObject = {}
        """The options that it was opened with, flat."""
        self.backing_file = ""
        """The backing's name as the image's header has it, or ''."""
        self.backing_format = ""
        """The backing's format as the image's header has it, or ''."""
        self.auto_backing_file = ""
        """The filename of the backing that opens without any option saying so."""
        self.cache = CacheMode()
        self.force_share = False
        self.auto_read_only = False
        self.probed = False
        """Whether the format was guessed."""
        self.no_io = False
        """Whether it was opened only for its metadata, without its backing."""
        self.inherits_from: Node | None = None
        """The parent whose options it took over, if it was opened for one."""
        self.monitor_owned = False
        self.iothread: str | None = None
        """The iothread that it is in; None is the main loop."""
        self.encrypted = False
        self.blockers = Blockers()
        self.closed = False
        self._references = 1

    def __repr__(self) -> str:
        return f"<Node {self.node_name!r}>"

    # Identity.

    @property
    def device_or_node_name(self) -> str:
        """How messages call this node: by its device's id, where it is a device's root, else by its node-name."""
        return self.graph.device_name_of(self) or self.node_name

    @property
    def format_name(self) -> str:
        """The driver's name."""
        return self.driver.format_name

    @property
    def filename(self) -> str:
        """What QEMU shows as the image's name: an exact filename, or json:{…}."""
        return node_filename.filename(self)

    @property
    def exact_filename(self) -> str:
        """A filename that opens this node again without further options, or ''."""
        return node_filename.exact_filename(self)

    def directory_base(self) -> str:
        """The filename that relative names in this image are relative to, or ''."""
        return node_filename.directory_base(self)

    @property
    def is_filter(self) -> bool:
        """Whether the node shows the content of one child unchanged."""
        return self.driver.kind is DriverKind.FILTER

    @property
    def is_writable(self) -> bool:
        """Whether the node was opened (or reopened) read-write."""
        return not self.read_only

    # Neighbours.

    def child_node(self, name: str) -> "Node | None":
        """The node behind the edge `name`, or None."""
        child = self.children.get(name)
        return child.node if child is not None else None

    @property
    def file(self) -> "Node":
        """The child `file`; only for drivers that always have one."""
        return self.children["file"].node

    @property
    def backing(self) -> "Node | None":
        """The child `backing`."""
        return self.child_node("backing")

    @property
    def primary_child(self) -> Child | None:
        """The child whose image this node's image is."""
        return next((child for child in self.children.values() if ChildRole.PRIMARY in child.role), None)

    @property
    def filtered(self) -> "Node | None":
        """For a filter, and for raw without offset and size, the node that it passes through."""
        return next((child.node for child in self.children.values() if ChildRole.FILTERED in child.role), None)

    @property
    def overlaid(self) -> "Node | None":
        """For an overlay, the node below it."""
        return next((child.node for child in self.children.values() if ChildRole.COW in child.role), None)

    @property
    def below(self) -> "Node | None":
        """The next node that decides content where this one does not: a filter's child or an overlay's backing."""
        return (self.filtered if self.is_filter else None) or self.overlaid

    def skip_filters(self) -> "Node":
        """This node, or what the filters that it begins with show."""
        node = self
        while node.is_filter and node.filtered is not None:
            node = node.filtered
        return node

    def backing_chain(self) -> "list[Node]":
        """This node and all below it, filters included."""
        chain: list[Node] = [self]
        while (lower := chain[-1].below) is not None:
            chain.append(lower)
        return chain

    # Permissions.

    def cumulative_permissions(self) -> tuple[Permission, Permission]:
        """(what any parent needs, what all parents share)."""
        needed, shared = Permission.NONE, Permission.ALL
        for parent in self.parents:
            needed |= parent.permissions
            shared &= parent.shared
        return needed, shared

    def permissions_on(self, child: Child, needed: Permission, shared: Permission) -> tuple[Permission, Permission]:
        """What this node needs and shares on `child`, when its own parents need and share what is given."""
        needed, shared = self.driver.child_permissions(child, needed, shared)
        return needed, Permission.ALL if child.node.force_share else shared

    # Facts.

    @property
    def size(self) -> int:
        """The virtual size in bytes, rounded up to a whole sector. Raises BlockError."""
        if self.driver.has_variable_size or self.cached_size < 0:
            self.refresh_size()
        return self.cached_size

    def refresh_size(self) -> None:
        """Ask the driver again."""
        exact = self.driver.size()
        if exact > MAX_IMAGE_BYTES:
            raise BlockError.from_errno(errno.EFBIG)
        self.cached_size = -(-exact // SECTOR_SIZE) * SECTOR_SIZE

    def refresh_limits(self) -> None:
        """Compute the limits from those of the children and the driver's own."""
        limits = Limits()
        for child in self.children.values():
            if child.role & _ROLES_WITH_LIMITS:
                limits.merge(child.node.limits)
        self.driver.refresh_limits(limits)
        self.limits = limits

    def children_changed(self) -> None:
        """The graph gave this node another child, or took one."""
        primary = self.primary_child
        self.event_sink = primary.node if primary is not None and primary.node.wants_debug_events else None

    def allocated_size(self) -> int | None:
        """Bytes that the image takes on its host, or None."""
        return self.driver.allocated_size()

    # As an owner of edges to other nodes.

    def describe(self) -> str:
        """How a permission conflict names this node."""
        if release.current() < release.QEMU_7_2:
            return self.device_or_node_name
        return f"node '{self.node_name}'"

    def resized(self, child: Child) -> None:
        """A child changed its size. A format keeps its own; a filter follows."""
        if child.node is self.filtered or self.driver.has_variable_size:
            self.refresh_size()
            self.bitmaps.resize(self.cached_size)
            self.notify_resized()

    def notify_resized(self) -> None:
        """Tell the parents of a new size."""
        for parent in list(self.parents):
            parent.owner.resized(parent)

    def drained_begin(self, child: Child) -> None:
        """A child is being drained: so is this node."""
        drain.begin(self)

    def drained_poll(self, child: Child) -> bool:
        """Whether requests are in flight here, which will reach the child."""
        return drain.is_busy(self)

    def drained_end(self, child: Child) -> None:
        """Undo `drained_begin`."""
        drain.end(self)

    # Life.

    def drained(self) -> "AbstractAsyncContextManager[None]":
        """A section in which no request is in flight here and no parent makes one."""
        return self.graph.drained(self)

    def ref(self) -> "Node":
        """Take a reference."""
        self._references += 1
        return self

    async def unref(self) -> None:
        """Give a reference back; the last one closes the node and lets its children go."""
        self._references -= 1
        if self._references == 0:
            await self._close()

    def give_reference_away(self) -> None:
        """Give back a reference while the caller has another, so that nothing is to be closed."""
        assert self._references > 1
        self._references -= 1

    async def _close(self) -> None:
        """Wait for requests, flush, close the driver, leave the graph and let the children go.

        A failure to write back is not the business of whoever happened to let go last: as in QEMU, nobody hears of it.
        """
        try:
            async with self.drained():
                with contextlib.suppress(BlockError):
                    await self.flush()
                with contextlib.suppress(BlockError):
                    await self.driver.close()
        finally:
            self.closed = True
            self.graph.forget(self)
            for child in reversed(list(self.children.values())):
                await self.graph.detach(child)
            NoDriver(self)


class NoDriver(Driver):
    """What a node has before it is open and after it is closed: every request fails with ENOMEDIUM."""

    format_name = ""
    kind = DriverKind.PROTOCOL

    @classmethod
    async def open(cls, opener: "Opener") -> Driver:
        return cls(opener.node)

    async def pread(self, offset: int, length: int) -> bytes:
        raise BlockError.from_errno(errno.ENOMEDIUM)

    async def pwrite(self, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        raise BlockError.from_errno(errno.ENOMEDIUM)

    def size(self) -> int:
        raise BlockError.from_errno(errno.ENOMEDIUM)
