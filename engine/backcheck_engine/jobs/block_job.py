"""A job that works on nodes: its edges and blockers, its speed, its error policy, and the BLOCK_JOB_* events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backcheck_engine.block.backend import ErrorAction, IoStatus, OnError
from backcheck_engine.block.blockers import Blocker, Operation
from backcheck_engine.block.permissions import Permission
from backcheck_engine.errors import BlockError
from backcheck_engine.jobs.job import Job
from backcheck_engine.jobs.states import Verb

if TYPE_CHECKING:
    from backcheck_engine.block.block_copy import CopyFailure
    from backcheck_engine.block.child import Child
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.block.node import Node
    from backcheck_engine.jobs.group import JobGroup
    from backcheck_engine.jobs.job_list import JobList
    from backcheck_engine.json_value import JsonObject

_IO_STATUS_AFTER: Final = {"No space left on device": IoStatus.NOSPACE}


class BlockJob(Job):
    """A job as `query-block-jobs` shows it. While one of its nodes is drained, it is paused."""

    def __init__(
        self,
        graph: Graph,
        jobs: JobList,
        job_id: str,
        group: JobGroup,
        *,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        super().__init__(jobs, job_id, group, auto_finalize=auto_finalize, auto_dismiss=auto_dismiss)
        self.graph: Final = graph
        self.speed = 0
        self.io_status = IoStatus.OK
        self._blocker: Final = Blocker(reason=f"block device is in use by block job: {self.job_type}")
        self._edges: list[Child] = []

    # Nodes.

    def use_node(self, node: Node, name: str, *, except_operations: frozenset[Operation] = frozenset()) -> None:
        """Hold `node` and forbid operations on it until `release_nodes`. Raises BlockError on a permission conflict."""
        edge = self.graph.attach(
            node, name, owner=self, permissions=Permission.NONE, shared=Permission.ALL, stays_at_node=True
        )
        self._edges.append(edge)
        node.blockers.block_all(self._blocker, but=except_operations)

    @property
    def edges(self) -> Sequence[Child]:
        """Its uses of nodes, the oldest first."""
        return tuple(self._edges)

    def uses(self, node: Node) -> bool:
        """Whether the job holds `node`."""
        return any(edge.node is node for edge in self._edges)

    async def release_nodes(self) -> None:
        """Let all nodes go, newest first."""
        while self._edges:
            edge = self._edges.pop()
            edge.node.blockers.unblock_all(self._blocker)
            await self.graph.detach(edge)

    def describe(self) -> str:
        """How a permission conflict names this job."""
        return f"{self.job_type} job '{self.id}'"

    def drained_begin(self, child: Child) -> None:
        """A node of the job is drained: pause."""
        self.pause()

    def drained_poll(self, child: Child) -> bool:
        """Whether the job has not got to its pause yet."""
        return not self.is_quiet

    def drained_end(self, child: Child) -> None:
        """Undo one drained_begin."""
        self.resume()

    def resized(self, child: Child) -> None:
        """Nothing: a job's nodes cannot be resized."""

    def drain_kick(self) -> None:
        """The job has become quiet."""
        self.graph.drain_kick()

    # Speed.

    def set_speed(self, speed: int) -> None:
        """`block-job-set-speed`: at most `speed` bytes a second, 0 for no limit. Raises BlockError in QEMU's words."""
        self.check_verb(Verb.SET_SPEED)
        if speed < 0:
            raise BlockError("Parameter 'speed' expects a non-negative value")
        self.speed = speed
        self.speed_changed()

    def speed_changed(self) -> None:
        """The new speed has to be obeyed from now on."""

    def change(self) -> None:
        """`block-job-change`: for jobs that can change while they run, which none here does."""
        self.check_verb(Verb.CHANGE)
        raise BlockError("Job type does not support change")

    # Errors.

    def handle_failure(self, policy: OnError, failure: CopyFailure) -> ErrorAction:
        """Tell clients of a failed request, and pause the job where its policy is to stop."""
        action = policy.action(failure.error.errno)
        operation = "read" if failure.is_read else "write"
        self.jobs.emit("BLOCK_JOB_ERROR", {"device": self.id, "operation": operation, "action": action.value})
        if action is ErrorAction.STOP:
            if not self.is_user_paused:
                self.is_user_paused = True
                self.pause()
            if self.io_status is IoStatus.OK:
                self.io_status = _IO_STATUS_AFTER.get(str(failure.error), IoStatus.FAILED)
        return action

    def user_resumed(self) -> None:
        """A client resumes the job: the failed request is forgotten."""
        self.reset_io_status()

    def reset_io_status(self) -> None:
        """Forget the failed request; the job stays paused until it is resumed."""
        self.io_status = IoStatus.OK

    # What clients see.

    @property
    def is_busy(self) -> bool:
        """What a query calls busy: the job's own coroutine has something to do before it may wait again."""
        return False

    def announce_pending(self) -> None:
        self.jobs.emit("BLOCK_JOB_PENDING", {"type": self.job_type, "id": self.id})

    def announce_end(self) -> None:
        data: JsonObject = {
            "device": self.id,
            "len": self.total_progress,
            "offset": self.current_progress,
            "speed": self.speed,
            "type": self.job_type,
        }
        if self.is_cancelled:
            self.jobs.emit("BLOCK_JOB_CANCELLED", data)
            return
        if self.error is not None:
            data["error"] = str(self.error)
        self.jobs.emit("BLOCK_JOB_COMPLETED", data)

    def describe_block_job(self) -> JsonObject:
        """The job's element of `query-block-jobs`."""
        element: JsonObject = {
            "auto-finalize": self.auto_finalize,
            "io-status": self.io_status.value,
            "device": self.id,
            "auto-dismiss": self.auto_dismiss,
            "busy": self.is_busy,
            "len": self.total_progress,
            "offset": self.current_progress,
            "status": self.status.value,
            "paused": self.is_paused,
            "speed": self.speed,
            "ready": False,
            "type": self.job_type,
        }
        if self.error is not None:
            element["error"] = str(self.error)
        return element
