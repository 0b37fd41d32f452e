"""Making an open node read-only, with the nodes below it that were opened for it.

A node that somebody named by its node-name has a life of its own and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


async def make_read_only(node: Node) -> None:
    """Reopen `node` read-only. Raises BlockError, with nothing changed, while somebody still writes to one of them."""
    nodes = [one for one in _with_inheritors(node) if one.is_writable]
    for one in nodes:
        await one.flush()
        await one.driver.become_read_only()
    for one in nodes:
        one.read_only = True
    try:
        node.graph.refresh_permissions(node)
    except BlockError:
        for one in nodes:
            one.read_only = False
        for one in reversed(nodes):
            await one.driver.stay_writable()
        raise


def _with_inheritors(node: Node) -> list[Node]:
    """The node and those below it that took their options over from it."""
    found = [node]
    for child in node.children.values():
        if child.node.inherits_from is node:
            found += _with_inheritors(child.node)
    return found
