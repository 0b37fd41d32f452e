"""Opening nodes: from a filename, a json: name, an option tree, or a reference to a node that is already open."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.options import Options
from backcheck_engine.json_value import JsonObject

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node


class Opener:
    """What a driver's `open` gets: its node, its options to consume, and the way to its children.

    Node-level options (cache, read-only, …) are on the node already: `opener.node.read_only` and so on.
    """

    node: "Node"
    options: Options
    filename: str | None      # for drivers opened by filename; drivers with `needs_filename` find it in options too
    no_io: bool               # opened only to be looked at (no data I/O): info, create
    check: bool               # opened for check/repair: tolerate corruption

    async def child(self, name: str, *, role: ChildRole, required: bool = True) -> "Node | None":
        """The node that the options give for `name` (a reference, or options below it), attached as a child."""

    def take_filename(self, name: str="filename") -> str | None: ...

    def set_backing(self, filename: str, format_name: str) -> None:
        """What the image's header names as backing; opened after `open`, unless options override it."""

    def downgrade_to_read_only(self, message: str) -> None:
        """auto-read-only: turn node read-only, or BlockError(message) when it must be writable"""


async def open_node(
    graph: "Graph",
    tree: JsonObject | None = None,
    *,
    filename: str | None = None,
    reference: str | None = None,
    read_only: bool = False,
    no_backing: bool = False,
    no_io: bool = False,
    check: bool = False,
) -> "Node":
    """A node with one reference for the caller.

    `tree` is a BlockdevOptions tree (nested or dotted; typed or strings) with all generic options: driver, node-name,
    read-only, auto-read-only, cache.direct, cache.no-flush, discard, detect-zeroes, force-share. Without `driver` the
    format is probed. `no_backing` ignores the image's backing file.
    Raises BlockError or OptionError in QEMU's words; the error's `hint`, if any, is for tools.
    """
