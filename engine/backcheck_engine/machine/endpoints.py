"""Opens the endpoints that the command line asks for, before there is a loop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from backcheck_engine.commandline.errors import CommandLineError
from backcheck_engine.commandline.settings import CharactersSettings, OtherCharacters, SocketCharacters
from backcheck_engine.errors import OptionError
from backcheck_engine.monitor.endpoint import Endpoint, Nobody, SocketClient, SocketServer, Stdio

if TYPE_CHECKING:
    from backcheck_engine.commandline.settings import Settings


class Endpoints(NamedTuple):
    """All that was opened."""

    of_monitors: list[Endpoint]
    """In the order of `settings.monitors`."""
    idle: list[Endpoint]
    """Character devices that nothing uses; they are there nevertheless."""


def open_endpoints(settings: Settings) -> Endpoints:
    """The endpoints of all character devices. Raises CommandLineError."""
    return Endpoints(
        [_open_endpoint(monitor.device, settings) for monitor in settings.monitors],
        [_open_endpoint(device, settings) for device in settings.idle_characters],
    )


def _open_endpoint(device: CharactersSettings, settings: Settings) -> Endpoint:
    characters, location = device
    if characters is OtherCharacters.STDIO:
        if settings.daemonize:
            raise CommandLineError.at(location, OptionError("cannot use stdio with -daemonize"))
        return Stdio()
    if not isinstance(characters, SocketCharacters):
        return Nobody()
    try:
        if not characters.server:
            return SocketClient(characters.address)
        server = SocketServer(characters.address)
    except OptionError as error:
        raise CommandLineError.at(location, error) from error
    if characters.wait:
        waits_for = f"disconnected:{characters.address},server=on"
        sys.stderr.write(f"{settings.program}: {location}: info: QEMU waiting for connection on: {waits_for}\n")
        server.wait_for_client()
    return server
