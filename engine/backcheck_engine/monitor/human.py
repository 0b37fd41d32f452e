"""A human monitor on a character device: banner, prompt, lines edited by whoever types, and what they answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from backcheck_engine import version
from backcheck_engine.monitor.line_editor import LineEditor
from backcheck_engine.monitor.monitor import Monitor

if TYPE_CHECKING:
    from backcheck_engine.json_value import JsonObject
    from backcheck_engine.monitor.channel import Channel
    from backcheck_engine.monitor.dispatcher import Dispatcher

PROMPT: Final = "(qemu) "
MAX_BACKLOG: Final = 1 << 20
"""How much output a client may leave before it is no longer read."""
ECHO_SIZE: Final = 64 << 10
"""How much is echoed at once: a single key may move the cursor along a whole line."""


class HumanMonitor(Monitor["HumanClient"]):
    """A monitor for people."""

    def send_event(self, event: JsonObject) -> None:
        """Nothing: events are for programs."""

    def _new_client(self, channel: Channel) -> HumanClient:
        return HumanClient(channel, self._dispatcher)


class HumanClient:
    """One connection. A line runs when all lines before it have; what is typed meanwhile waits."""

    def __init__(self, channel: Channel, dispatcher: Dispatcher) -> None:
        self.channel: Final = channel
        self.pending: Final[deque[str]] = deque()
        self._dispatcher: Final = dispatcher
        self._editor: Final = LineEditor(PROMPT, _completions)
        self._typed: Final = bytearray()
        """What has come and was not looked at, because a line runs or the client does not read."""
        self._has_line = False
        """A line waits or runs."""
        channel.received = self._received
        channel.drained = self._drained

    def start(self) -> None:
        """Greet."""
        self.channel.open()
        shown = version.version_text(self._dispatcher.context.release)
        self._show(f"QEMU {shown} monitor - type 'help' for more information\r\n{self._editor.begin()}")

    @property
    def takes_replies(self) -> bool:
        """Whether the client has taken most of what was sent to it."""
        return self.channel.backlog <= MAX_BACKLOG

    async def serve(self, line: str) -> None:
        """Run a line, and ask for the next."""
        from backcheck_engine.monitor.hmp import run_line

        text = await run_line(self._dispatcher.context, line)
        self._show(text.replace("\n", "\r\n"))
        if not self._dispatcher.context.is_shutting_down:
            self._show(self._editor.begin())

    def request_done(self) -> None:
        """Look at what was typed meanwhile."""
        self._has_line = False
        self.channel.resume_reading()
        self._take_typed()

    def _received(self, data: bytes) -> None:
        self._typed.extend(data)
        self._take_typed()

    def _drained(self) -> None:
        self._dispatcher.wake()
        if not self._has_line:
            self.request_done()

    def _take_typed(self) -> None:
        """Take keys until a line is complete, which has to run before more are looked at, or nobody reads the echo."""
        shown = ""
        for number, byte in enumerate(self._typed, 1):
            text, line = self._editor.key(byte)
            shown += text
            if line is not None:
                del self._typed[:number]
                self._show(shown)
                self.channel.pause_reading()
                self._has_line = True
                self.pending.append(line)
                self._dispatcher.wake()
                return
            if len(shown) > ECHO_SIZE:
                self._show(shown)
                shown = ""
                if not self.takes_replies:
                    del self._typed[:number]
                    self.channel.pause_reading()
                    return
        self._typed.clear()
        self._show(shown)
        if not self.takes_replies:
            self.channel.pause_reading()

    def _show(self, text: str) -> None:
        if text:
            self.channel.write(text.encode("latin-1", "replace"))


def _completions(before: str) -> list[str]:
    from backcheck_engine.monitor.hmp import completions

    return completions(before)
