"""The simple model: what a disk holds, what its bitmaps owe, what a job copies.

Plain bytes and sets, no images and no programs. Sizes and offsets are in bytes; a set of clusters or granules has their
indexes.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum

KiB, MiB = 1 << 10, 1 << 20
SECTOR = 512
COPY_CLUSTER = 64 * KiB
"""What a job copies at once at least; more when the target's clusters are larger."""
SLOW_CHUNKS = 4
"""How many clusters a job with the least speed may copy before it sleeps, and whenever it is woken."""


def touched(offset: int, length: int, unit: int) -> set[int]:
    """The units that a range touches."""
    return set(range(offset // unit, -(-(offset + length) // unit)))


@dataclass(slots=True, kw_only=True)
class Bitmap:
    """A dirty bitmap: `sure` granules are dirty, `possible` ones may be, where a job's progress is not known."""

    name: str
    disk: "Disk"
    granularity: int
    recording: bool
    persistent: bool
    sure: set[int] = field(default_factory=set)
    possible: set[int] = field(default_factory=set)
    successor: set[int] | None = None
    """What was written since a job uses it."""
    in_image: bool = False
    """The image has it, marked as in use: a kill makes it inconsistent."""
    inconsistent: bool = False

    @property
    def busy(self) -> bool:
        return self.successor is not None

    @property
    def exact(self) -> bool:
        """Whether all its bits are known."""
        return self.sure == self.possible

    @property
    def usable(self) -> bool:
        return not self.busy and not self.inconsistent

    def granules(self, offset: int, length: int) -> set[int]:
        return touched(offset, min(length, self.disk.size - offset), self.granularity)

    def mark(self, offset: int, length: int) -> None:
        """Something was written."""
        if self.inconsistent or not self.recording:
            return
        dirty = self.granules(offset, length)
        if self.successor is not None:
            self.successor |= dirty
        else:
            self.sure |= dirty
            self.possible |= dirty

    def clear(self) -> None:
        self.sure, self.possible = set(), set()

    def fill(self) -> None:
        """All of it is dirty."""
        self.sure, self.possible = (touched(0, self.disk.size, self.granularity) for _ in range(2))

    def merge(self, other: "Bitmap") -> None:
        """Takes the dirty granules of another, whose granularity may be another one."""
        for ours, theirs in ((self.sure, set(other.sure)), (self.possible, set(other.possible))):
            for granule in theirs:
                ours |= self.granules(granule * other.granularity, other.granularity)

    def resize(self) -> None:
        """Its disk has another size."""
        whole = touched(0, self.disk.size, self.granularity)
        self.sure &= whole
        self.possible &= whole

    def settle(self, mode: str, *, success: bool, left: set[int], sure_left: bool) -> None:
        """A job that used it has ended. left: granules that it has (`sure_left`) or may have not copied."""
        assert self.successor is not None
        since, self.successor = self.successor, None
        if mode == "never" or (mode == "on-success" and not success):
            self.sure |= since
            self.possible |= since
        else:
            uncopied = set() if success else left
            self.possible = since | uncopied
            self.sure = since | uncopied if sure_left else set(since)

    @property
    def count(self) -> tuple[int, int]:
        """What queries may tell, lowest and highest."""
        return len(self.sure) * self.granularity, len(self.possible) * self.granularity

    @property
    def sha256(self) -> str:
        """The hash of its bits in whole 64-bit words, little endian."""
        bits = sum(1 << granule for granule in self.sure)
        words = max(1, -(-len(touched(0, self.disk.size, self.granularity)) // 64))
        return hashlib.sha256(bits.to_bytes(words * 8, "little")).hexdigest()


class Pace(Enum):
    """How far a job goes before the next operation."""

    STRAIGHT = "to its end"
    FREE = "as fast as it can, its end waits for finalize"
    SLOW = "so slowly that it stays running, its end waits for finalize"
    HELD = "until its first write to the target, which a breakpoint holds"
    STOPPED = "until its first write to the target, which fails and stops it"
    FAILED = "until a write to the target, which fails and ends it"
    IGNORED = "to its end, ignoring that a write to the target fails once"


class State(Enum):
    """Where a job is, as far as operations can know."""

    GOING = "somewhere on its way"
    PAUSED = "paused"
    PENDING = "pending"


@dataclass(slots=True, kw_only=True)
class Job:
    """A backup that has not ended."""

    name: str
    disk: "Disk"
    sync: str
    bitmap: Bitmap | None
    mode: str
    pace: Pace
    cluster: int
    before: bytes
    to_copy: set[int]
    """Clusters that it copies in the background; none with sync=none."""
    data_clusters: set[int]
    """Those of them that are not all zeroes."""
    target: str
    """The expression of the image it writes."""
    target_format: str
    node: str | None
    """The node that is to be deleted before its image can be judged."""
    chained: bool
    """Whether the target reads through to what it does not hold."""
    whole: bool
    """Whether the target ends identical."""
    state: State = State.GOING
    copied_before_write: set[int] = field(default_factory=set)
    kicks: int = 0
    """How often a slow one was woken."""
    in_flight: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of the guest's requests that were started and not awaited."""

    def protect(self, offset: int, length: int) -> None:
        """The guest is about to write: old data of what the job covers is copied first."""
        clusters = touched(offset, length, self.cluster)
        self.copied_before_write |= clusters if self.sync == "none" else clusters & self.to_copy

    @property
    def held_clusters(self) -> set[int]:
        """The clusters that the target holds in the end."""
        return self.copied_before_write if self.sync == "none" else self.to_copy

    def stays_running(self, more: int = 0) -> bool:
        """Whether it is certainly running still, also when the guest touches as many clusters more."""
        if self.sync == "none":
            return True
        left = len(self.data_clusters - self.copied_before_write) - (1 + self.kicks) * SLOW_CHUNKS - more
        return self.pace is Pace.SLOW and left > 0

    @property
    def uncopied(self) -> set[int]:
        """Clusters that it may not have copied, unless it has copied all."""
        done = self.state is State.PENDING
        return set() if done else self.to_copy - self.copied_before_write


@dataclass(slots=True, kw_only=True)
class Disk:
    """A drive, its bytes as the guest sees them, and what its top image has allocated."""

    name: str
    format: str
    cluster: int
    """The cluster size of the top image."""
    unit: int
    """What it allocates at once: a cluster or a subcluster."""
    backing_size: int | None
    unmap: bool
    data: bytearray
    allocated: set[int] = field(default_factory=set)
    bitmaps: dict[str, Bitmap] = field(default_factory=dict)
    job: Job | None = None
    had_persistent: bool = False
    """It has, or had, a bitmap that its image was to keep."""

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def has_backing(self) -> bool:
        return self.backing_size is not None

    def write(self, pattern: int, offset: int, length: int) -> None:
        """The guest writes, or writes zeroes."""
        if self.job:
            self.job.protect(offset, length)
        self.data[offset : offset + length] = bytes([pattern]) * length
        self.allocated |= touched(offset, length, self.unit)
        self._mark(offset, length)

    def discard(self, offset: int, length: int) -> list[tuple[int, int]]:
        """The guest discards; returns the ranges that read as zeroes from now on. A job's filter drops it."""
        if self.job or not self.unmap:
            return []
        self._mark(offset, length)
        end = offset + length
        if self.format == "qcow2":
            offset = -(-offset // self.cluster) * self.cluster
            end = end if end == self.size else end // self.cluster * self.cluster
        if offset >= end:
            return []
        self.data[offset:end] = bytes(end - offset)
        units = touched(offset, end - offset, self.unit)
        self.allocated = self.allocated | units if self.has_backing else self.allocated - units
        return [(offset, end - offset)]

    def resize(self, size: int) -> None:
        """block_resize, without a job."""
        old = self.size
        self.data[size:] = b""
        self.data.extend(bytes(size - len(self.data)))
        self.allocated &= touched(0, size, self.unit)
        if self.backing_size is not None and self.backing_size > old:
            self.allocated |= touched(old, max(0, size - old), self.unit)
        for bitmap in self.bitmaps.values():
            bitmap.resize()

    def clusters_of(self, sync: str, bitmap: Bitmap | None, cluster: int) -> set[int]:
        """What a job copies in the background."""
        everything = touched(0, self.size, cluster)
        if sync in ("incremental", "bitmap"):
            assert bitmap is not None
            return _rounded(bitmap.sure, bitmap.granularity, cluster) & everything
        if sync == "top" and self.format == "qcow2":
            return _rounded(self.allocated, self.unit, cluster) & everything
        return set() if sync == "none" else everything

    def data_clusters(self, clusters: set[int], cluster: int) -> set[int]:
        """Those whose copying writes data, and not zeroes alone."""
        return {index for index in clusters if self.data[index * cluster : (index + 1) * cluster].strip(b"\0")}

    def _mark(self, offset: int, length: int) -> None:
        for bitmap in self.bitmaps.values():
            bitmap.mark(offset, length)


def _rounded(indexes: set[int], unit: int, cluster: int) -> set[int]:
    """The clusters that units touch."""
    clusters: set[int] = set()
    for index in indexes:
        clusters |= touched(index * unit, unit, cluster)
    return clusters
