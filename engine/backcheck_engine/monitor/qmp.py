"""A QMP monitor: greeting, negotiation, and a client's messages in and out."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from backcheck_engine.json_value import JsonObject
from backcheck_engine.monitor.dispatcher import Dispatcher, Request
from backcheck_engine.monitor.monitor import Monitor
from backcheck_engine.version import version_info

if TYPE_CHECKING:
    from backcheck_engine.monitor.channel import Channel
    from backcheck_engine.monitor.endpoint import Endpoint
    from backcheck_engine.qapi.json_parser import MessageParser

MAX_PENDING: Final = 8
"""How many requests of a client that enabled `oob` may wait before it is no longer read; of others, one."""
MAX_BACKLOG: Final = 1 << 20
"""How much output a client may leave before its requests are no longer read and run."""
MAX_UNREAD_EVENTS: Final = 16 << 20
"""How much output a client may leave before events let it go: it is deaf. QEMU keeps everything for it, for ever."""


class QmpMonitor(Monitor["QmpClient"]):
    """A monitor for programs."""

    def __init__(self, endpoint: Endpoint, dispatcher: Dispatcher, *, pretty: bool = False) -> None:
        super().__init__(endpoint, dispatcher)
        self._pretty = pretty

    def send_event(self, event: JsonObject) -> None:
        """Pass an event to the client, if there is one that has negotiated."""
        if self._client and self._client.negotiated:
            self._client.tell(event)

    def _new_client(self, channel: Channel) -> QmpClient:
        return QmpClient(channel, self._dispatcher, pretty=self._pretty)


class QmpClient:
    """One connection, from its greeting on."""

    def __init__(self, channel: Channel, dispatcher: Dispatcher, *, pretty: bool) -> None:
        self.channel = channel
        self.negotiated = False
        self.oob_enabled = False
        self.pending: deque[Request] = deque()
        self._dispatcher = dispatcher
        self._indent = 4 if pretty else None
        self._parser: MessageParser | None = None
        """Made when the client first says something, for the greeting does not wait for its import."""
        channel.received = self._received
        channel.drained = self._drained

    def start(self) -> None:
        self.channel.open()
        version = version_info(self._dispatcher.context.release)
        self.reply({"QMP": {"version": version, "capabilities": ["oob"]}})

    async def serve(self, request: Request) -> None:
        """Answer one request."""
        await self._dispatcher.answer(self, request)

    def reply(self, message: JsonObject) -> None:
        """Send one message; after the client has gone, nothing."""
        text = json.dumps(message, indent=self._indent)
        self.channel.write(text.replace("\n", "\r\n").encode("ascii") + b"\r\n")
        if not self.takes_replies:
            self.channel.pause_reading()

    def tell(self, event: JsonObject) -> None:
        """Send an event; a client that has left very many lying is let go."""
        if self.channel.backlog <= MAX_UNREAD_EVENTS:
            self.reply(event)
        else:
            self.channel.close_soon()

    @property
    def takes_replies(self) -> bool:
        """Whether the client has taken most of what was sent to it."""
        return self.channel.backlog <= MAX_BACKLOG

    def request_done(self) -> None:
        """Read on when there is room for more."""
        if len(self.pending) < self._max_pending and self.takes_replies:
            self.channel.resume_reading()

    def _drained(self) -> None:
        self.request_done()
        self._dispatcher.wake()

    @property
    def _max_pending(self) -> int:
        return MAX_PENDING if self.oob_enabled else 1

    def _received(self, data: bytes) -> None:
        if self._parser is None:
            from backcheck_engine.qapi.json_parser import MessageParser

            self._parser = MessageParser(self._dispatcher.context.release)
        for message in self._parser.feed(data):
            request = Request(message.value, message.error)
            if self.oob_enabled and isinstance(message.value, dict) and "exec-oob" in message.value:
                self._dispatcher.pass_queue(self, request)
            else:
                self.pending.append(request)
        if len(self.pending) >= self._max_pending:
            self.channel.pause_reading()
        if self.pending:
            self._dispatcher.wake()


def event_message(name: str, data: JsonObject | None) -> JsonObject:
    """An event as it goes over the wire, stamped with the present time."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    message: JsonObject = {
        "timestamp": {"seconds": seconds, "microseconds": nanoseconds // 1000},
        "event": name,
    }
    if data is not None:
        message["data"] = data
    return message
