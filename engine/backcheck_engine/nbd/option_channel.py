"""Options from the client's side: sends one, reads the replies, and says in QEMU's words what a server refuses."""

import contextlib
from typing import Final, NamedTuple

from backcheck_engine import release
from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import negotiation
from backcheck_engine.nbd.constants import ERROR_BIT, MAX_OPTION_BYTES, OPTION_REPLY_MAGIC, OptionCode, OptionReply
from backcheck_engine.nbd.errors import WireError
from backcheck_engine.nbd.option_names import option_name, option_text, reply_name, reply_text
from backcheck_engine.nbd.stream import Stream, StreamClosed

_REFUSALS: Final[dict[int, str]] = {
    OptionReply.ERR_UNSUP: "Unsupported option type {0} ({1})",
    OptionReply.ERR_POLICY: "Denied by server for option {0} ({1})",
    OptionReply.ERR_INVALID: "Invalid parameters for option {0} ({1})",
    OptionReply.ERR_PLATFORM: "Server lacks support for option {0} ({1})",
    OptionReply.ERR_TLS_REQD: "TLS negotiation required before option {0} ({1})",
    OptionReply.ERR_UNKNOWN: "Requested export not available",
    OptionReply.ERR_SHUTDOWN: "Server shutting down before option {0} ({1})",
    OptionReply.ERR_BLOCK_SIZE_REQD: "Server requires INFO_BLOCK_SIZE for option {0} ({1})",
}
_REFUSAL: Final = "Unknown error code when asking for option {0} ({1})"
_TLS_HINT: Final = "Did you forget a valid tls-creds?"


class Reply(NamedTuple):
    """A reply that does not refuse; its payload of `length` bytes has not been read."""

    kind: int
    length: int


class OptionChannel:
    """One negotiation. Every method raises BlockError when the server goes, or is none."""

    def __init__(self, stream: Stream) -> None:
        self._stream: Final = stream

    async def read(self, length: int, what: str) -> bytes:
        """Exactly `length` bytes; `what` they are is named when they do not come."""
        try:
            return await self._stream.read(length)
        except StreamClosed as error:
            raise WireError(f"Failed to read {what}: {_reading_failed(error)}") from error

    async def read_number(self, length: int, what: str) -> int:
        """A number of `length` bytes."""
        return int.from_bytes(await self.read(length, what), "big")

    async def write(self, data: bytes, what: str) -> None:
        """Send `data`; `what` it is is named when it cannot be sent."""
        try:
            await self._stream.write(data)
        except StreamClosed as error:
            raise WireError(f"Failed to send {what}: {_failed('write to', error)}") from error

    async def send(self, code: int, payload: bytes = b"") -> None:
        """Send an option."""
        await self.write(negotiation.pack_option(code, payload), "option request header")

    async def abort(self) -> None:
        """Take leave, as far as the server still listens."""
        with contextlib.suppress(BlockError):
            await self.send(OptionCode.ABORT)

    async def reply_head(self, code: int) -> Reply:
        """The head of the next reply to option `code`, which may refuse."""
        head = negotiation.unpack_option_reply_head(await self.read(negotiation.OPTION_REPLY_BYTES, "option reply"))
        if head.magic != OPTION_REPLY_MAGIC:
            raise WireError("Unexpected option reply magic")
        if head.code != code:
            raise WireError(f"Unexpected option type {option_text(head.code)}, expected {option_text(code)}")
        return Reply(head.reply, head.length)

    async def reply(self, code: int, *, strict: bool) -> Reply | None:
        """The head of the next reply; None when the server lacks the option, or, unless `strict`, refuses it.

        Raises BlockError with what the server says about it as a hint, when it refuses.
        """
        reply = await self.reply_head(code)
        if not reply.kind & ERROR_BIT:
            return reply
        if reply.length > MAX_OPTION_BYTES:
            raise WireError(f"server error {reply.kind} ({reply_name(reply.kind)}) message is too long")
        text = f"option error {reply.kind} ({reply_name(reply.kind)}) message"
        said = await self.read(reply.length, text) if reply.length else b""
        if not strict or reply.kind == OptionReply.ERR_UNSUP:
            return None
        hints = [_TLS_HINT] if reply.kind == OptionReply.ERR_TLS_REQD else []
        if said:
            hints.append(f"server reported: {said.decode('utf-8', 'replace')}")
        refused = BlockError(_REFUSALS.get(reply.kind, _REFUSAL).format(code, option_name(code)), WireError("").errno)
        refused.hint = "\n".join(hints) or None
        raise refused

    def unexpected(self, reply: Reply, expected: int, word: str = "Unexpected") -> WireError:
        """What to raise for a reply of a type that the option does not have."""
        return WireError(f"{word} reply type {reply_text(reply.kind)}, expected {reply_text(expected)}")


def _reading_failed(error: StreamClosed) -> str:
    """Why nothing came: the peer ended the connection, or it broke."""
    if error.__cause__ is not None:
        return _failed("read from", error)
    what = "bytes" if release.current() < release.QEMU_7_2 else "data"
    return f"Unexpected end-of-file before all {what} were read"


def _failed(what: str, error: StreamClosed) -> str:
    return f"Unable to {what} socket: {error}"
