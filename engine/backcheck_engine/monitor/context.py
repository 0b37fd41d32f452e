"""What a command's handler gets beside its arguments: the machine as the monitors see it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from backcheck_engine.qapi.policy import InputPolicy

if TYPE_CHECKING:
    from backcheck_engine.block.graph import Graph
    from backcheck_engine.devices.device_tree import DeviceTree
    from backcheck_engine.devices.guest_device import GuestDevice
    from backcheck_engine.jobs.job_list import JobList
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.user_objects import UserObjects
    from backcheck_engine.nbd.export_list import ExportList
    from backcheck_engine.release import Release


class RunState(Enum):
    """The states of `query-status` that a machine without a processor can be in."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"


class ShutdownCause(Enum):
    """Why the machine goes down; the value is the `reason` of the event SHUTDOWN."""

    HOST_QMP_QUIT = "host-qmp-quit"
    HOST_SIGNAL = "host-signal"


@dataclass(slots=True, kw_only=True)
class Context:
    """The machine, its graph and its jobs; one for all monitors."""

    graph: Graph
    jobs: JobList
    objects: UserObjects
    """What -object and `object-add` made."""
    release: Release
    exports: ExportList | None = None
    """None until a command first asks for it."""
    machine: str
    """The machine's type, as -machine names it."""
    device_tree: DeviceTree | None = None
    """None until there is a device, or a command that asks for one."""
    name: str | None = None
    uuid: str | None = None
    input_policy: InputPolicy = InputPolicy()  # noqa: RUF009 - a named tuple, which cannot change
    run_state: RunState = RunState.RUNNING
    """With -S the machine starts in PRELAUNCH."""
    broadcast: Callable[[str, JsonObject | None], None]
    """Sends an event to every monitor that has negotiated."""
    request_shutdown: Callable[[ShutdownCause], None]
    """Begins to shut the machine down."""
    shutdown_requested: bool = False
    add_drive: Callable[[Context, str], Awaitable[None]]
    """Adds what the text of a -drive describes. Raises EngineError."""
    add_drive_node: Callable[[Context, str], Awaitable[None]]
    """Adds the node that options in the same notation describe. Raises EngineError."""
    add_device: Callable[[Context, str], None]
    """Plugs in what the text of a -device describes. Raises EngineError."""
    gone: asyncio.Event
    """Set when the machine's jobs and nodes are gone; what is left then are the monitors."""

    @property
    def devices(self) -> DeviceTree:
        """The guest's devices."""
        if self.device_tree is None:
            from backcheck_engine.devices.device_tree import DeviceTree

            self.device_tree = DeviceTree(self.graph, self.release, self.machine, self._has_iothread)
        return self.device_tree

    def _has_iothread(self, name: str) -> bool:
        return self.objects.find(name, "iothread") is not None

    @property
    def guests(self) -> list[GuestDevice]:
        """What uses drives."""
        return [] if self.device_tree is None else self.device_tree.guests

    @property
    def is_shutting_down(self) -> bool:
        """Whether the machine is going down, or about to."""
        return self.run_state is RunState.SHUTDOWN or self.shutdown_requested

    def emit(self, event: str, data: JsonObject | None = None) -> None:
        """Send an event to all monitors, through the queue that their replies use."""
        self.broadcast(event, data)

    def write_stdout(self, text: str) -> None:
        """Write text to the program's standard output, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def shutdown(self, cause: ShutdownCause) -> None:
        """Begin to shut down; returns at once."""
        self.shutdown_requested = True
        self.request_shutdown(cause)
