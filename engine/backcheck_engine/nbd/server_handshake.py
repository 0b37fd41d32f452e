"""The server's side of the handshake: a client asks for options until it has chosen an export, or goes.

What an option asks for wrongly is refused with a reply; what is no message at all ends the connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from backcheck_engine import release
from backcheck_engine.nbd import negotiation
from backcheck_engine.nbd.constants import (
    MAX_OPTION_BYTES,
    MAX_STRING_BYTES,
    OPTION_MAGIC,
    ClientFlag,
    HandshakeFlag,
    InfoType,
    OptionCode,
    OptionReply,
    TransmissionFlag,
)
from backcheck_engine.nbd.errors import TrailingBytes, WireError
from backcheck_engine.nbd.export import Export
from backcheck_engine.nbd.export_list import ExportList
from backcheck_engine.nbd.stream import Stream

_RequestT = TypeVar("_RequestT")
_LENGTH_BYTES: Final = 4
_SHOWN_NAME: Final = 80
"""How much of a name that nobody has is told back."""
_KNOWN_FLAGS: Final = ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES


class ClientLeaves(Exception):
    """The client has said that it goes."""


class _Refusal(Exception):
    """An option is answered with an error, and the next one is awaited."""

    def __init__(self, reply: OptionReply, text: str) -> None:
        super().__init__(text)
        self.reply = reply
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What client and server have agreed on."""

    export: Export
    structured: bool
    """Whether replies may be structured."""
    contexts: Sequence[int] = ()
    """The ids of the meta contexts that BLOCK_STATUS tells of."""


_Handler: TypeAlias = "Callable[[Handshake, OptionCode, bytes], Awaitable[Agreement | None]]"


class Handshake:
    """One handshake. `run` gives the agreement, or raises WireError, StreamClosed or ClientLeaves."""

    def __init__(self, stream: Stream, exports: ExportList) -> None:
        self._stream: Final = stream
        self._exports: Final = exports
        self._structured = False
        self._no_zeroes = False
        self._contexts: tuple[Export, Sequence[int]] | None = None
        """The export that the client asked about last, and the meta contexts that it chose there."""

    async def run(self) -> Agreement:
        """Greet, and answer options until an export is chosen."""
        flags = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
        await self._stream.write(negotiation.pack_greeting(flags))
        answer = negotiation.unpack_client_flags(await self._stream.read(negotiation.CLIENT_FLAGS_BYTES))
        if answer & ~_KNOWN_FLAGS:
            raise WireError(f"Unknown client flags 0x{answer & ~_KNOWN_FLAGS:x} received")
        self._no_zeroes = bool(answer & ClientFlag.NO_ZEROES)
        is_fixed = bool(answer & ClientFlag.FIXED_NEWSTYLE)
        while True:
            agreement = await self._option(is_fixed=is_fixed)
            if agreement is not None:
                return agreement

    async def _option(self, *, is_fixed: bool) -> Agreement | None:
        """Answer one option."""
        head = negotiation.unpack_option_head(await self._stream.read(negotiation.OPTION_BYTES))
        if head.magic != OPTION_MAGIC:
            raise WireError("Bad magic received")
        if head.length > MAX_OPTION_BYTES:
            raise WireError(f"len ({head.length}) is larger than max len ({MAX_OPTION_BYTES})")
        handler = _HANDLERS.get(head.code)
        if not is_fixed and head.code != OptionCode.EXPORT_NAME:
            raise WireError(f"Unsupported option 0x{head.code:x}")
        try:
            if handler is None:
                await self._stream.skip(head.length)
                raise _Refusal(OptionReply.ERR_UNSUP, f"Unsupported option {head.code} ({_name_of(head.code)})")
            if head.length and head.code in _WITHOUT_PAYLOAD:
                await self._stream.skip(head.length)
                raise _invalid(f"option '{_name_of(head.code)}' has unexpected length")
            payload = await self._stream.read(head.length)
            return await handler(self, OptionCode(head.code), payload)
        except _Refusal as refusal:
            await self._reply(head.code, refusal.reply, refusal.text.encode(errors="surrogateescape"))
            return None

    async def _reply(self, code: int, reply: OptionReply, payload: bytes = b"") -> None:
        await self._stream.write(negotiation.pack_option_reply(code, reply, payload))

    # The options.

    async def _choose_by_name(self, code: OptionCode, payload: bytes) -> Agreement | None:
        """EXPORT_NAME, which cannot be refused but by ending the connection."""
        if len(payload) > MAX_STRING_BYTES:
            raise WireError("Bad length received")
        export = self._exports.find_shown(negotiation.unpack_name(payload))
        if export is None:
            raise WireError("export not found")
        answer = negotiation.pack_export(negotiation.ExportInfo(export.size, self._flags(export)))
        await self._stream.write(answer, b"" if self._no_zeroes else negotiation.PADDING)
        return self._agree(export)

    async def _abort(self, code: OptionCode, payload: bytes) -> Agreement | None:
        await self._reply(code, OptionReply.ACK)
        raise ClientLeaves

    async def _list(self, code: OptionCode, payload: bytes) -> Agreement | None:
        for export in self._exports.shown():
            description = negotiation.pack_server(export.name, export.settings.description)
            await self._reply(code, OptionReply.SERVER, description)
        await self._reply(code, OptionReply.ACK)
        return None

    async def _start_tls(self, code: OptionCode, payload: bytes) -> Agreement | None:
        raise _Refusal(OptionReply.ERR_POLICY, "TLS not configured")

    async def _structure_replies(self, code: OptionCode, payload: bytes) -> Agreement | None:
        if self._structured:
            raise _invalid("structured reply already negotiated")
        self._structured = True
        await self._reply(code, OptionReply.ACK)
        return None

    async def _inform(self, code: OptionCode, payload: bytes) -> Agreement | None:
        """INFO and GO: tell of an export, and with GO choose it."""
        request = _unpacked(code, payload, negotiation.unpack_export_request)
        export = self._find(request.name)
        knows_sizes = InfoType.BLOCK_SIZE in request.wanted
        sizes = export.block_sizes(client_knows_them=knows_sizes or code is OptionCode.INFO)
        contents = {
            InfoType.NAME: negotiation.pack_name(export.name) if InfoType.NAME in request.wanted else b"",
            InfoType.DESCRIPTION: negotiation.pack_name(export.settings.description),
            InfoType.BLOCK_SIZE: negotiation.pack_block_sizes(sizes),
            InfoType.EXPORT: negotiation.pack_export(negotiation.ExportInfo(export.size, self._flags(export))),
        }
        for info_type, content in contents.items():
            if content or (info_type is InfoType.NAME and InfoType.NAME in request.wanted):
                await self._reply(code, OptionReply.INFO, negotiation.pack_info(info_type, content))
        if code is OptionCode.INFO and not knows_sizes and export.request_alignment > 1:
            raise _Refusal(OptionReply.ERR_BLOCK_SIZE_REQD, "request NBD_INFO_BLOCK_SIZE to use this export")
        await self._reply(code, OptionReply.ACK)
        return self._agree(export) if code is OptionCode.GO else None

    async def _meta_contexts(self, code: OptionCode, payload: bytes) -> Agreement | None:
        """LIST_META_CONTEXT and SET_META_CONTEXT: which of the export's contexts the client means."""
        is_listing = code is OptionCode.LIST_META_CONTEXT
        if not self._structured and not (is_listing and release.current() >= release.QEMU_7_2):
            raise _invalid(f"request option '{_name_of(code)}' when structured reply is not negotiated")
        if not is_listing:
            self._contexts = None
        request = _unpacked(code, payload, negotiation.unpack_meta_context_request)
        export = self._find(request.export)
        chosen = []
        for context_id, name in export.meta_contexts():
            if _is_meant(name, request.queries, is_listing=is_listing):
                chosen.append(context_id)
                context = negotiation.MetaContext(0 if is_listing else context_id, name)
                await self._reply(code, OptionReply.META_CONTEXT, negotiation.pack_meta_context(context))
        await self._reply(code, OptionReply.ACK)
        if not is_listing:
            self._contexts = export, chosen
        return None

    # What they share.

    def _find(self, name: str) -> Export:
        export = self._exports.find_shown(name)
        if export is None:
            shown = name if len(name) <= _SHOWN_NAME else f"{name[:_SHOWN_NAME]}..."
            raise _Refusal(OptionReply.ERR_UNKNOWN, f"export '{shown}' not present")
        return export

    def _flags(self, export: Export) -> TransmissionFlag:
        return export.flags | TransmissionFlag.SEND_DF if self._structured else export.flags

    def _agree(self, export: Export) -> Agreement:
        """Meta contexts that were chosen of another export are forgotten."""
        contexts = self._contexts[1] if self._contexts is not None and self._contexts[0] is export else ()
        return Agreement(export=export, structured=self._structured, contexts=contexts)


_HANDLERS: Final[dict[int, _Handler]] = {
    OptionCode.EXPORT_NAME: Handshake._choose_by_name,
    OptionCode.ABORT: Handshake._abort,
    OptionCode.LIST: Handshake._list,
    OptionCode.STARTTLS: Handshake._start_tls,
    OptionCode.INFO: Handshake._inform,
    OptionCode.GO: Handshake._inform,
    OptionCode.STRUCTURED_REPLY: Handshake._structure_replies,
    OptionCode.LIST_META_CONTEXT: Handshake._meta_contexts,
    OptionCode.SET_META_CONTEXT: Handshake._meta_contexts,
}
_WITHOUT_PAYLOAD: Final = (OptionCode.LIST, OptionCode.STARTTLS, OptionCode.STRUCTURED_REPLY)

_NAMES: Final = {
    OptionCode.EXPORT_NAME: "export name",
    OptionCode.ABORT: "abort",
    OptionCode.LIST: "list",
    OptionCode.STARTTLS: "starttls",
    OptionCode.INFO: "info",
    OptionCode.GO: "go",
    OptionCode.STRUCTURED_REPLY: "structured reply",
    OptionCode.LIST_META_CONTEXT: "list meta context",
    OptionCode.SET_META_CONTEXT: "set meta context",
}


def _name_of(code: int) -> str:
    return _NAMES[OptionCode(code)] if code in _NAMES else "<unknown>"


def _invalid(text: str) -> _Refusal:
    return _Refusal(OptionReply.ERR_INVALID, text)


def _unpacked(code: OptionCode, payload: bytes, unpack: Callable[[bytes], _RequestT]) -> _RequestT:
    """What the payload of an option says, or a refusal of one that makes no sense."""
    try:
        return unpack(payload)
    except TrailingBytes as error:
        raise _invalid(f"option '{_name_of(code)}' has unexpected length") from error
    except WireError as error:
        name_length = int.from_bytes(payload[:_LENGTH_BYTES], "big")
        if len(payload) >= _LENGTH_BYTES and name_length > MAX_STRING_BYTES:
            raise _invalid(f"Invalid name length: {name_length}") from error
        raise _invalid(f"Inconsistent lengths in option {_name_of(code)}") from error


def _is_meant(name: str, queries: Sequence[str], *, is_listing: bool) -> bool:
    """Whether one of the queries names the context; who lists may give its namespace alone, or nothing at all."""
    if is_listing and not queries:
        return True
    return any(query == name or (is_listing and query.endswith(":") and name.startswith(query)) for query in queries)
