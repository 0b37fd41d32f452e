"""In which iothread a node is: all nodes that are connected are in the same one.

There is one event loop here, and no request ever changes its thread. What clients see is kept all the same: what moves
with what, and what stays because a guest's device works with it where it is.
"""

from __future__ import annotations

from backcheck_engine.block.backend import BlockBackend
from backcheck_engine.block.node import Node
from backcheck_engine.errors import BlockError


def move(node: Node, iothread: str | None) -> None:
    """Move a node, and all that is connected with it; None is the main loop.

    Raises BlockError, with nothing changed, when one of its users has to stay.
    """
    _move(node, iothread, mover=None)


def move_backend(backend: BlockBackend, iothread: str | None) -> None:
    """Move a backend with its node, at the will of who uses it. Raises BlockError when another user has to stay."""
    if backend.node is not None:
        _move(backend.node, iothread, mover=backend)
    backend.iothread = iothread


def join(above: Node, below: Node) -> None:
    """Bring two nodes together that are about to be connected. Raises BlockError when both have to stay."""
    if above.iothread == below.iothread:
        return
    try:
        move(below, above.iothread)
    except BlockError:
        try:
            move(above, below.iothread)
        except BlockError:
            pass
        else:
            return
        raise


def _move(node: Node, iothread: str | None, mover: BlockBackend | None) -> None:
    if node.iothread == iothread:
        return
    nodes, backends = _connected(node)
    if any(backend is not mover and not backend.may_change_iothread for backend in backends):
        raise BlockError("Cannot change iothread of active block backend")
    for one in nodes:
        one.iothread = iothread
    for backend in backends:
        backend.iothread = iothread


def _connected(start: Node) -> tuple[list[Node], list[BlockBackend]]:
    """All nodes that are connected with one, over any edges, and the backends above them."""
    nodes: list[Node] = []
    backends: list[BlockBackend] = []
    pending = [start]
    while pending:
        node = pending.pop()
        if node in nodes:
            continue
        nodes.append(node)
        owners = [parent.owner for parent in node.parents]
        backends += [owner for owner in owners if isinstance(owner, BlockBackend)]
        pending += [owner for owner in owners if isinstance(owner, Node)]
        pending += [child.node for child in node.children.values()]
    return nodes, backends
