"""Running a coroutine in a test: an event loop of its own, and nothing left over in it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`; fails when it leaves tasks behind."""

    async def main() -> T:
        result = await coroutine
        assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks are left over"
        return result

    return asyncio.run(main())
