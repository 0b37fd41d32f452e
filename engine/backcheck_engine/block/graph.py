"""The block graph: nodes and backends by name, and every change of an edge.

A change is made tentatively, then all permissions below it are computed and prepared in QEMU's order, and only then is
everything committed; a conflict undoes the whole change. Changes are synchronous: nothing can come between.
"""

import errno
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.block import drain
from backcheck_engine.block.child import Child, ChildOwner, ChildRole
from backcheck_engine.block.drain import DrainWaiters
from backcheck_engine.block.graph_change import GraphChange
from backcheck_engine.block.node import Node
from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.throttle_group import ThrottleGroups
from backcheck_engine.errors import BlockError
from backcheck_engine.identifier import is_identifier

if TYPE_CHECKING:
    from backcheck_engine.block.backend import BlockBackend

MAX_NODE_NAME = 31


class Graph:
    """All nodes and backends of a program."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        """By node-name, in the order in which they came; generated names too."""
        self.being_opened: set[Node] = set()
        """Nodes that have a name already, and no driver that can be used."""
        self.backends: dict[str, BlockBackend] = {}
        """The named ones (a -drive's id), in the order in which they came."""
        self.throttle_groups = ThrottleGroups()
        self.on_corruption: Callable[[Node, str, int, int, bool], None] | None = None
        """Told of a corrupt image: node, message, offset and size (-1 when unknown), whether it was given up."""
        self._numbers = itertools.count()
        self._waiters = DrainWaiters()
        self._drained_all = 0

    # Names.

    def find(self, device: str | None = None, node_name: str | None = None) -> Node:
        """The root node of a device, or the node of that name; both may be given, as QEMU's lookup takes them.

        Raises BlockError when there is none, or when the device has no medium.
        """
        if device is not None and device in self.backends:
            return self.backends[device].inserted_node()
        if node_name is not None and node_name in self.nodes:
            return self.nodes[node_name]
        if release.current() < release.QEMU_7_2:
            raise BlockError(f"Cannot find device={device or ''} nor node_name={node_name or ''}")
        raise BlockError(f"Cannot find device='{device or ''}' nor node-name='{node_name or ''}'")

    def find_device_or_node(self, name: str) -> Node:
        """`find` for an argument that may name either."""
        return self.find(name, name)

    def device_name_of(self, node: Node) -> str:
        """The id of the device whose root is `node`, or ''."""
        for parent in node.parents:
            name: str = getattr(parent.owner, "name", "") if parent.name == "root" else ""
            if name:
                return name
        return ""

    def check_node_name(self, node_name: str) -> None:
        """Raise BlockError in QEMU's words unless a new node may be called that."""
        old = release.current() < release.QEMU_7_2
        if not is_identifier(node_name):
            raise BlockError("Invalid node name" if old else f"Invalid node-name: '{node_name}'")
        if node_name in self.backends:
            raise BlockError(f"node-name={node_name} is conflicting with a device id")
        if node_name in self.nodes:
            raise BlockError("Duplicate node name" if old else f"Duplicate nodes with node-name='{node_name}'")
        if len(node_name) > MAX_NODE_NAME:
            raise BlockError("Node name too long")

    def generate_node_name(self) -> str:
        """A name no client can choose: #blockNNN, with two random digits at the end."""
        while (name := f"#block{next(self._numbers)}{os.urandom(1)[0] % 100:02}") in self.nodes:
            pass
        return name

    def register(self, node: Node, node_name: str | None = None) -> None:
        """Give `node` its name, or a generated one. Raises BlockError for a bad name."""
        if node_name is None:
            node_name = self.generate_node_name()
        else:
            self.check_node_name(node_name)
        node.node_name = node_name
        self.nodes[node_name] = node
        for _ in range(self._drained_all):
            drain.begin(node)

    def add_backend(self, backend: "BlockBackend") -> None:
        """Make a named backend known. Raises BlockError for a name that is taken."""
        name = backend.name
        if name in self.backends:
            raise BlockError(f"Device with id '{name}' already exists")
        if name in self.nodes:
            raise BlockError(f"Device name '{name}' conflicts with an existing node name")
        self.backends[name] = backend

    def remove_backend(self, backend: "BlockBackend") -> None:
        """Forget a named backend."""
        if self.backends.get(backend.name) is backend:
            del self.backends[backend.name]

    def forget(self, node: Node) -> None:
        """Take a closed node out of the names."""
        if self.nodes.get(node.node_name) is node:
            del self.nodes[node.node_name]

    # Edges.

    def attach(
        self,
        node: Node,
        name: str,
        *,
        owner: ChildOwner,
        role: ChildRole = ChildRole.NONE,
        permissions: Permission = Permission.NONE,
        shared: Permission = Permission.ALL,
        stays_at_node: bool = False,
    ) -> Child:
        """A new edge from `owner` to `node`, with a reference of its own.

        Between nodes the permissions come from the owner's driver. Raises BlockError on a conflict, having changed
        nothing.
        """
        child = Child(
            name, node, owner=owner, role=role, permissions=permissions, shared=shared, stays_at_node=stays_at_node
        )
        if isinstance(owner, Node) and _leads_to(node, child):
            raise BlockError(f"Making '{node.node_name}' a {name} child of '{owner.node_name}' would create a cycle")
        if isinstance(owner, Node) and owner.iothread != node.iothread:
            from backcheck_engine.block.iothread import join

            join(owner, node)
        with GraphChange() as change:
            if isinstance(owner, Node):
                needed = owner.permissions_on(child, *owner.cumulative_permissions())
                child.permissions, child.shared = needed
            change.attach(child)
            change.refresh([owner] if isinstance(owner, Node) else [node])
        node.ref()
        return child

    async def detach(self, child: Child) -> None:
        """Remove an edge and give its reference back, which closes a node that nobody else uses."""
        self.detach_now(child)
        await child.node.unref()

    def detach_now(self, child: Child) -> None:
        """Remove an edge, keeping its reference: the caller owes `child.node.unref()`."""
        with GraphChange() as change:
            change.detach(child)
            change.refresh([child.node])

    def set_permissions(self, child: Child, permissions: Permission, shared: Permission) -> None:
        """Change what an edge from outside needs and shares. Raises BlockError on a conflict; nothing has changed."""
        with GraphChange() as change:
            change.set_permissions(child, permissions, shared)
            change.refresh([child.node])

    def refresh_permissions(self, node: Node) -> None:
        """Compute the permissions below `node` again, after something in it changed what its driver needs."""
        with GraphChange() as change:
            change.refresh([node])

    def replace_child(self, child: Child, node: Node) -> None:
        """Let one use point to `node`, with a reference of its own; the caller owes the old node an `unref()`.

        Raises BlockError on a conflict; nothing has changed.
        """
        old = child.node
        with GraphChange() as change:
            change.move(child, node)
            change.refresh([old, node])
        node.ref()
        child.owner.resized(child)

    def replace_node(self, old: Node, new: Node) -> None:
        """Let the users of `old` use `new`, except those that stay and those that `new` itself is built on.

        References move with their edges. Raises BlockError on a conflict; nothing has changed.
        """
        movable = [child for child in old.parents if not child.stays_at_node and not _leads_to(new, child)]
        for child in movable:
            if child.frozen:
                raise BlockError(f"Cannot change '{child.name}' link to '{old.node_name}'", errno.EPERM)
        with GraphChange() as change:
            for child in reversed(movable):
                change.move(child, new)
            change.refresh([old, new])
        for _ in movable:
            new.ref()
            old.give_reference_away()
        for child in movable:
            child.owner.resized(child)

    # Drained sections.

    def drain_kick(self) -> None:
        """Something that a drained section may wait for has ended."""
        self._waiters.kick()

    @asynccontextmanager
    async def drained(self, node: Node) -> AsyncIterator[None]:
        """No request is in flight on `node` and its users make none."""
        drain.begin(node)
        try:
            await self._waiters.wait_until_quiet(lambda: (node,))
            yield
        finally:
            drain.end(node)

    @asynccontextmanager
    async def drained_all(self) -> AsyncIterator[None]:
        """No request is in flight on any node and nobody makes one; nodes that come meanwhile are drained too."""
        self._drained_all += 1
        for node in list(self.nodes.values()):
            drain.begin(node)
        try:
            await self._waiters.wait_until_quiet(self.nodes.values)
            yield
        finally:
            self._drained_all -= 1
            for node in list(self.nodes.values()):
                drain.end(node)

    async def flush_all(self) -> None:
        """Flush every root, as `quit` and `stop` do; the first error is raised after all were tried."""
        failure: BlockError | None = None
        for node in self._roots():
            try:
                await node.flush()
            except BlockError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _roots(self) -> Iterator[Node]:
        for node in list(self.nodes.values()):
            if not any(isinstance(parent.owner, Node) for parent in node.parents):
                yield node


def _leads_to(top: Node, child: Child) -> bool:
    """Whether `child` belongs to `top` or a node below it, so that moving it to `top` would close a loop."""
    seen: set[Node] = set()
    pending = [top]
    while pending:
        node = pending.pop()
        if child.owner is node:
            return True
        if node not in seen:
            seen.add(node)
            pending.extend(edge.node for edge in node.children.values())
    return False
