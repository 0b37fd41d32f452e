"""What clients do with dirty bitmaps, as actions of a transaction; a command does one of them by itself.

All of it happens in `prepare`, so that the next action of the same transaction finds it done; `abort` puts every bit
back, and keeps what guests have written meanwhile: the actions that follow may take their time, and QEMU forgets it.
Only a removal waits for `commit`: until then the bitmap is busy and still there, though no longer in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.node_bitmaps import check_usable, find_bitmap
from backcheck_engine.errors import BlockError, OptionError
from backcheck_engine.jobs.group import JobGroup
from backcheck_engine.jobs.transaction import Action

if TYPE_CHECKING:
    from backcheck_engine.block.dirty_bitmap import DirtyBitmap, SavedBits
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node

MIN_GRANULARITY: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBitmap:
    """The bitmap that a client wants."""

    node: str
    """A device or a node-name."""
    name: str
    granularity: int | None = None
    persistent: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BitmapReference:
    """How a client names a bitmap: by a device or a node-name, and its own name."""

    node: str
    name: str

    def find(self, graph: Graph) -> tuple[Node, DirtyBitmap]:
        """The bitmap and its node. Raises BlockError."""
        return find_bitmap(graph, self.node, self.name)


async def do_alone(action: Action) -> None:
    """Do an action on a bitmap outside of a transaction: nothing is drained. Raises EngineError."""
    try:
        await action.prepare(JobGroup())
        await action.commit()
    finally:
        await action.clean()


class WritesSince:
    """What is written from now on, where `bitmap` of `node` records it, until `end`. Raises BlockError (ENOMEM)."""

    def __init__(self, node: Node, bitmap: DirtyBitmap) -> None:
        self._node: Final = node
        self._bitmap: Final = bitmap
        self._noted: Final = node.bitmaps.create(bitmap.granularity, recording=bitmap.recording)

    def mark(self) -> None:
        """Mark it in the bitmap, whatever has become of that meanwhile."""
        self._bitmap.merge_from(self._noted)

    def end(self) -> None:
        """Note no more."""
        self._node.bitmaps.remove(self._noted)


class BitmapAddAction(Action):
    """Add a bitmap with nothing marked."""

    name: ClassVar[str] = "block-dirty-bitmap-add"

    def __init__(self, graph: Graph, wanted: NewBitmap) -> None:
        self._graph: Final = graph
        self._wanted: Final = wanted
        self._added: tuple[Node, DirtyBitmap] | None = None

    async def prepare(self, group: JobGroup) -> None:
        wanted = self._wanted
        if not wanted.name:
            raise OptionError("Bitmap name cannot be empty")
        node = self._graph.find_device_or_node(wanted.node)
        granularity = wanted.granularity
        if granularity is None:
            granularity = node.bitmaps.default_granularity()
        elif granularity < MIN_GRANULARITY or granularity & (granularity - 1):
            raise OptionError(f"Granularity must be power of 2 and at least {MIN_GRANULARITY}")
        if wanted.persistent:
            _check_writable(node, "Cannot add a persistent bitmap to read-only or inactive node")
            await node.driver.check_new_bitmap(wanted.name, granularity)
        bitmap = node.bitmaps.create(granularity, name=wanted.name, recording=not wanted.disabled)
        bitmap.persistent = wanted.persistent
        self._added = node, bitmap

    async def abort(self) -> None:
        if self._added is not None:
            node, bitmap = self._added
            node.bitmaps.remove(bitmap)


class BitmapRemoveAction(Action):
    """Remove a bitmap, from its image too where it is stored there."""

    name: ClassVar[str] = "block-dirty-bitmap-remove"

    def __init__(self, graph: Graph, reference: BitmapReference) -> None:
        self._graph: Final = graph
        self._reference: Final = reference
        self._found: tuple[Node, DirtyBitmap] | None = None

    async def prepare(self, group: JobGroup) -> None:
        node, bitmap = self._reference.find(self._graph)
        check_usable(bitmap, allow_read_only=True, allow_inconsistent=True)
        if bitmap.persistent:
            _check_writable(node, f"Cannot remove persistent bitmap '{bitmap.name}': no write access to node")
        check_usable(bitmap, allow_inconsistent=True)
        if bitmap.persistent:
            await node.driver.remove_stored_bitmap(self._reference.name)
        bitmap.busy = True
        self._found = node, bitmap

    async def commit(self) -> None:
        assert self._found is not None
        node, bitmap = self._found
        bitmap.busy = False
        node.bitmaps.remove(bitmap)

    async def abort(self) -> None:
        """What was persistent is stored anew when the node closes."""
        if self._found is not None:
            self._found[1].busy = False


class BitmapClearAction(Action):
    """Unmark everything."""

    name: ClassVar[str] = "block-dirty-bitmap-clear"

    def __init__(self, graph: Graph, reference: BitmapReference) -> None:
        self._graph: Final = graph
        self._reference: Final = reference
        self._before: tuple[DirtyBitmap, SavedBits, WritesSince] | None = None

    async def prepare(self, group: JobGroup) -> None:
        node, bitmap = self._reference.find(self._graph)
        check_usable(bitmap)
        since = WritesSince(node, bitmap)
        self._before = bitmap, bitmap.take_bits(), since

    async def abort(self) -> None:
        if self._before is not None:
            bitmap, bits, since = self._before
            bitmap.restore_bits(bits)
            since.mark()

    async def clean(self) -> None:
        if self._before is not None:
            self._before[2].end()


class BitmapRecordingAction(Action):
    """Let a bitmap record writes, or no longer."""

    records: ClassVar[bool]

    def __init__(self, graph: Graph, reference: BitmapReference) -> None:
        self._graph: Final = graph
        self._reference: Final = reference
        self._before: tuple[DirtyBitmap, bool, WritesSince] | None = None

    async def prepare(self, group: JobGroup) -> None:
        node, bitmap = self._reference.find(self._graph)
        check_usable(bitmap, allow_read_only=True)
        self._before = bitmap, bitmap.recording, WritesSince(node, bitmap)
        bitmap.recording = self.records

    async def abort(self) -> None:
        if self._before is not None:
            bitmap, recorded, since = self._before
            bitmap.recording = recorded
            since.mark()

    async def clean(self) -> None:
        if self._before is not None:
            self._before[2].end()


class BitmapEnableAction(BitmapRecordingAction):
    """Let a bitmap record writes."""

    name: ClassVar[str] = "block-dirty-bitmap-enable"
    records: ClassVar[bool] = True


class BitmapDisableAction(BitmapRecordingAction):
    """Let a bitmap record no writes."""

    name: ClassVar[str] = "block-dirty-bitmap-disable"
    records: ClassVar[bool] = False


class BitmapMergeAction(Action):
    """Mark in one bitmap what is marked in any of others. A source given as text is one of the target's node."""

    name: ClassVar[str] = "block-dirty-bitmap-merge"

    def __init__(self, graph: Graph, target: BitmapReference, sources: Sequence[str | BitmapReference]) -> None:
        self._graph: Final = graph
        self._target: Final = target
        self._sources: Final = sources
        self._before: tuple[DirtyBitmap, SavedBits, WritesSince] | None = None

    async def prepare(self, group: JobGroup) -> None:
        node, target = self._target.find(self._graph)
        sources = self._usable_sources(node, target)
        if sources:
            self._before = target, target.save_bits(), WritesSince(node, target)
        for source in sources:
            target.merge_from(source)

    def _usable_sources(self, node: Node, target: DirtyBitmap) -> list[DirtyBitmap]:
        """The sources, all of them checked; before 7.2 the target is checked after them, and then with each."""
        target_comes_last = release.current() < release.QEMU_7_2
        sources: list[DirtyBitmap] = []
        for reference in self._sources:
            source = self._find_source(node, reference)
            if not target_comes_last:
                check_usable(target)
            check_usable(source, allow_read_only=True)
            _check_sizes(target, source)
            sources.append(source)
        if target_comes_last:
            check_usable(target)
        return sources

    def _find_source(self, node: Node, reference: str | BitmapReference) -> DirtyBitmap:
        if isinstance(reference, BitmapReference):
            return reference.find(self._graph)[1]
        source = node.bitmaps.find(reference)
        if source is None:
            raise BlockError(f"Dirty bitmap '{reference}' not found")
        return source

    async def abort(self) -> None:
        if self._before is not None:
            target, bits, since = self._before
            target.restore_bits(bits)
            since.mark()

    async def clean(self) -> None:
        if self._before is not None:
            self._before[2].end()


def _check_writable(node: Node, problem: str) -> None:
    """Raise BlockError for a node whose image cannot be changed, where the release looks at that."""
    if node.read_only and release.current() >= release.QEMU_11_1:
        raise BlockError(f"{problem} '{node.node_name}'")


def _check_sizes(target: DirtyBitmap, source: DirtyBitmap) -> None:
    """Raise BlockError unless both are of disks of the same size."""
    if target.size == source.size:
        return
    if release.current() < release.QEMU_7_2:
        raise BlockError("Bitmaps are incompatible and can't be merged")
    raise BlockError(
        f"Bitmaps are of different sizes (destination size is {target.size}, source size is {source.size}) "
        "and can't be merged"
    )
