"""Tasks that run at once up to their first wait, before whoever starts them goes on.

Requests that are started one after the other so reach a driver in that order, before any of them ends; and one that is
refused at once has failed when its start returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any


class _Rest:
    """What is left of a coroutine that has been run up to its first wait."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        while True:
            try:
                answer = yield self._waits_for
            except BaseException as error:
                resumed = partial(self._coroutine.throw, error)
            else:
                resumed = partial(self._coroutine.send, answer)
            try:
                self._waits_for = resumed()
            except StopIteration:
                return


async def _finish(rest: _Rest) -> None:
    await rest


def start_eagerly(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """A task for what is left of `coroutine` after its first wait; None when it had nothing to wait for.

    The coroutine must not ask for the current task before its first wait: it would get its starter's.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_finish(_Rest(coroutine, waits_for)))
