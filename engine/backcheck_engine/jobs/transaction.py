"""Transactions: actions that are prepared in order, then all committed or all taken back.

A command such as `drive-backup` is a transaction of one action. Whatever the outcome, all nodes are drained once before
the first action, so that every action sees the disks at one point in time and other jobs pause for a moment.
"""

# ruff: noqa: B027 - the steps that an action may leave empty are empty here.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backcheck_engine import release
from backcheck_engine.jobs.group import JobGroup

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.jobs.job_list import JobList


class Action(ABC):
    """One step of a transaction. Only actions whose `prepare` was called are committed or aborted, and cleaned."""

    @abstractmethod
    async def prepare(self, group: JobGroup) -> None:
        """Do everything that can fail; jobs that are made join `group`. Raises EngineError."""

    async def commit(self) -> None:
        """All actions are prepared: make it so."""

    async def abort(self) -> None:
        """An action failed, perhaps this one: take back what was done."""

    async def clean(self) -> None:
        """Release what was held meanwhile, after `commit` or `abort`."""


async def run_transaction(
    graph: Graph, jobs: JobList, actions: Sequence[Action], *, group: JobGroup | None = None
) -> None:
    """Do all actions or none; the error is that of the action that failed.

    Jobs of all actions share `group`, where it is given, and have one each otherwise.
    """
    async with jobs.completing:
        async with graph.drained_all():
            pass
        prepared: list[Action] = []
        try:
            for action in actions:
                prepared.append(action)
                await action.prepare(group or JobGroup())
        except BaseException:
            for action in reversed(prepared):
                await action.abort()
            raise
        else:
            # Since 8.1 or so the last action's job starts first.
            in_list_order = release.current() <= release.QEMU_7_2
            for action in prepared if in_list_order else reversed(prepared):
                await action.commit()
        finally:
            for action in reversed(prepared):
                await action.clean()
