"""Operation blockers: a user of a node forbids whole operations on it, with a reason that a client reads."""

import enum
from collections.abc import Collection

from backcheck_engine.errors import BlockError


class Operation(enum.Enum):
    """What can be forbidden on a node."""

    BACKUP_SOURCE = enum.auto()
    BACKUP_TARGET = enum.auto()
    CHANGE = enum.auto()
    COMMIT_SOURCE = enum.auto()
    COMMIT_TARGET = enum.auto()
    DATAPLANE = enum.auto()
    DRIVE_DEL = enum.auto()
    EJECT = enum.auto()
    EXTERNAL_SNAPSHOT = enum.auto()
    INTERNAL_SNAPSHOT = enum.auto()
    INTERNAL_SNAPSHOT_DELETE = enum.auto()
    MIRROR_SOURCE = enum.auto()
    MIRROR_TARGET = enum.auto()
    RESIZE = enum.auto()
    STREAM = enum.auto()
    REPLACE = enum.auto()


class Blocker:
    """One user's reason, as it stands after "Node 'x' is busy: "; the same object blocks and unblocks."""

    __slots__ = ("reason",)

    def __init__(self, *, reason: str) -> None:
        self.reason = reason


class Blockers:
    """The blockers of one node."""

    __slots__ = ("_by_operation",)

    def __init__(self) -> None:
        self._by_operation: dict[Operation, list[Blocker]] = {}

    def block(self, operation: Operation, blocker: Blocker) -> None:
        """Forbid `operation`; the newest reason is the one shown."""
        self._by_operation.setdefault(operation, []).insert(0, blocker)

    def block_all(self, blocker: Blocker, *, but: Collection[Operation] = ()) -> None:
        """Forbid everything, except `but`."""
        for operation in Operation:
            if operation not in but:
                self.block(operation, blocker)

    def unblock(self, operation: Operation, blocker: Blocker) -> None:
        """Take back one `block`."""
        held = self._by_operation.get(operation, [])
        if blocker in held:
            held.remove(blocker)

    def unblock_all(self, blocker: Blocker) -> None:
        """Take back everything that `blocker` forbids."""
        for operation in self._by_operation:
            self.unblock(operation, blocker)

    def reason(self, operation: Operation) -> str | None:
        """Why `operation` is forbidden, or None."""
        held = self._by_operation.get(operation)
        return held[0].reason if held else None

    def is_empty(self) -> bool:
        """Whether nothing at all is forbidden."""
        return not any(self._by_operation.values())

    def check(self, operation: Operation, shown_name: str) -> None:
        """Raise BlockError in QEMU's words when `operation` is forbidden on the node shown as `shown_name`."""
        reason = self.reason(operation)
        if reason is not None:
            raise BlockError(f"Node '{shown_name}' is busy: {reason}")
