"""One client of the server, from when it connects until it is gone."""

import asyncio
from typing import Final

from backcheck_engine.nbd.errors import WireError
from backcheck_engine.nbd.export_list import ExportList
from backcheck_engine.nbd.server_handshake import Agreement, ClientLeaves, Handshake
from backcheck_engine.nbd.server_transmission import Transmission
from backcheck_engine.nbd.stream import Stream, StreamClosed
from backcheck_engine.nbd.turns import Turns


class Connection:
    """One client."""

    def __init__(self, stream: Stream, exports: ExportList, turns: Turns, *, handshake_max_s: int = 0) -> None:
        """`turns` are those that all clients of a server take.

        A client that has not chosen an export after `handshake_max_s` is sent away; 0 is never.
        """
        self._stream: Final = stream
        self._exports: Final = exports
        self._turns: Final = turns
        self._handshake_max_s: Final = handshake_max_s
        self.has_chosen = False
        """Whether it came as far as choosing an export."""
        self.gone: Final = asyncio.Event()
        """Set when the client has gone and its last request is done."""

    def close(self) -> None:
        """Send the client away. What it has asked for is finished, and not answered."""
        self._stream.close()

    async def run(self) -> None:
        """Serve until the client goes, is sent away, or makes no sense."""
        agreement: Agreement | None = None
        try:
            agreement = await self._shake_hands()
            self.has_chosen = True
            agreement.export.clients.add(self)
            await Transmission(self._stream, agreement, self._turns).run()
        except (WireError, StreamClosed, ClientLeaves):
            # How a client ends is its own business.
            pass
        finally:
            self._stream.close()
            if agreement is not None:
                agreement.export.clients.discard(self)
                self._exports.client_gone(agreement.export)
            self.gone.set()

    async def _shake_hands(self) -> Agreement:
        if not self._handshake_max_s:
            return await Handshake(self._stream, self._exports).run()
        deadline = asyncio.get_running_loop().call_later(self._handshake_max_s, self._stream.close)
        try:
            return await Handshake(self._stream, self._exports).run()
        finally:
            deadline.cancel()
