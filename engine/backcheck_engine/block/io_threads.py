"""The thread pool for file I/O, and the rule for what goes there: more than 64 KiB.

A request that is in a thread cannot be cancelled: cancelling the task that waits takes effect when the thread is back,
so that buffers, file descriptors and locks outlive every system call that uses them.

The threads are a little nicer than the event loop. They copy whole megabytes in the kernel; the loop answers guests and
clients, and hands out the next work, so that all are faster when it does not queue for a processor behind them.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from backcheck_engine.block.buffer_memory import keep_buffers

INLINE_BYTES = 64 * 1024
"""Requests up to this, a cluster, are done in the event loop: a hand-over to a thread would cost more than they do."""

_THREADS = 4
_NICENESS = 5
"""Added to the program's own."""

T = TypeVar("T")


class _ThreadFuture(asyncio.Future[Any]):
    """A result that a thread is working on; a task that waits for it is cancelled only afterwards."""

    def cancel(self, msg: object = None) -> bool:
        return False


_Work = tuple[asyncio.AbstractEventLoop, _ThreadFuture, Callable[..., Any], tuple[Any, ...]]
_queue: SimpleQueue[_Work] = SimpleQueue()
_started: list[threading.Thread] = []
_idle = threading.Semaphore(0)


def _finish(future: _ThreadFuture, result: Any, error: BaseException | None) -> None:
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _let_the_loop_go_first() -> None:
    # A kernel that does not let a thread be nicer runs it as it is.
    with contextlib.suppress(OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)


def _work() -> None:
    _let_the_loop_go_first()
    while True:
        loop, future, function, arguments = _queue.get()
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function(*arguments)
        except BaseException as error:
            failure = error
        _idle.release()
        try:
            loop.call_soon_threadsafe(_finish, future, result, failure)
        except RuntimeError:
            # The loop is closed: the program is ending and nobody waits any more.
            continue
        del loop, future, function, arguments, result, failure


def _start_thread_if_needed() -> None:
    if not _idle.acquire(blocking=False) and len(_started) < _THREADS:
        if not _started:
            keep_buffers()
        thread = threading.Thread(target=_work, name=f"block-io-{len(_started)}", daemon=True)
        _started.append(thread)
        thread.start()


def start_in_thread(function: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
    """A future for the result of `function(*arguments)`, run in a thread of the pool."""
    loop = asyncio.get_running_loop()
    future = _ThreadFuture(loop=loop)
    _start_thread_if_needed()
    _queue.put((loop, future, function, arguments))
    return future


async def run_in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """The result of `function(*arguments)`, run in a thread of the pool."""
    return await start_in_thread(function, *arguments)
