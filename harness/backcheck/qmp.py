"""The shim: qemu.qmp's client in the loop's thread, synchronous for cases.

Every message of both directions passes one hook each way and is recorded there, so that the recorder's order is the
true one: a command when it is written to the socket, a reply or an event when it is read from it.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from qemu.qmp import ExecInterruptedError, ExecuteError, QMPClient, QMPError, Runstate, StateError
from qemu.qmp.message import Message

from backcheck.errors import CaseTimeout, ImplementationError
from backcheck.json_types import JsonObject, JsonValue, as_json
from backcheck.programs.event_loop import loop_thread
from backcheck.recording.recorder import Recorder
from backcheck.transcript import Direction

CLOSE_TIMEOUT_S = 10.0
CLOSED = "closed its monitor"

# A program that ends while it is spoken to is reported by this module; without a handler, logging would print it too.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A command and its reply, with their positions in the true order; `error_class` is None for a success."""

    name: str
    arguments: JsonObject
    sent_at: int
    reply_at: int
    value: JsonValue = None
    error_class: str | None = None
    description: str | None = None


class RecordingClient(QMPClient):
    """A client that records every message; `before_inbound` runs before each that comes in."""

    def __init__(self, name: str, recorder: Recorder, before_inbound: Callable[[], None]) -> None:
        super().__init__(name)
        self.recorder = recorder
        self.before_inbound = before_inbound
        self.sent_at = self.reply_at = -1

    def _cb_outbound(self, msg: Message) -> Message:
        self.sent_at = self._record(Direction.SENT, msg)
        return super()._cb_outbound(msg)

    def _cb_inbound(self, msg: Message) -> Message:
        self.before_inbound()
        at = self._record(Direction.RECEIVED, msg)
        if "event" not in msg:
            self.reply_at = at
        return super()._cb_inbound(msg)

    def _record(self, direction: Direction, message: Message) -> int:
        return self.recorder.record(direction, self.name or "", {key: as_json(value) for key, value in message.items()})


class Monitor:
    """One QMP monitor, over a socket whose other end the program has."""

    def __init__(self, name: str, recorder: Recorder, before_inbound: Callable[[], None]) -> None:
        self.name = name
        self._recorder = recorder
        self._client = RecordingClient(name, recorder, before_inbound)
        self._loop = loop_thread()
        self._closing = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self.greeting: JsonObject = {}

    def connect(self, connection: socket.socket, on_end: Callable[[str], None]) -> None:
        """Takes the greeting and negotiates.

        `on_end` runs in the loop when the session has ended, with what the program did: `closed its monitor`.

        Raises CaseTimeout, or ImplementationError when the program ends or says something that is not QMP.
        """
        try:
            self._loop.submit(self._connect(connection, on_end)).result(self._recorder.remaining())
        except FutureTimeout as error:
            raise self._recorder.timeout("the greeting of the monitor") from error
        except QMPError as error:
            raise ImplementationError(f"no QMP session: {error}", self._recorder.last()) from error

    async def _connect(self, connection: socket.socket, on_end: Callable[[str], None]) -> None:
        await self._client.connect(connection)
        if self._client.greeting is not None:
            self.greeting = {key: as_json(value) for key, value in self._client.greeting._asdict().items()}
        self._watcher = asyncio.create_task(self._watch(on_end))

    async def _watch(self, on_end: Callable[[str], None]) -> None:
        """Waits for the end of the session, whichever side ends it."""
        closing = asyncio.create_task(self._closing.wait())
        while self._client.runstate is Runstate.RUNNING and not closing.done():
            changed = asyncio.create_task(self._client.runstate_changed())
            await asyncio.wait({changed, closing}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        closing.cancel()
        try:
            await self._client.disconnect()
        except (OSError, EOFError):
            on_end(CLOSED)
        except QMPError as error:
            on_end(f"said on its monitor what is not QMP: {error}")
        else:
            on_end(CLOSED)

    def execute(self, name: str, arguments: JsonObject, *, oob: bool = False) -> Exchange:
        """Sends a command and waits for its reply, an error included.

        Raises CaseTimeout, or ImplementationError when the program ends instead of answering.
        """
        return self.send(QMPClient.make_execute_msg(name, dict(arguments) or None, oob=oob), name, arguments)

    def send(self, message: Mapping[str, object], name: str, arguments: JsonObject) -> Exchange:
        """Sends any object that has `execute`, also one the schema refuses, and waits for the reply."""
        try:
            future = self._loop.submit(self._client.execute_msg(Message(message)))
            value = future.result(self._recorder.remaining())
        except FutureTimeout as error:
            raise self._recorder.timeout(f"the reply to {name}") from error
        except ExecuteError as error:
            return self._exchange(name, arguments, None, error)
        except (ExecInterruptedError, StateError):
            # The session is over; why, the watcher says in a moment, and this raises it.
            return self._recorder.wait(lambda: None, waiting_for="the monitor's end", seconds=CLOSE_TIMEOUT_S)
        except QMPError as error:
            raise ImplementationError(f"{name}: {error}", self._recorder.last()) from error
        return self._exchange(name, arguments, as_json(value), None)

    def _exchange(self, name: str, arguments: JsonObject, value: JsonValue, error: ExecuteError | None) -> Exchange:
        return Exchange(
            name=name,
            arguments=arguments,
            sent_at=self._client.sent_at,
            reply_at=self._client.reply_at,
            value=value,
            error_class=None if error is None else error.error_class,
            description=None if error is None else str(error),
        )

    def close(self) -> None:
        """Ends the session; the program's own end of it, in whatever way, is no error here."""
        try:
            self._loop.submit(self._close()).result(CLOSE_TIMEOUT_S)
        except FutureTimeout as error:
            raise CaseTimeout(CLOSE_TIMEOUT_S, "the monitor's connection to close") from error

    async def _close(self) -> None:
        self._closing.set()
        if self._watcher is not None:
            await self._watcher
