"""Starting backcheck-nbd: the socket first, then the background, then the loop that serves.

The fork comes before there is a loop, a thread or an open image. The parent stays until clients can come, so that what
goes wrong until then reaches whoever started the program.
"""

import os
import socket
from collections.abc import Callable
from typing import Final

from backcheck_engine.nbd.listening import close_listeners, listen
from backcheck_engine.tools.nbd_settings import ServeSettings

_READY: Final = b"\0"


def start(settings: ServeSettings) -> int:
    """Serve, in the background if that was asked; returns the exit status. Raises EngineError."""
    listeners = listen(settings.place)
    if not settings.fork:
        return _serve(settings, listeners, lambda: None)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) == _READY else 1
    os.close(reader)
    os.setsid()
    _to_null(0, 1)
    return _serve(settings, listeners, lambda: _announce(writer, keep_errors=settings.verbose))


def _serve(settings: ServeSettings, listeners: list[socket.socket], ready: Callable[[], None]) -> int:
    import asyncio

    from backcheck_engine.tools.nbd_serve import serve

    try:
        return asyncio.run(serve(settings, listeners, ready))
    finally:
        close_listeners(listeners)


def _announce(writer: int, *, keep_errors: bool) -> None:
    """Let the parent end, with success; nobody reads this process's errors from now on."""
    if not keep_errors:
        _to_null(2)
    os.write(writer, _READY)
    os.close(writer)


def _to_null(*descriptors: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)
