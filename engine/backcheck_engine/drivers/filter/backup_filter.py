"""The filter of a backup job: putting it above the job's source, and what it was before 6.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from backcheck_engine import release
from backcheck_engine.block.child import Child
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.drivers.filter.copy_before_write import CopyBeforeWriteDriver
from backcheck_engine.errors import BlockError, EngineError

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.json_value import JsonObject


class BackupTopDriver(CopyBeforeWriteDriver):
    """The filter as it was before 6.2: its source was its backing, and it took its permissions when it was in place."""

    format_name: ClassVar[str] = "backup-top"
    source_child: ClassVar[str] = "backing"
    child_names: ClassVar[tuple[str, str]] = ("target", "backing")

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._active_children: Final[set[str]] = set()

    def child_permissions(
        self, child: Child, parent_permissions: Permission, parent_shared: Permission
    ) -> tuple[Permission, Permission]:
        if child.name not in self._active_children:
            return Permission.NONE, Permission.ALL
        return super().child_permissions(child, parent_permissions, parent_shared)

    @property
    def _is_in_place(self) -> bool:
        return True

    async def activate(self) -> None:
        """Take the permissions, on the source first. Raises BlockError, after taking the filter out again."""
        for name, prefix in ((self.source_child, "Cannot set permissions for backup-top filter: "), ("target", "")):
            self._active_children.add(name)
            try:
                self.node.graph.refresh_permissions(self.node)
            except BlockError as error:
                await self.drop()
                raise error.prefixed(prefix) from error

    async def drop(self) -> None:
        """Give the permissions back before the filter is taken out."""
        self._active_children.clear()
        self.node.graph.refresh_permissions(self.node)
        await super().drop()


async def insert_filter(
    graph: Graph,
    source: Node,
    target: Node,
    *,
    node_name: str | None = None,
    min_cluster_size: int = 0,
    discard_source: bool = False,
    breaks_snapshot: bool = False,
) -> CopyBeforeWriteDriver:
    """Put a filter above `source`, whose users use it from now on. `source` must be drained.

    Raises EngineError in QEMU's words; nothing has changed then.
    """
    kind = BackupTopDriver if release.current() < release.QEMU_7_2 else CopyBeforeWriteDriver
    tree: JsonObject = {
        "driver": kind.format_name,
        kind.source_child: source.node_name,
        "target": target.node_name,
    }
    if node_name is not None:
        tree["node-name"] = node_name
    if min_cluster_size:
        tree["min-cluster-size"] = min_cluster_size
    if breaks_snapshot:
        tree["on-cbw-error"] = "break-snapshot"
    try:
        node = await open_node(graph, tree)
    except EngineError as error:
        raise _prefixed(error, "Could not create node: ") from error
    guard = node.driver
    assert isinstance(guard, CopyBeforeWriteDriver)
    guard.copy.discard_source = discard_source
    try:
        graph.replace_node(source, node)
    except EngineError as error:
        await node.unref()
        raise _prefixed(error, "Could not replace node: ") from error
    if isinstance(guard, BackupTopDriver):
        await guard.activate()
    return guard


def _prefixed(error: EngineError, prefix: str) -> EngineError:
    """The error as the release words it; 5.2 says it plain."""
    if release.current() < release.QEMU_7_2:
        return error
    return BlockError(f"{prefix}{error}", error.errno)
