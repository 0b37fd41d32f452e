"""Transactions: actions that are prepared in order, then all committed or all taken back.

A command such as `drive-backup` is a transaction of one action. Whatever the outcome, all nodes are drained once before
the first action, so that every action sees the disks at one point in time and other jobs pause for a moment.

The rules of this file, where they differ between releases:

    step      until 8.0 (5.2, 7.2)                      since 8.1 (10.0, 11.1)
    grouped   refused when its action's turn comes,     refused before anything is drained,
              `abort` is not refused                    `abort` too
    prepare   in list order                             in list order
    commit    in list order                             last action first
    abort     last action first                         last action first
    clean     in list order                             last action first
"""

# ruff: noqa: B027 - the steps that an action may leave empty are empty here.

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from backcheck_engine import release
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.group import JobGroup

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.jobs.job_list import JobList


class Action(ABC):
    """One step of a transaction. Only actions whose `prepare` was called are committed or aborted, and cleaned."""

    name: ClassVar[str] = ""
    """What QAPI calls the action."""
    makes_job: ClassVar[bool] = False
    """Whether the action can be part of a group: what it leaves behind is a job."""

    @abstractmethod
    async def prepare(self, group: JobGroup) -> None:
        """Do everything that can fail; jobs that are made join `group`. Raises EngineError."""

    async def commit(self) -> None:
        """All actions are prepared: make it so."""

    async def abort(self) -> None:
        """An action failed, perhaps this one: take back what was done."""

    async def clean(self) -> None:
        """Release what was held meanwhile, after `commit` or `abort`."""


class AbortAction(Action):
    """Always fails, for those who want to see everything taken back."""

    name = "abort"

    async def prepare(self, group: JobGroup) -> None:
        """Raises BlockError."""
        raise BlockError("Transaction aborted using Abort action")


async def run_transaction(graph: Graph, jobs: JobList, actions: Sequence[Action], *, grouped: bool = False) -> None:
    """Do all actions or none; the error is that of the action that failed.

    With `grouped`, the jobs of all actions end together; else each is alone.
    """
    group = JobGroup() if grouped else None
    is_old = release.current() <= release.QEMU_7_2
    if group is not None and not is_old:
        for action in actions:
            _refuse_in_group(action)
    async with jobs.completing:
        async with graph.drained_all():
            pass
        prepared: list[Action] = []
        try:
            for action in actions:
                prepared.append(action)
                if group is not None and is_old and not isinstance(action, AbortAction):
                    _refuse_in_group(action)
                await action.prepare(group or JobGroup())
        except BaseException:
            for action in reversed(prepared):
                await action.abort()
            raise
        else:
            for action in _in_order(prepared, is_old=is_old):
                await action.commit()
        finally:
            for action in _in_order(prepared, is_old=is_old):
                await action.clean()


def _in_order(actions: Sequence[Action], *, is_old: bool) -> Iterable[Action]:
    """The order of commits, and that of cleaning up."""
    return actions if is_old else reversed(actions)


def _refuse_in_group(action: Action) -> None:
    """Raise BlockError unless the action can be part of a group."""
    if not action.makes_job:
        word = "Transaction" if release.current() <= release.QEMU_7_2 else "transaction"
        raise BlockError(f"Action '{action.name}' does not support {word} property completion-mode = grouped")
