"""Breakpoints for tests: what a debugging driver offers, and how to find it below a node."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node


@runtime_checkable
class Debugger(Protocol):
    """A driver that can stop requests at events."""

    def breakpoint(self, event: str, tag: str) -> None:
        """Suspend the next request that reports the BlkdebugEvent `event`. BlockError (ENOENT): no such event."""
        ...

    def remove_breakpoint(self, tag: str) -> None:
        """Forget the breakpoints `tag` and resume what they hold. Raises BlockError (ENOENT) if there is neither."""
        ...

    def resume(self, tag: str) -> None:
        """Let the request go that the breakpoint `tag` holds. Raises BlockError (ENOENT) if there is none."""
        ...

    def is_suspended(self, tag: str) -> bool:
        """Whether the breakpoint `tag` holds a request."""
        ...

    async def wait_until_suspended(self, tag: str) -> None:
        """Return when the breakpoint `tag` holds a request."""
        ...


def find_debugger(node: "Node") -> Debugger | None:
    """The debugging driver at `node` or below it along primary children, or None."""
    step: Node | None = node
    while step is not None:
        if isinstance(step.driver, Debugger):
            return step.driver
        primary = step.primary_child
        step = primary.node if primary is not None else None
    return None
