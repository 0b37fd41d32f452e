"""Throttle groups: nodes and devices that share one set of I/O limits, each getting its turn.

Requests of one member and direction go in their order; between members the turns rotate. A member that is drained lets
all that waits in it go at once: its requests still count, but nothing holds them. New limits change nothing for what
waits already: that goes when its time has come, or when its member is restarted or drained.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.throttling import IoDirection, Throttle, ThrottleLimits
from backcheck_engine.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Callable


class ThrottleMember:
    """Someone whose requests a group limits."""

    def __init__(self, group: ThrottleGroup) -> None:
        self.group: Final = group
        self.waiting: Final[dict[IoDirection, deque[tuple[asyncio.Future[None], int]]]] = {
            direction: deque() for direction in IoDirection
        }
        """Requests that wait, as (what wakes them, their bytes)."""
        self._unlimited = 0
        group.members.append(self)

    async def admit(self, direction: IoDirection, length: int) -> None:
        """Return when a request of `length` bytes may go."""
        queue = self.waiting[direction]
        if self._unlimited or (not queue and self.group.may_go(direction)):
            self.group.throttle.account(direction, length)
            return
        woken = asyncio.get_running_loop().create_future()
        queue.append((woken, length))
        self.group.schedule(direction)
        await woken

    def successor_in(self, group: ThrottleGroup) -> ThrottleMember:
        """A member of another group in the place of this one, which leaves."""
        successor = ThrottleMember(group)
        for _ in range(self._unlimited):
            successor.drain_begin()
        self.leave()
        return successor

    def drain_begin(self) -> None:
        """Hold nothing back until `drain_end`."""
        self._unlimited += 1
        for direction, queue in self.waiting.items():
            while queue:
                self.group.release(self, direction)
            self.group.pass_turn(self, direction)

    def drain_end(self) -> None:
        """Undo one `drain_begin`."""
        self._unlimited -= 1

    def leave(self) -> None:
        """No longer be a member; what waits goes."""
        self.drain_begin()
        self.group.members.remove(self)


class ThrottleGroups:
    """The groups of a machine by name: those that a user made as objects, and those that devices share."""

    def __init__(self) -> None:
        self._groups: Final[dict[str, ThrottleGroup]] = {}

    def find(self, name: str) -> ThrottleGroup | None:
        """The group of that name."""
        return self._groups.get(name)

    def create(self, name: str, limits: ThrottleLimits) -> ThrottleGroup:
        """A group that stays until `delete`. Raises BlockError when the name is taken."""
        if name in self._groups:
            raise BlockError("A group with this name already exists")
        self._groups[name] = ThrottleGroup(name, limits)
        return self._groups[name]

    def delete(self, group: ThrottleGroup) -> None:
        """Forget a group, which must have no members."""
        del self._groups[group.name]

    def shared(self, name: str) -> ThrottleGroup:
        """The group of that name, which is made for its first member and goes with its last."""
        if name not in self._groups:
            self._groups[name] = ThrottleGroup(name, ThrottleLimits(), is_shared=True)
        return self._groups[name]

    def forget_unused(self, group: ThrottleGroup) -> None:
        """Called when a member has left."""
        if group.is_shared and not group.members:
            self.delete(group)


class ThrottleGroup:
    """One group, of no matter how many members."""

    def __init__(self, name: str, limits: ThrottleLimits, *, is_shared: bool = False) -> None:
        self.name: Final = name
        self.is_shared: Final = is_shared
        """Whether it is there only as long as it has members."""
        self.members: Final[list[ThrottleMember]] = []
        self.throttle: Final = Throttle(limits, self._now())
        self._last: dict[IoDirection, ThrottleMember] = {}
        """Who had the last turn."""
        self._timers: dict[IoDirection, tuple[asyncio.TimerHandle, ThrottleMember]] = {}
        """When the next turn comes, and whose it is."""

    @property
    def limits(self) -> ThrottleLimits:
        """What is in force."""
        return self.throttle.limits

    def configure(self, limits: ThrottleLimits) -> None:
        """Put other limits in force, for what comes from now on."""
        self.throttle.configure(limits, self._now())

    def restart(self, member: ThrottleMember) -> None:
        """Let one request a direction go that waits in a member, and the others as the limits of now allow it."""
        for direction in IoDirection:
            if member.waiting[direction]:
                self.release(member, direction)
            self.pass_turn(member, direction)

    def pass_turn(self, member: ThrottleMember, direction: IoDirection) -> None:
        """Nobody waits any more for the turn that a member was to have: find out anew who is next, and when."""
        timer, owner = self._timers.get(direction, (None, None))
        if timer is not None and owner is member:
            timer.cancel()
            del self._timers[direction]
        self.schedule(direction)

    def may_go(self, direction: IoDirection) -> bool:
        """Whether a request may go at once: the limits allow it, and nobody has waited longer."""
        if any(member.waiting[direction] for member in self.members):
            return False
        return self.throttle.wait_s(direction, self._now()) <= 0.0

    def schedule(self, direction: IoDirection) -> None:
        """Let what waits go as soon as the limits allow it."""
        while direction not in self._timers and (member := self._next(direction)):
            wait_s = self.throttle.wait_s(direction, self._now())
            if wait_s > 0.0:
                wake: Callable[[IoDirection], None] = self._wake
                self._timers[direction] = (asyncio.get_running_loop().call_later(wait_s, wake, direction), member)
                return
            self.release(member, direction)

    def release(self, member: ThrottleMember, direction: IoDirection) -> None:
        """Let a member's oldest waiting request go."""
        woken, length = member.waiting[direction].popleft()
        self._last[direction] = member
        if not woken.done():
            self.throttle.account(direction, length)
            woken.set_result(None)

    def _wake(self, direction: IoDirection) -> None:
        del self._timers[direction]
        self.schedule(direction)

    def _next(self, direction: IoDirection) -> ThrottleMember | None:
        """Who has the next turn: the first that waits after the one that had the last."""
        last = self._last.get(direction)
        start = self.members.index(last) + 1 if last in self.members else 0
        turns = self.members[start:] + self.members[:start]
        return next((member for member in turns if member.waiting[direction]), None)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
