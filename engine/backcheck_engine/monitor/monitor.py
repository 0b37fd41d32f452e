"""What monitors have in common: an endpoint that brings clients, and one client at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.channel import Channel
    from backcheck_engine.monitor.dispatcher import Dispatcher
    from backcheck_engine.monitor.endpoint import Endpoint

PATIENCE_S: Final = 1.0
"""How long the end of the program waits for a client that does not read."""


class _Client(Protocol):
    @property
    def channel(self) -> Channel: ...
    @property
    def pending(self) -> deque[Any]: ...
    @property
    def takes_replies(self) -> bool: ...
    async def serve(self, request: Any) -> None: ...
    def request_done(self) -> None: ...
    def start(self) -> None: ...


ClientT = TypeVar("ClientT", bound=_Client)


class Monitor(ABC, Generic[ClientT]):
    """One monitor; serves one client at a time, those that its endpoint brings."""

    def __init__(self, endpoint: Endpoint, dispatcher: Dispatcher) -> None:
        self._endpoint: Final = endpoint
        self._dispatcher: Final = dispatcher
        self._client: ClientT | None = None

    @abstractmethod
    def _new_client(self, channel: Channel) -> ClientT:
        """The client behind a connection."""

    @abstractmethod
    def send_event(self, event: JsonObject) -> None:
        """Something has happened of which clients may want to know."""

    def start(self) -> None:
        """Let clients in."""
        self._endpoint.start(self._connected)

    def stop(self) -> None:
        """Send what is queued, and let the client and the endpoint go."""
        if self._client:
            self._client.channel.flush_blocking(PATIENCE_S)
            self._client.channel.close()
        self._endpoint.close()

    def _connected(self, channel: Channel) -> None:
        client = self._new_client(channel)
        self._client = client

        def closed() -> None:
            self._client = None
            client.pending.clear()
            self._dispatcher.remove(client)
            self._endpoint.client_gone()

        channel.closed = closed
        self._dispatcher.add(client)
        client.start()
