"""Opens the endpoints that the command line asks for, before there is a loop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from backcheck_engine.commandline.errors import CommandLineError
from backcheck_engine.commandline.settings import Characters, OtherCharacters, SocketCharacters
from backcheck_engine.errors import OptionError
from backcheck_engine.monitor.endpoint import Endpoint, Nobody, SocketClient, SocketServer, Stdio

if TYPE_CHECKING:
    from backcheck_engine.commandline.settings import Settings


def open_endpoints(settings: Settings) -> list[Endpoint]:
    """The endpoints of all monitors, in their order. Raises CommandLineError."""
    endpoints: list[Endpoint] = []
    for monitor in settings.monitors:
        try:
            endpoints.append(_open_endpoint(monitor.characters, f"{settings.program}: {monitor.location}"))
        except OptionError as error:
            raise CommandLineError.at(monitor.location, error) from error
    for characters in settings.idle_characters:
        _open_endpoint(characters, settings.program)
    return endpoints


def _open_endpoint(characters: Characters, place: str) -> Endpoint:
    if characters is OtherCharacters.STDIO:
        return Stdio()
    if not isinstance(characters, SocketCharacters):
        return Nobody()
    if not characters.server:
        return SocketClient(characters.address)
    server = SocketServer(characters.address)
    if characters.wait:
        sys.stderr.write(
            f"{place}: info: QEMU waiting for connection on: disconnected:{characters.address},server=on\n"
        )
        server.wait_for_client()
    return server
