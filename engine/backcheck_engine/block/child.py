"""The edges of the graph: a child is one use of a node by a parent, with what that use needs and allows."""

import enum
from typing import TYPE_CHECKING, Protocol

from backcheck_engine.block.permissions import Permission
from backcheck_engine.block.quick_flag import quick_flag

if TYPE_CHECKING:
    from backcheck_engine.block.blockers import Blocker
    from backcheck_engine.block.node import Node


@quick_flag
class ChildRole(enum.Flag):
    """What a parent node keeps in a child."""

    NONE = 0
    DATA = enum.auto()
    METADATA = enum.auto()
    FILTERED = enum.auto()
    """The parent passes its own content through from this child."""
    COW = enum.auto()
    """The content below an overlay."""
    PRIMARY = enum.auto()
    """The child that names the image: `file` for a format."""
    IMAGE = DATA | METADATA | PRIMARY


class ChildOwner(Protocol):
    """Who holds a child: a node, a backend or a job.

    All methods are synchronous. `drained_poll` is asked repeatedly while a drained section begins; whenever its
    answer turns from True to False, the owner calls `graph.drain_kick()`.
    """

    def describe(self) -> str:
        """The owner as it reads in a permission conflict: "node 'x'", "block device 'd'", "backup job 'j'"."""
        ...

    def drained_begin(self, child: "Child") -> None:
        """Stop making new requests through `child`; called once, until `drained_end`."""
        ...

    def drained_poll(self, child: "Child") -> bool:
        """Whether the owner is still busy, so that the drained section has to wait."""
        ...

    def drained_end(self, child: "Child") -> None:
        """Undo `drained_begin`."""
        ...

    def resized(self, child: "Child") -> None:
        """The node behind `child` has a new size."""
        ...


class Child:
    """One use of `node` by `owner`, called `name` there ("root", "file", "backing", "source node", …)."""

    __slots__ = (
        "blocker",
        "frozen",
        "name",
        "node",
        "owner",
        "permissions",
        "quiesced",
        "role",
        "shared",
        "stays_at_node",
    )

    def __init__(
        self,
        name: str,
        node: "Node",
        *,
        owner: ChildOwner,
        role: ChildRole = ChildRole.NONE,
        permissions: Permission = Permission.NONE,
        shared: Permission = Permission.ALL,
        stays_at_node: bool = False,
    ) -> None:
        self.name = name
        self.owner = owner
        self.role = role
        self.permissions = permissions
        self.shared = shared
        self.node = node
        """The node used; only the graph changes it."""
        self.stays_at_node = stays_at_node
        """Graph.replace_node leaves this use where it is (a job's uses of its source)."""
        self.blocker: Blocker | None = None
        """What a backing is forbidden on behalf of its overlay."""
        self.frozen = 0
        """How many need this edge to stay where it is."""
        self.quiesced = False
        """Whether the owner has been told to make no requests through this child."""

    def __repr__(self) -> str:
        return f"<Child {self.name!r} of {self.owner.describe()}>"

    @property
    def writes(self) -> bool:
        """Whether the owner may write through this child."""
        return bool(self.permissions & (Permission.WRITE | Permission.WRITE_UNCHANGED))
