"""What a client asks of an export, before it has a cookie and is on its way."""

from typing import NamedTuple

from backcheck_engine.block.request import Buffer
from backcheck_engine.nbd.constants import Command, CommandFlag


class ClientRequest(NamedTuple):
    """One request; `offset` and `length` are in bytes.

    A read's data goes to `buffer`, of `length` bytes; a write's is `data`, which has to stay as it is until it is done.
    """

    command: Command
    offset: int = 0
    length: int = 0
    flags: CommandFlag = CommandFlag.NONE
    data: Buffer = b""
    buffer: memoryview | None = None
