"""The thread pool: results and errors come back, and a cancelled task still waits for its thread."""

import asyncio
import threading

import pytest

from backcheck_engine.block.io_threads import run_in_thread
from tests.block.loop import run


def test_results_and_errors_come_back() -> None:
    async def story() -> list[object]:
        results = await asyncio.gather(run_in_thread(divmod, 7, 2), run_in_thread(divmod, 1, 0), return_exceptions=True)
        return [results[0], type(results[1])]

    assert run(story()) == [(3, 1), ZeroDivisionError]


def test_requests_run_at_once_but_on_few_threads() -> None:
    together = threading.Barrier(4)
    threads: set[str] = set()

    def meet() -> None:
        threads.add(threading.current_thread().name)
        together.wait(timeout=30)

    async def story() -> None:
        await asyncio.gather(*(run_in_thread(meet) for _ in range(12)))

    run(story())
    assert len(threads) == 4


def test_cancelling_waits_for_the_thread() -> None:
    started, may_end = threading.Event(), threading.Event()
    log: list[str] = []

    def work() -> None:
        started.set()
        may_end.wait(timeout=30)
        log.append("worked")

    async def request() -> None:
        try:
            await run_in_thread(work)
        finally:
            log.append("let go")

    async def story() -> None:
        task = asyncio.create_task(request())
        await asyncio.sleep(0)
        started.wait(timeout=30)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert log == []
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    assert log == ["worked", "let go"]
