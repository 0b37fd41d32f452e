"""The one asyncio loop of the harness, in a thread of its own.

Cases are synchronous; everything that listens (monitors, the output of programs, the keeper of processes) lives in this
loop, so that what arrives is seen in one order. One loop for each process: a fork gets its own.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class LoopThread:
    """A running loop and its daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self.loop.run_forever, name="backcheck-loop", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[None, None, T]) -> "Future[T]":
        """Starts a coroutine in the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[[], T]) -> T:
        """Runs a plain function in the loop's thread and returns what it returns."""

        async def run() -> T:
            return function()

        return self.submit(run()).result()


_current: LoopThread | None = None
_lock = threading.Lock()


def loop_thread() -> LoopThread:
    """The loop of this process; started at the first use."""
    global _current  # the loop belongs to the process, as its threads do
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = LoopThread()
        return _current
