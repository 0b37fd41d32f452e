"""What a server has: its exports, each with all that the server tells of it before anybody chooses one."""

from dataclasses import dataclass
from typing import Final

from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import negotiation
from backcheck_engine.nbd.constants import (
    INIT_MAGIC,
    MAX_OPTION_BYTES,
    OPTION_MAGIC,
    ClientFlag,
    HandshakeFlag,
    InfoType,
    OptionCode,
    OptionReply,
    TransmissionFlag,
)
from backcheck_engine.nbd.errors import WireError
from backcheck_engine.nbd.negotiation import BlockSizes, ExportRequest, MetaContextRequest
from backcheck_engine.nbd.option_channel import OptionChannel
from backcheck_engine.nbd.stream import Stream

_NOTHING: Final = TransmissionFlag(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExport:
    """One export; `flags` and `size` are 0 where the server does not say."""

    name: str
    description: str
    size: int = 0
    flags: TransmissionFlag = _NOTHING
    block_sizes: BlockSizes | None = None
    contexts: tuple[str, ...] = ()


async def list_exports(stream: Stream) -> list[ListedExport]:
    """All exports of a server, in its order. Raises BlockError."""
    channel = OptionChannel(stream)
    if await channel.read_number(8, "initial magic") != INIT_MAGIC:
        raise WireError("Bad initial magic received")
    if await channel.read_number(8, "server magic") != OPTION_MAGIC:
        raise WireError("Server does not support export lists")
    flags = await channel.read_number(2, "server flags")
    if not flags & HandshakeFlag.FIXED_NEWSTYLE:
        raise WireError("Server does not support export lists")
    chosen = flags & (ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES)
    await channel.write(negotiation.pack_client_flags(chosen), "clientflags field")
    try:
        structured = await _ask(channel, OptionCode.STRUCTURED_REPLY) is not None
        found = await _ask(channel, OptionCode.LIST)
        if found is None:
            raise BlockError("Server does not support export lists")
        names = [negotiation.unpack_server(payload) for kind, payload in found if kind == OptionReply.SERVER]
        return [await _look_at(channel, name, text, structured=structured) for name, text in names]
    finally:
        await channel.abort()


async def _look_at(channel: OptionChannel, name: str, description: str, *, structured: bool) -> ListedExport:
    """What the server tells of one export."""
    wanted = ExportRequest(name=name, wanted=[InfoType.BLOCK_SIZE])
    told = await _ask(channel, OptionCode.INFO, negotiation.pack_export_request(wanted)) or []
    infos = dict(negotiation.unpack_info(payload) for kind, payload in told if kind == OptionReply.INFO)
    size, flags = 0, _NOTHING
    if InfoType.EXPORT in infos:
        size, flags = negotiation.unpack_export(infos[InfoType.EXPORT])
    sizes = infos.get(InfoType.BLOCK_SIZE)
    contexts: list[str] = []
    if structured:
        request = negotiation.pack_meta_context_request(MetaContextRequest(export=name))
        told = await _ask(channel, OptionCode.LIST_META_CONTEXT, request) or []
        contexts = [
            negotiation.unpack_meta_context(payload).name for kind, payload in told if kind == OptionReply.META_CONTEXT
        ]
    return ListedExport(
        name=name,
        description=description,
        size=size,
        flags=flags,
        block_sizes=None if sizes is None else negotiation.unpack_block_sizes(sizes),
        contexts=tuple(contexts),
    )


async def _ask(channel: OptionChannel, code: OptionCode, payload: bytes = b"") -> list[tuple[int, bytes]] | None:
    """(kind, payload) of the replies before the last; None when the server refuses."""
    await channel.send(code, payload)
    replies: list[tuple[int, bytes]] = []
    while True:
        reply = await channel.reply(code, strict=False)
        if reply is None:
            return None
        if reply.length > MAX_OPTION_BYTES:
            raise WireError(f"incorrect option length {reply.length}")
        content = await channel.read(reply.length, "option reply")
        if reply.kind == OptionReply.ACK:
            return replies
        replies.append((reply.kind, content))
