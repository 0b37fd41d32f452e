"""What only tools ask of a format: to check itself, to change its backing, to be emptied, to show its snapshots."""

import enum
import errno
from dataclasses import dataclass, field

from backcheck_engine.block.request import Buffer
from backcheck_engine.errors import BlockError


class Repair(enum.Flag):
    """What a check may put right."""

    NONE = 0
    LEAKS = enum.auto()
    ERRORS = enum.auto()


@dataclass(slots=True, kw_only=True)
class CheckResult:
    """What a check has found: ImageCheck of QAPI. Counts are of what is left, and of what was repaired."""

    check_errors: int = 0
    corruptions: int = 0
    leaks: int = 0
    corruptions_fixed: int = 0
    leaks_fixed: int = 0
    image_end_offset: int = 0
    total_clusters: int = 0
    allocated_clusters: int = 0
    fragmented_clusters: int = 0
    compressed_clusters: int = 0
    failure: BlockError | None = None
    """Why the check could not be finished."""
    messages: list[str] = field(default_factory=list)
    """One line for each finding, in QEMU's words ("Leaked cluster 5 refcount=1 reference=0")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An internal snapshot, as its image lists it: SnapshotInfo of QAPI."""

    id: str
    name: str
    vm_state_size: int
    date_seconds: int
    date_nanoseconds: int
    vm_clock_nanoseconds: int
    icount: int | None = None


class ImageUpkeep:
    """The part of a driver that serves tools; a format overrides what it can. All raise BlockError."""

    async def check(self, repair: Repair) -> CheckResult:
        """Check the metadata, repairing what `repair` names. ENOTSUP where the format has no checks."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def change_backing_file(self, filename: str | None, format_name: str | None) -> None:
        """Record another backing file, or none; the graph stays as it is."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def make_empty(self) -> None:
        """Deallocate everything, so that all content comes from the backing."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def inactivate(self) -> None:
        """Write back all that would be written back at the close, where nobody hears of a failure.

        Nothing may write to the image afterwards. Raises BlockError.
        """

    def snapshots(self) -> list[Snapshot]:
        """The internal snapshots; none where the format has no such thing."""
        return []

    async def load_vmstate(self, offset: int, length: int) -> Buffer:
        """Read from the area behind the virtual disk where a machine's state is kept."""
        raise BlockError.from_errno(errno.ENOTSUP)

    async def save_vmstate(self, offset: int, data: Buffer) -> None:
        """Write to the area behind the virtual disk where a machine's state is kept."""
        raise BlockError.from_errno(errno.ENOTSUP)
