"""The machine: owns the graph, the jobs and the monitors, from the command line to the end of the program."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn

from backcheck_engine import quick_start, release
from backcheck_engine.block.graph import Graph
from backcheck_engine.commandline.settings import MonitorMode
from backcheck_engine.errors import EngineError
from backcheck_engine.jobs.job_list import JobList
from backcheck_engine.monitor.context import Context, RunState, ShutdownCause
from backcheck_engine.monitor.dispatcher import Dispatcher
from backcheck_engine.monitor.qmp import QmpMonitor, event_message
from backcheck_engine.monitor.user_objects import UserObjects
from backcheck_engine.release import QEMU_10_0

if TYPE_CHECKING:
    from backcheck_engine.block.node import Node
    from backcheck_engine.commandline.settings import MonitorSettings, Settings
    from backcheck_engine.json_value import JsonObject, JsonValue
    from backcheck_engine.machine.daemon import Daemon
    from backcheck_engine.monitor.endpoint import Endpoint
    from backcheck_engine.monitor.human import HumanMonitor

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def _add_drive(context: Context, text: str) -> None:
    from backcheck_engine.machine.added_drives import add_drive

    await add_drive(context, text)


async def _add_drive_node(context: Context, text: str) -> None:
    from backcheck_engine.machine.added_drives import add_drive_node

    await add_drive_node(context, text)


def _add_device(context: Context, text: str) -> None:
    from backcheck_engine.machine.added_devices import add_device

    add_device(context, text)


class Machine:
    """One run of the program; made inside the loop."""

    def __init__(self, settings: Settings, endpoints: list[Endpoint]) -> None:
        """`endpoints` are those of `settings.monitors`, in the same order."""
        self._settings = settings
        self._cause: ShutdownCause | None = None
        self._shutdown_begins = asyncio.Event()
        graph = Graph()
        self.context = Context(
            graph=graph,
            jobs=JobList(self._broadcast),
            objects=UserObjects(graph, release.current()),
            release=release.current(),
            machine=settings.machine,
            name=settings.name,
            uuid=settings.uuid,
            input_policy=settings.input_policy,
            broadcast=self._broadcast,
            request_shutdown=self._request_shutdown,
            add_drive=_add_drive,
            add_drive_node=_add_drive_node,
            add_device=_add_device,
            gone=asyncio.Event(),
        )
        self.context.graph.on_corruption = self._tell_corruption
        self._dispatcher = Dispatcher(self.context)
        self._monitors = [
            self._monitor(monitor, endpoint) for monitor, endpoint in zip(settings.monitors, endpoints, strict=True)
        ]

    def _monitor(self, settings: MonitorSettings, endpoint: Endpoint) -> QmpMonitor | HumanMonitor:
        if settings.mode is MonitorMode.CONTROL:
            return QmpMonitor(endpoint, self._dispatcher, pretty=settings.pretty)
        from backcheck_engine.monitor.human import HumanMonitor

        return HumanMonitor(endpoint, self._dispatcher)

    async def start(self) -> None:
        """Build what the command line asks for, and let clients in. Raises CommandLineError."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._terminate, number)
        settings = self._settings
        if settings.objects or settings.blockdevs or settings.drives or settings.devices:
            from backcheck_engine.machine.start_devices import add_block_devices

            await add_block_devices(self.context, self._settings)
        self.context.run_state = RunState.PRELAUNCH if self._settings.paused else RunState.RUNNING
        for monitor in self._monitors:
            monitor.start()

    async def run(self) -> None:
        """Serve until somebody asks to end, and end in QEMU's order of events."""
        serving = asyncio.ensure_future(self._dispatcher.run())
        serving.add_done_callback(self._stopped_serving)
        await self._shutdown_begins.wait()
        await self._shut_down()
        await self._dispatcher.finish_current()
        serving.cancel()
        for monitor in self._monitors:
            monitor.stop()

    def _stopped_serving(self, serving: asyncio.Future[None]) -> None:
        """The dispatcher never ends by itself: what ended it is a bug."""
        if not serving.cancelled() and (bug := serving.exception()):
            asyncio.get_running_loop().call_exception_handler({"message": "the dispatcher ended", "exception": bug})

    def _broadcast(self, name: str, data: JsonObject | None) -> None:
        event = event_message(name, data)
        for monitor in self._monitors:
            monitor.send_event(event)

    def _tell_corruption(self, node: Node, message: str, offset: int, size: int, fatal: bool) -> None:
        """BLOCK_IMAGE_CORRUPTED; what is unknown of the place, a negative number, is left out."""
        data: dict[str, JsonValue] = {
            "device": self.context.graph.device_name_of(node),
            "node-name": node.node_name,
            "msg": message,
            "fatal": fatal,
        }
        data |= {key: value for key, value in (("offset", offset), ("size", size)) if value >= 0}
        self.context.emit("BLOCK_IMAGE_CORRUPTED", data)

    def _request_shutdown(self, cause: ShutdownCause) -> None:
        self._cause = self._cause or cause
        self._shutdown_begins.set()

    def _terminate(self, number: int) -> None:
        """End because of a signal, and tell the person at the terminal."""
        # Nobody may be there to read it.
        with contextlib.suppress(OSError):
            print(f"{self._settings.program}: terminating on signal {number}", file=sys.stderr, flush=True)
        self._request_shutdown(ShutdownCause.HOST_SIGNAL)

    async def _shut_down(self) -> None:
        assert self._cause
        self.context.run_state = RunState.SHUTDOWN
        self.context.emit("SHUTDOWN", {"guest": False, "reason": self._cause.value})
        if self.context.exports is not None:
            await self.context.exports.close_all()
        for _ in range(self._drains_at_shutdown()):
            async with self.context.graph.drained_all():
                pass
        await self.context.jobs.cancel_all()
        await self._close_nodes()
        self.context.gone.set()

    def _drains_at_shutdown(self) -> int:
        """How often the releases drain everything before they cancel jobs, which shows as pauses of running jobs.

        In 5.2 the pause is over before a job that sleeps notices.
        """
        return 1 if self.context.release < QEMU_10_0 else 2

    async def _close_nodes(self) -> None:
        """Let go of everything that holds a node, so that all are flushed and closed."""
        graph = self.context.graph
        for guest in self.context.guests:
            await guest.backend.close()
        for backend in list(graph.backends.values()):
            await backend.close()
        for node in list(graph.nodes.values()):
            if node.monitor_owned:
                node.monitor_owned = False
                await node.unref()


def run_machine(settings: Settings, endpoints: list[Endpoint], daemon: Daemon | None) -> None:
    """Run a machine in a loop of its own, until it ends. Raises EngineError when it cannot start.

    A bug, wherever it shows, ends the program.
    """
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, bug: _end_with(bug, settings.program))

    async def serve() -> None:
        machine = Machine(settings, endpoints)
        await machine.start()
        quick_start.finish()
        if daemon:
            daemon.announce()
        await machine.run()

    try:
        loop.run_until_complete(serve())
    except EngineError:
        raise
    except Exception as bug:
        _end_with({"exception": bug, "message": str(bug)}, settings.program)
    finally:
        loop.close()


def _end_with(bug: Mapping[str, object], program: str) -> NoReturn:
    from backcheck_engine.machine.crash import end_with_bug

    error = bug.get("exception")
    end_with_bug(error if isinstance(error, Exception) else RuntimeError(bug.get("message")), program)
