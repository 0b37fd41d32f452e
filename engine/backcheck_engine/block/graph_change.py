"""One change of the graph: made tentatively, permissions prepared in QEMU's order, then committed or undone whole."""

import errno
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block.blockers import Blocker, Operation
from backcheck_engine.block.child import Child, ChildRole
from backcheck_engine.block.node import Node
from backcheck_engine.block.permissions import Permission, first_conflict, permission_names
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.reopen_queue import Settings

_ALLOWED_ON_BACKINGS = frozenset(
    {Operation.COMMIT_TARGET, Operation.STREAM, Operation.BACKUP_SOURCE, Operation.BACKUP_TARGET}
)


class GraphChange:
    """A context manager: leaving it normally commits, an exception undoes everything done through it."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._prepared: dict[Node, None] = {}
        self._changed: set[Child] = set()
        self._made_read_only: set[Node] = set()

    def __enter__(self) -> "GraphChange":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            for node in self._prepared:
                node.driver.commit_permissions(*node.cumulative_permissions())
            return
        for undo in reversed(self._undo):
            undo()
        for node in self._prepared:
            node.driver.abort_permissions()

    # Edges.

    def attach(self, child: Child) -> None:
        """Put `child` among the parents of its node and the children of its owner."""
        _link(child)
        self._changed.add(child)
        self._undo.append(lambda: _unlink(child))

    def detach(self, child: Child) -> None:
        """Take `child` out of the graph."""
        place = child.node.parents.index(child)
        _unlink(child)
        self._undo.append(lambda: _link(child, place))

    def move(self, child: Child, node: Node) -> None:
        """Let `child` point to `node`."""
        old = child.node
        place = old.parents.index(child)
        _move(child, node, 0)
        self._changed.add(child)
        self._undo.append(lambda: _move(child, old, place))

    def set_permissions(self, child: Child, permissions: Permission, shared: Permission) -> None:
        """Change what one edge needs and shares."""
        if (permissions, shared) == (child.permissions, child.shared):
            return
        before = (child.permissions, child.shared)
        child.permissions, child.shared = permissions, shared
        self._changed.add(child)

        def undo() -> None:
            child.permissions, child.shared = before

        self._undo.append(undo)

    # Settings.

    def set_settings(self, node: Node, settings: "Settings") -> None:
        """Put other settings in force, which decide what permissions a node needs and can give."""
        before = settings.of(node)
        if node.is_writable and settings.read_only:
            self._made_read_only.add(node)
        settings.put_in_force(node)
        self._undo.append(lambda: before.put_in_force(node))

    # Permissions.

    def refresh(self, nodes: Iterable[Node]) -> None:
        """Check the parents of `nodes` and of all below them, and pass their permissions down.

        Raises BlockError for the first conflict, with parents before children.
        """
        for node in parents_first(nodes):
            conflict = first_conflict(node.parents)
            if conflict is not None:
                old = release.current() < release.QEMU_7_2
                raise BlockError(self._old_text(node) if old else _text(*conflict), errno.EPERM)
            self._refresh_node(node)

    def _refresh_node(self, node: Node) -> None:
        permissions, shared = node.cumulative_permissions()
        if permissions & (Permission.WRITE | Permission.WRITE_UNCHANGED) and not node.is_writable:
            raise BlockError(self._read_only_text(node), errno.EPERM)
        if (
            Permission.WRITE in permissions
            and Permission.RESIZE not in permissions
            and node.cached_size % node.limits.request_alignment
        ):
            raise BlockError(
                "Cannot get 'write' permission without 'resize': Image size is not a multiple of request alignment",
                errno.EPERM,
            )
        self._prepared[node] = None
        node.driver.prepare_permissions(permissions, shared)
        for child in node.children.values():
            self.set_permissions(child, *node.permissions_on(child, permissions, shared))

    def _read_only_text(self, node: Node) -> str:
        """Why a writer cannot be: the node is, or just now becomes, read-only."""
        if node not in self._made_read_only:
            return "Block node is read-only"
        if release.current() < release.QEMU_7_2:
            return "Cannot make block node read-only, there is a writer on it"
        return f"Read-only block node '{node.node_name}' cannot support read-write users"

    def _old_text(self, node: Node) -> str:
        """The conflict in 5.2's words: seen from an edge that changed, it names the first other edge in its way."""
        for changed in filter(self._changed.__contains__, node.parents):
            for other in node.parents:
                if other is changed:
                    continue
                user = f"Conflicts with use by {other.owner.describe()} as '{other.name}', which"
                if refused := changed.permissions & ~other.shared:
                    return f"{user} does not allow '{permission_names(refused)}' on {node.node_name}"
                if used := other.permissions & ~changed.shared:
                    return f"{user} uses '{permission_names(used)}' on {node.node_name}"
        raise AssertionError("a conflict without a change")


def _text(requiring: Child, unsharing: Child) -> str:
    """The conflict between two edges in the words of 6.0 and later."""
    name = requiring.node.node_name
    refused = permission_names(requiring.permissions & ~unsharing.shared)
    return (
        f"Permission conflict on node '{name}': permissions '{refused}' are both required by "
        f"{requiring.owner.describe()} (uses node '{name}' as '{requiring.name}' child) and unshared by "
        f"{unsharing.owner.describe()} (uses node '{name}' as '{unsharing.name}' child)."
    )


def _link(child: Child, place: int = 0) -> None:
    owner = child.owner
    child.node.parents.insert(place, child)
    if isinstance(owner, Node):
        owner.children[child.name] = child
        owner.children_changed()
        _block_backing(child, owner)
    balance_drain(child)


def _unlink(child: Child) -> None:
    owner = child.owner
    child.node.parents.remove(child)
    if isinstance(owner, Node):
        del owner.children[child.name]
        owner.children_changed()
        _unblock_backing(child)
    if child.quiesced:
        child.quiesced = False
        owner.drained_end(child)


def _move(child: Child, node: Node, place: int) -> None:
    child.node.parents.remove(child)
    _unblock_backing(child)
    child.node = node
    node.parents.insert(place, child)
    if isinstance(child.owner, Node):
        # As in QEMU, the edge that was moved last is the newest of its owner.
        child.owner.children[child.name] = child.owner.children.pop(child.name)
        child.owner.children_changed()
        _block_backing(child, child.owner)
    balance_drain(child)


def _block_backing(child: Child, overlay: Node) -> None:
    """What is a backing cannot be operated on as if it were a disk of its own."""
    if ChildRole.COW in child.role:
        child.blocker = Blocker(reason=f"node is used as backing hd of '{overlay.device_or_node_name}'")
        child.node.blockers.block_all(child.blocker, but=_ALLOWED_ON_BACKINGS)


def _unblock_backing(child: Child) -> None:
    if child.blocker is not None:
        child.node.blockers.unblock_all(child.blocker)
        child.blocker = None


def balance_drain(child: Child) -> None:
    """An edge is quiesced exactly while its node is drained, also after it moved."""
    if child.node.drain_count and not child.quiesced:
        child.quiesced = True
        child.owner.drained_begin(child)
    elif child.quiesced and not child.node.drain_count:
        child.quiesced = False
        child.owner.drained_end(child)


def parents_first(nodes: Iterable[Node]) -> list[Node]:
    """`nodes` and all nodes below them, each after every parent that is among them."""
    order: list[Node] = []
    seen: set[Node] = set()

    def visit(node: Node) -> None:
        if node in seen:
            return
        seen.add(node)
        for child in reversed(node.children.values()):
            visit(child.node)
        order.append(node)

    for node in nodes:
        visit(node)
    order.reverse()
    return order
