"""Turns: one heavy step of the clients' work at a time, and between two of them the event loop's others go on.

A guest's write takes several rounds of the loop. Were everything that many busy clients have ready done in each round,
the guest would wait for all of it each time.
"""

import asyncio
from collections import deque
from typing import Final

HEAVY_BYTES: Final = 64 * 1024
"""What moves fewer bytes takes no turn."""
_ROUNDS: Final = 8


class Turns:
    """Whoever is about to do a heavy step takes a turn first, and then does the step without waiting."""

    def __init__(self) -> None:
        self._waiting: Final[deque[asyncio.Future[None]]] = deque()
        self._is_taken = False
        self._rounds_left = 0

    async def take(self) -> None:
        """Wait until it is the caller's turn. The next one's comes some rounds of the loop later."""
        if self._is_taken:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self._is_taken = True
        self._rounds_left = _ROUNDS
        asyncio.get_running_loop().call_soon(self._pass_round)

    def _pass_round(self) -> None:
        self._rounds_left -= 1
        if self._rounds_left:
            asyncio.get_running_loop().call_soon(self._pass_round)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_taken = False
