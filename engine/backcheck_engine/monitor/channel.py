"""A peer of a monitor as two file descriptors: bytes in, bytes out, and neither direction ever blocks the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from typing import Final

_READ_SIZE: Final = 64 << 10


class Channel:
    """Reads from `source` and writes to `sink`, which may be the same descriptor; owns both.

    Set `received`, `closed` and, when wanted, `drained` before `open`.
    """

    def __init__(self, source: int, sink: int, *, close_descriptors: bool = True) -> None:
        self.received: Callable[[bytes], None] = lambda data: None
        self.closed: Callable[[], None] = lambda: None
        """The peer has gone, or `close` was called."""
        self.drained: Callable[[], None] = lambda: None
        """All that was written has gone out, after it had not."""
        self.is_open = False
        self._source = source
        self._sink = sink
        self._close_descriptors = close_descriptors
        self._reading = False
        self._polled = False
        self._is_last_word = False
        self._backlog = bytearray()

    def open(self) -> None:
        """Begin to read."""
        self._loop = asyncio.get_running_loop()
        self._blocking = {descriptor: os.get_blocking(descriptor) for descriptor in (self._source, self._sink)}
        for descriptor in self._blocking:
            os.set_blocking(descriptor, False)
        self.is_open = True
        self.resume_reading()

    @property
    def backlog(self) -> int:
        """How many bytes the peer has yet to take."""
        return len(self._backlog)

    def resume_reading(self) -> None:
        if self._reading or not self.is_open:
            return
        self._reading = True
        try:
            self._loop.add_reader(self._source, self._readable)
        except PermissionError:
            # A regular file or /dev/null, which is always readable.
            self._polled = True
            self._loop.call_soon(self._poll)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            if not self._polled:
                self._loop.remove_reader(self._source)

    def write(self, data: bytes) -> None:
        """Send `data`, now or as soon as the peer takes it; nothing when the peer has gone."""
        if not self.is_open:
            return
        if not self._backlog:
            data = data[self._send(data) :]
        if data and self.is_open:
            if not self._backlog:
                self._loop.add_writer(self._sink, self._writable)
            self._backlog += data

    def close(self) -> None:
        """Let the peer go; what it has not taken is lost."""
        if not self.is_open:
            return
        self.pause_reading()
        self.is_open = False
        if self._backlog:
            self._loop.remove_writer(self._sink)
            self._backlog.clear()
        for descriptor, blocking in self._blocking.items():
            with contextlib.suppress(OSError):
                os.set_blocking(descriptor, blocking)
                if self._close_descriptors:
                    os.close(descriptor)
        self.closed()

    def close_soon(self) -> None:
        """Let the peer go, but not under whoever is using the channel now."""
        if self.is_open:
            self._loop.call_soon(self.close)

    def flush_blocking(self, patience_s: float) -> None:
        """Write out what is left when the program ends; a peer that takes nothing for that time loses the rest."""
        while self.is_open and self._backlog and select.select([], [self._sink], [], patience_s)[1]:
            sent = self._send(self._backlog)
            del self._backlog[:sent]
            if not self._backlog:
                self._loop.remove_writer(self._sink)

    def _poll(self) -> None:
        if self._reading:
            self._readable()
            self._loop.call_soon(self._poll)

    def _readable(self) -> None:
        try:
            data = os.read(self._source, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.received(data)
        elif self._backlog:
            # A peer that has said its last word may still be listening.
            self.pause_reading()
            self._is_last_word = True
        else:
            self.close()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._sink, data)
        except BlockingIOError:
            return 0
        except OSError:
            # Whoever can be heard no more may still say something where that is another file, as standard input is.
            if self._sink == self._source:
                self.close_soon()
            return len(data)

    def _writable(self) -> None:
        del self._backlog[: self._send(self._backlog)]
        if not self._backlog:
            self._loop.remove_writer(self._sink)
            if self._is_last_word:
                self.close()
            else:
                self.drained()
