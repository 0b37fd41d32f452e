"""An export: a node that NBD clients reach by a name, with what it lets them do and what it can tell them."""

import asyncio
import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from backcheck_engine import release
from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.block.node_bitmaps import check_usable, find_bitmap
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import extents
from backcheck_engine.nbd.constants import (
    BASE_ALLOCATION,
    MAX_BUFFER_BYTES,
    MAX_STRING_BYTES,
    QEMU_ALLOCATION_DEPTH,
    QEMU_DIRTY_BITMAP,
    TransmissionFlag,
)
from backcheck_engine.nbd.negotiation import BlockSizes
from backcheck_engine.nbd.transmission import Extent

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.nbd.server_connection import Connection

_ALWAYS: Final = (
    TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA | TransmissionFlag.SEND_CACHE
)
_WRITABLE: Final = TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO
_PREFERRED_BYTES: Final = 4096
_HEAVY_READS: Final = 3
"""One less than there are threads for I/O."""
_ALLOCATION_ID: Final = 0
_DEPTH_ID: Final = 1
_FIRST_BITMAP_ID: Final = 2


class BitmapReference(NamedTuple):
    """A bitmap of the node `node`; without one, of the exported node or of one below it."""

    name: str
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What a client of the monitor, or a command line, asks for."""

    identity: str
    """How commands call it."""
    name: str
    """How NBD clients call it."""
    description: str = ""
    writable: bool = False
    writethrough: bool = False
    bitmaps: Sequence[BitmapReference] = ()
    allocation_depth: bool = False
    fixed_iothread: bool = False
    """Whether the node has to stay in the iothread in which it is."""


class Export:
    """One export, from when it is added until nobody uses it any more."""

    kind: Final = "nbd"

    def __init__(self, settings: ExportSettings, backend: BlockBackend, *, takes_many_clients: bool = True) -> None:
        """`backend` has its node. Raises BlockError in QEMU's words; the bitmaps are busy from now on."""
        _check_texts(settings)
        node = backend.inserted_node()
        backend.set_permissions(backend.permissions, backend.shared & ~Permission.RESIZE)
        self.settings: Final = settings
        self.backend: Final = backend
        self.size: Final = node.size // SECTOR_SIZE * SECTOR_SIZE
        self.flags: Final = _flags(settings, takes_many_clients=takes_many_clients)
        self.bitmaps: Final = _usable_bitmaps(settings, node)
        for bitmap in self.bitmaps:
            bitmap.busy = True
        self.clients: Final[set[Connection]] = set()
        """Those who have chosen this export."""
        self.heavy_reads: Final = asyncio.Semaphore(_HEAVY_READS)
        """Held by who reads much, so that a guest's requests do not queue behind."""
        self.is_wanted = True
        """Off from when somebody asked to delete it, or everything ends."""

    @property
    def identity(self) -> str:
        """How commands call it."""
        return self.settings.identity

    @property
    def name(self) -> str:
        """How NBD clients call it."""
        return self.settings.name

    @property
    def node_name(self) -> str:
        """The node that it shows now; '' when it has been closed."""
        node = self.backend.node
        return node.node_name if node is not None else ""

    @property
    def request_alignment(self) -> int:
        """What requests had better be multiples of."""
        return self.backend.inserted_node().limits.request_alignment

    def block_sizes(self, *, client_knows_them: bool) -> BlockSizes:
        """What requests it takes; every length from a client that did not ask."""
        node = self.backend.inserted_node()
        minimum = node.limits.request_alignment if client_knows_them else 1
        longest = min(node.limits.max_transfer or MAX_BUFFER_BYTES, MAX_BUFFER_BYTES)
        return BlockSizes(minimum, max(_PREFERRED_BYTES, minimum), longest)

    def meta_contexts(self) -> Iterator[tuple[int, str]]:
        """(id, name) of each meta context."""
        yield _ALLOCATION_ID, BASE_ALLOCATION
        if self.settings.allocation_depth:
            yield _DEPTH_ID, QEMU_ALLOCATION_DEPTH
        for position, bitmap in enumerate(self.bitmaps):
            yield _FIRST_BITMAP_ID + position, f"{QEMU_DIRTY_BITMAP}{bitmap.name}"

    async def extents(self, context_id: int, offset: int, length: int, limit: int) -> list[Extent]:
        """What the meta context of that id says about a range. Raises BlockError."""
        if context_id == _ALLOCATION_ID:
            return await extents.allocation_extents(self.backend, offset, length, limit)
        if context_id == _DEPTH_ID:
            return await extents.depth_extents(self.backend, offset, length, limit)
        return extents.bitmap_extents(self.bitmaps[context_id - _FIRST_BITMAP_ID], offset, length, limit)

    def disconnect_clients(self) -> None:
        """End every connection to it; they leave `clients` when their last request is done."""
        for client in list(self.clients):
            client.close()

    async def close(self) -> None:
        """Let go of the bitmaps and the node."""
        for bitmap in self.bitmaps:
            bitmap.busy = False
        await self.backend.close()


def _check_texts(settings: ExportSettings) -> None:
    if len(settings.name.encode(errors="surrogatepass")) > MAX_STRING_BYTES:
        raise BlockError(f"export name '{settings.name}' too long", errno.EINVAL)
    if len(settings.description.encode(errors="surrogatepass")) > MAX_STRING_BYTES:
        raise BlockError(f"description '{settings.description}' too long", errno.EINVAL)


def _flags(settings: ExportSettings, *, takes_many_clients: bool) -> TransmissionFlag:
    """Until 7.0 only what nobody writes could be read by several connections of one client."""
    flags = _ALWAYS | (_WRITABLE if settings.writable else TransmissionFlag.READ_ONLY)
    if takes_many_clients and (release.current() >= release.QEMU_7_2 or not settings.writable):
        flags |= TransmissionFlag.CAN_MULTI_CONN
    return flags


def _usable_bitmaps(settings: ExportSettings, node: "Node") -> list[DirtyBitmap]:
    """The bitmaps that are to be shown, each looked at in turn. Raises BlockError."""
    found = []
    for reference in settings.bitmaps:
        owner, bitmap = _find_bitmap(reference, node)
        is_old = release.current() < release.QEMU_7_2
        if is_old:
            check_usable(bitmap, allow_read_only=True)
        if not settings.writable and owner.is_writable and bitmap.is_recording:
            raise BlockError(f"Enabled bitmap '{bitmap.name}' incompatible with readonly export", errno.EINVAL)
        if not is_old:
            check_usable(bitmap, allow_read_only=True)
        found.append(bitmap)
    return found


def _find_bitmap(reference: BitmapReference, node: "Node") -> "tuple[Node, DirtyBitmap]":
    """The bitmap, and the node whose writers would change it: QEMU takes that of another node to be safe."""
    if reference.node is not None:
        return node, find_bitmap(node.graph, reference.node, reference.name)[1]
    for layer in node.backing_chain():
        bitmap = layer.bitmaps.find(reference.name)
        if bitmap is not None:
            return layer, bitmap
    raise BlockError(f"Bitmap '{reference.name}' is not found", errno.ENOENT)
