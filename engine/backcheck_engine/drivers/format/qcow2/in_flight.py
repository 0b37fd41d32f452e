"""Clusters that requests in flight are giving a place, so that writes to the same clusters wait for each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True, eq=False)
class Allocation:
    """A change of L2 entries that a write in flight will make when its data is in place."""

    offset: int
    """Guest offset of the first cluster."""
    end: int
    """Guest offset behind the last cluster."""
    clusters: int
    """How many it places: fewer than lie between the offsets where it is for separate ranges."""
    host: int
    """Host offset of the first cluster."""
    keep_old: bool
    """The clusters stay where they are; only what is said of them changes."""
    head: tuple[int, int] = (0, 0)
    """(guest offset, length) of what has to be copied before the request's own data."""
    tail: tuple[int, int] = (0, 0)
    """(guest offset, length) of what has to be copied after it."""
    data_start: int = 0
    data_end: int = 0
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def has_copies(self) -> bool:
        """Whether something has to be copied around the data."""
        return bool(self.head[1] or self.tail[1])

    @property
    def touched_start(self) -> int:
        """Where the range that is written begins, copies included."""
        return self.head[0] if self.head[1] else self.data_start

    @property
    def touched_end(self) -> int:
        """Where it ends."""
        return sum(self.tail) if self.tail[1] else self.data_end


class InFlight:
    """The allocations in flight, and the ranges that are written in place."""

    def __init__(self) -> None:
        self._allocations: list[Allocation] = []
        self._in_place: dict[object, tuple[int, int]] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def add(self, allocation: Allocation) -> None:
        """An allocation begins."""
        self._allocations.append(allocation)

    def remove(self, allocation: Allocation) -> None:
        """An allocation ended, well or not: wake who waits for it."""
        self._allocations.remove(allocation)
        _wake(allocation.waiters)
        self._wake_settlers()

    def begin_in_place(self, offset: int, length: int) -> object:
        """A guest range is about to be written where it lies; give the result to `end_in_place`."""
        token = object()
        self._in_place[token] = (offset, offset + length)
        return token

    def end_in_place(self, token: object) -> None:
        """That write ended."""
        del self._in_place[token]
        self._wake_settlers()

    def is_settled(self, offset: int, length: int) -> bool:
        """Whether no write to a guest range is in flight, so that its clusters may be freed."""
        end = offset + length
        return not any(start < end and offset < stop for start, stop in self._in_place.values()) and not any(
            allocation.offset < end and offset < allocation.end for allocation in self._allocations
        )

    def wait_for_change(self) -> asyncio.Future[None]:
        """Done when some write in flight has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake_settlers(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            _wake(waiters)

    def usable(self, offset: int, length: int) -> tuple[int, Allocation | None]:
        """(how many bytes from `offset` are free of other allocations, the one to wait for when there are none)."""
        end = offset + length
        for other in self._allocations:
            start = other.offset
            if end <= start or offset >= other.end:
                continue
            if other.keep_old and (end <= other.touched_start or offset >= other.touched_end):
                # The cluster has its place, and the two write different parts of it.
                continue
            if offset < start:
                end = start
                continue
            return 0, other
        return end - offset, None

    def wait(self, allocation: Allocation) -> asyncio.Future[None]:
        """Done when `allocation` has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        allocation.waiters.append(waiter)
        return waiter


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
