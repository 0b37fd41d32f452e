"""Drained sections: a counter on each node, passed up to whoever uses it, and the wait until nothing is in flight.

While a node is drained, its users make no new requests (a backend queues its guest's, a job pauses), and the section
begins only when no request is in flight there and no user is busy. The section's own requests are not held up.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


def begin(node: "Node") -> None:
    """Quiesce the users of `node`, once more."""
    node.drain_count += 1
    if node.drain_count > 1:
        return
    for parent in list(node.parents):
        if not parent.quiesced:
            parent.quiesced = True
            parent.owner.drained_begin(parent)
    node.driver.drain_begin()


def end(node: "Node") -> None:
    """Undo one `begin`."""
    node.drain_count -= 1
    if node.drain_count:
        return
    node.driver.drain_end()
    for parent in list(node.parents):
        if parent.quiesced:
            parent.quiesced = False
            parent.owner.drained_end(parent)


def is_busy(node: "Node") -> bool:
    """Whether a request is in flight on `node` or a user of it is still busy."""
    return node.in_flight > 0 or any(parent.owner.drained_poll(parent) for parent in list(node.parents))


class DrainWaiters:
    """Those who wait for nodes to become quiet. `kick` makes them look again."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def kick(self) -> None:
        """Something that a drained section waits for may have ended."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait_until_quiet(self, nodes: "Callable[[], Iterable[Node]]") -> None:
        """Wait until none of `nodes()` is busy."""
        while any(is_busy(node) for node in list(nodes())):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
