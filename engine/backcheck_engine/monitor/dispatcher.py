"""Runs the commands of all monitors, one at a time, in turn.

A monitor hands over what its client sent; the answer goes back through the client's own output queue, the one that
events use too. Only `exec-oob` passes the queue.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from backcheck_engine import tracing
from backcheck_engine.block.eager import start_eagerly
from backcheck_engine.errors import EngineError, QmpError
from backcheck_engine.json_value import JsonObject, JsonValue
from backcheck_engine.monitor import registry

if TYPE_CHECKING:
    from backcheck_engine.monitor.context import Context
    from backcheck_engine.qapi.validation import Validator

RequestT = TypeVar("RequestT")

COMMAND_NOT_FOUND: Final = "CommandNotFound"
_NEGOTIATION: Final = "qmp_capabilities"


class Client(Protocol[RequestT]):
    """Who sends requests: a connection to a monitor."""

    @property
    def pending(self) -> deque[RequestT]:
        """What it has asked and nobody has taken yet."""
        ...

    @property
    def takes_replies(self) -> bool:
        """Whether the client reads what it gets; while it does not, its requests wait."""
        ...

    async def serve(self, request: RequestT) -> None:
        """Answer one request."""
        ...

    def request_done(self) -> None:
        """One request of `pending` has been taken and answered."""
        ...


class QmpPeer(Protocol):
    """What answering a QMP request needs to know of its client."""

    negotiated: bool
    oob_enabled: bool

    def reply(self, message: JsonObject) -> None: ...


class Request(NamedTuple):
    """What a client sent, or what was wrong with it."""

    value: JsonValue
    error: EngineError | None = None


class Dispatcher:
    """Takes requests from the clients in turn, and answers them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._clients: deque[Client[Any]] = deque()
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._validator: Validator | None = None
        self._passing: set[asyncio.Future[None]] = set()

    def add(self, client: Client[Any]) -> None:
        self._clients.append(client)

    def remove(self, client: Client[Any]) -> None:
        self._clients.remove(client)

    def wake(self) -> None:
        """A client has a request pending."""
        self._wakeup.set()

    def pass_queue(self, client: QmpPeer, request: Request) -> None:
        """Answer an out-of-band request at once, whatever runs, and before what its client says next."""
        task = start_eagerly(self.answer(client, request))
        if task is not None:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def run(self) -> None:
        """Answer requests for as long as the program runs."""
        while True:
            client = self._next_client()
            if client is None:
                self._wakeup.clear()
                await self._wakeup.wait()
                continue
            request = client.pending.popleft()
            self._idle.clear()
            await client.serve(request)
            self._idle.set()
            client.request_done()
            # A handler need not have waited for anything, and the loop has others to serve.
            await asyncio.sleep(0)

    async def finish_current(self) -> None:
        """Wait until the request that runs has been answered."""
        await self._idle.wait()

    def _next_client(self) -> Client[Any] | None:
        for _ in range(len(self._clients)):
            client = self._clients[0]
            self._clients.rotate(-1)
            if client.pending and client.takes_replies:
                return client
        return None

    async def answer(self, client: QmpPeer, request: Request) -> None:
        """Run one request and send its reply."""
        if tracing.HANDLE_QMP_COMMAND.is_on and not request.error:
            tracing.HANDLE_QMP_COMMAND(client, json.dumps(request.value))
        identity: JsonObject = {}
        if isinstance(request.value, dict) and "id" in request.value:
            identity = {"id": request.value["id"]}
        try:
            result = await self._run(client, request)
        except RecursionError:
            client.reply({**identity, "error": _error_object(QmpError.generic("The request is nested too deeply"))})
        except EngineError as error:
            client.reply({**identity, "error": _error_object(_in_negotiation(client, error))})
        else:
            client.reply({"return": result, **identity})

    async def _run(self, client: QmpPeer, request: Request) -> JsonValue:
        if request.error:
            raise request.error
        name, arguments, out_of_band = check_request(request.value, oob_enabled=client.oob_enabled)
        if name == _NEGOTIATION or not client.negotiated:
            return self._negotiate(client, name, arguments, out_of_band=out_of_band)
        return await self.execute(name, arguments, out_of_band=out_of_band)

    async def execute(self, name: str, arguments: JsonObject, *, out_of_band: bool = False) -> JsonValue:
        """Validate and run one command, and give what it returns. Raises EngineError."""
        members = self.validated(name, arguments, out_of_band=out_of_band)
        if (event := tracing.command_event("enter", name)) is not None:
            event(json.dumps(arguments))
        try:
            result = await registry.handler(name)(self.context, members)
        except EngineError as error:
            if (event := tracing.command_event("exit", name)) is not None:
                event(error.message, 0)
            raise
        if (event := tracing.command_event("exit", name)) is not None:
            event(json.dumps(result), 1)
        return result

    def validated(self, name: str, arguments: JsonObject, *, out_of_band: bool = False) -> JsonObject:
        """The arguments of a command as its handler gets them. Raises QmpError."""
        from backcheck_engine.qapi.schema import schema_of
        from backcheck_engine.qapi.validation import Validator

        schema = schema_of(self.context.release)
        command = schema.command(name) if name in registry.MODULE_OF else None
        if command is None:
            raise QmpError(COMMAND_NOT_FOUND, f"The command {name} has not been found")
        policy = self.context.input_policy
        policy.check(schema.features(command.features), "command", name, COMMAND_NOT_FOUND)
        if out_of_band and "allow-oob" not in schema.features(command.features):
            raise QmpError.generic(f"The command {name} does not support OOB")
        if not command.is_checked:
            return arguments
        self._validator = self._validator or Validator(schema, policy)
        return self._validator.check(arguments, command.arguments)

    def _negotiate(self, client: QmpPeer, name: str, arguments: JsonObject, *, out_of_band: bool) -> JsonValue:
        if name != _NEGOTIATION:
            raise QmpError(COMMAND_NOT_FOUND, f"The command {name} has not been found")
        members = self.validated(name, arguments, out_of_band=out_of_band)
        if client.negotiated:
            raise QmpError(COMMAND_NOT_FOUND, "Capabilities negotiation is already complete, command ignored")
        client.oob_enabled = bool(members.get("enable"))
        client.negotiated = True
        return {}


def check_request(value: JsonValue, *, oob_enabled: bool) -> tuple[str, JsonObject, bool]:
    """(command, arguments, whether out of band) of a message. Raises QmpError for one that is no request."""
    if not isinstance(value, dict):
        raise QmpError.generic("QMP input must be a JSON object")
    names = ("execute", "exec-oob") if oob_enabled else ("execute",)
    command: str | None = None
    arguments: JsonObject = {}
    for member, content in value.items():
        if member in names:
            if not isinstance(content, str):
                raise QmpError.generic(f"QMP input member '{member}' must be a string")
            if command is not None:
                raise QmpError.generic("QMP input member 'execute' clashes with 'exec-oob'")
            command = content
        elif member == "arguments":
            if not isinstance(content, dict):
                raise QmpError.generic("QMP input member 'arguments' must be an object")
            arguments = content
        elif member != "id":
            raise QmpError.generic(f"QMP input member '{member}' is unexpected")
    if command is None:
        raise QmpError.generic("QMP input lacks member 'execute'")
    return command, arguments, "exec-oob" in value


def _in_negotiation(client: QmpPeer, error: EngineError) -> EngineError:
    """Before negotiation, an unknown command is told what to do first."""
    if isinstance(error, QmpError) and error.error_class == COMMAND_NOT_FOUND and not client.negotiated:
        return QmpError(COMMAND_NOT_FOUND, "Expecting capabilities negotiation with 'qmp_capabilities'")
    return error


def _error_object(error: EngineError) -> JsonObject:
    error_class = error.error_class if isinstance(error, QmpError) else "GenericError"
    return {"class": error_class, "desc": error.message}
