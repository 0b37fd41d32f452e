"""The client's side of the negotiation: from the greeting of a server to an export that takes requests.

In QEMU's order: structured replies, then one meta context, then GO; a server too old for GO is asked for its list and
gets EXPORT_NAME, one of the very first kind just tells what it has. What a server does wrong is said in QEMU's words.
"""

from dataclasses import dataclass, replace
from typing import Final

from backcheck_engine.errors import BlockError
from backcheck_engine.nbd import negotiation
from backcheck_engine.nbd.constants import (
    BASE_ALLOCATION,
    INIT_MAGIC,
    MAX_OPTION_BYTES,
    OLDSTYLE_MAGIC,
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
from backcheck_engine.nbd.option_names import option_name, option_text, reply_text
from backcheck_engine.nbd.stream import Stream

_ID_BYTES: Final = 4
NO_ABILITIES: Final = TransmissionFlag(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client asks a server for."""

    export: str = ""
    context: str = BASE_ALLOCATION
    """The meta context of its block status requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a server agreed to."""

    size: int = 0
    flags: TransmissionFlag = NO_ABILITIES
    structured: bool = False
    """Whether reads are answered in chunks."""
    context_id: int | None = None
    """What the server calls the meta context, when it has it."""
    block_sizes: BlockSizes | None = None
    """What requests it takes, when it said."""


async def shake_hands(stream: Stream, wanted: Wanted) -> Export:
    """Negotiate. Raises BlockError; the stream is of no use then."""
    channel = OptionChannel(stream)
    magic = await channel.read_number(8, "initial magic")
    if magic != INIT_MAGIC:
        raise WireError(f"Bad initial magic received: 0x{magic:x}")
    style = await channel.read_number(8, "server magic")
    if style == OLDSTYLE_MAGIC:
        return await _take_oldstyle(channel, wanted)
    if style != OPTION_MAGIC:
        raise WireError(f"Bad server magic received: 0x{style:x}")
    server_flags = await channel.read_number(2, "server flags")
    flags = server_flags & (ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES)
    await channel.write(negotiation.pack_client_flags(flags), "clientflags field")
    if not server_flags & HandshakeFlag.FIXED_NEWSTYLE:
        return await _choose_by_name(channel, wanted, server_flags, structured=False, context_id=None)
    try:
        return await _negotiate(channel, wanted, server_flags)
    except BlockError:
        await channel.abort()
        raise


async def _take_oldstyle(channel: OptionChannel, wanted: Wanted) -> Export:
    """The one export of a server from before there were options."""
    if wanted.export:
        raise WireError("Server does not support non-empty export names")
    size = await channel.read_number(8, "export length")
    flags = await channel.read_number(4, "export flags")
    if flags >> 16:
        raise WireError(f"Unexpected export flags {flags:#x}")
    await channel.read(len(negotiation.PADDING), "reserved block")
    return Export(size=size, flags=TransmissionFlag(flags))


async def _negotiate(channel: OptionChannel, wanted: Wanted, server_flags: int) -> Export:
    structured = await _ask_for_structured_replies(channel)
    context_id = await _ask_for_context(channel, wanted) if structured else None
    export = await _go(channel, wanted)
    if export is not None:
        return replace(export, structured=structured, context_id=context_id)
    await _look_in_list(channel, wanted.export)
    return await _choose_by_name(channel, wanted, server_flags, structured=structured, context_id=context_id)


async def _ask_for_structured_replies(channel: OptionChannel) -> bool:
    """Whether the server answers reads in chunks from now on."""
    code = OptionCode.STRUCTURED_REPLY
    await channel.send(code)
    reply = await channel.reply(code, strict=False)
    if reply is None:
        return False
    if reply.length:
        raise WireError(
            f"Option {int(code)} ('{option_name(code)}') response length is {reply.length} (it should be zero)"
        )
    if reply.kind != OptionReply.ACK:
        raise WireError(f"Server answered option {option_text(code)} with unexpected reply {reply_text(reply.kind)}")
    return True


async def _ask_for_context(channel: OptionChannel, wanted: Wanted) -> int | None:
    """What the server calls the wanted meta context, None when it does not have it."""
    code = OptionCode.SET_META_CONTEXT
    request = MetaContextRequest(export=wanted.export, queries=[wanted.context])
    await channel.send(code, negotiation.pack_meta_context_request(request))
    reply = await channel.reply(code, strict=False)
    context_id = None
    if reply is not None and reply.kind == OptionReply.META_CONTEXT:
        if not _ID_BYTES < reply.length <= MAX_OPTION_BYTES:
            raise WireError(f"Failed to negotiate meta context, server answered with unexpected length {reply.length}")
        found = negotiation.unpack_meta_context(await channel.read(reply.length, "context id"))
        if found.name != wanted.context:
            raise WireError(
                f"Failed to negotiate meta context '{wanted.context}', "
                f"server answered with different context '{found.name}'"
            )
        context_id = found.context_id
        reply = await channel.reply(code, strict=False)
        if reply is not None and reply.kind == OptionReply.META_CONTEXT:
            raise WireError("Server answered with more than one context")
    if reply is None:
        return None
    if reply.kind != OptionReply.ACK:
        raise channel.unexpected(reply, OptionReply.META_CONTEXT)
    if reply.length:
        raise WireError("Unexpected length to ACK response")
    return context_id


async def _go(channel: OptionChannel, wanted: Wanted) -> Export | None:
    """The export, chosen by GO; None when the server does not know GO."""
    code = OptionCode.GO
    request = ExportRequest(name=wanted.export, wanted=[InfoType.BLOCK_SIZE])
    await channel.send(code, negotiation.pack_export_request(request))
    export = Export()
    while True:
        reply = await channel.reply(code, strict=True)
        if reply is None:
            return None
        if reply.kind == OptionReply.ACK:
            if reply.length:
                raise WireError("server sent invalid NBD_REP_ACK")
            if not export.flags:
                raise WireError("broken server omitted NBD_INFO_EXPORT")
            return export
        if reply.kind != OptionReply.INFO:
            raise channel.unexpected(reply, OptionReply.INFO, "unexpected")
        export = await _take_info(channel, reply.length, export)


async def _take_info(channel: OptionChannel, length: int, export: Export) -> Export:
    """What one INFO reply adds."""
    if not 2 <= length <= MAX_OPTION_BYTES:
        raise WireError(f"NBD_REP_INFO length {length} is too short")
    kind = await channel.read_number(2, "info type")
    length -= 2
    if _INFO_BYTES.get(kind, length) != length:
        raise WireError(f"remaining export info len {length} is unexpected size")
    content = await channel.read(length, "info")
    if kind == InfoType.EXPORT:
        size, flags = negotiation.unpack_export(content)
        return replace(export, size=size, flags=flags)
    if kind == InfoType.BLOCK_SIZE:
        return replace(export, block_sizes=_checked_block_sizes(negotiation.unpack_block_sizes(content)))
    return export


_INFO_BYTES: Final[dict[int, int]] = {InfoType.EXPORT: negotiation.EXPORT_BYTES, InfoType.BLOCK_SIZE: 12}


def _checked_block_sizes(sizes: BlockSizes) -> BlockSizes:
    """The sizes, the largest a multiple of the smallest."""
    if sizes.minimum.bit_count() != 1:
        raise WireError(f"server minimum block size {sizes.minimum} is not a power of two")
    if sizes.preferred.bit_count() != 1 or sizes.preferred < sizes.minimum:
        raise WireError(f"server preferred block size {sizes.preferred} is not valid")
    if sizes.maximum < sizes.minimum:
        raise WireError(f"server maximum block size {sizes.maximum} is not valid")
    return sizes._replace(maximum=sizes.maximum & -sizes.minimum)


async def _look_in_list(channel: OptionChannel, name: str) -> None:
    """See whether a server without GO has the export; one without a list may have it."""
    code = OptionCode.LIST
    await channel.send(code)
    is_there = False
    while True:
        reply = await channel.reply(code, strict=True)
        if reply is None:
            return
        if reply.kind == OptionReply.ACK:
            if reply.length:
                raise WireError("length too long for option end")
            break
        if reply.kind != OptionReply.SERVER:
            raise channel.unexpected(reply, OptionReply.SERVER)
        if not 4 <= reply.length <= MAX_OPTION_BYTES:
            raise WireError(f"incorrect option length {reply.length}")
        found, _ = negotiation.unpack_server(await channel.read(reply.length, "export name"))
        is_there = is_there or found == name
    if not is_there:
        raise WireError(f"No export with name '{name}' available")


async def _choose_by_name(
    channel: OptionChannel, wanted: Wanted, server_flags: int, *, structured: bool, context_id: int | None
) -> Export:
    """The export, chosen by EXPORT_NAME, to which a server can only answer or go."""
    await channel.send(OptionCode.EXPORT_NAME, negotiation.pack_name(wanted.export))
    size = await channel.read_number(8, "export length")
    flags = await channel.read_number(2, "export flags")
    if not server_flags & HandshakeFlag.NO_ZEROES:
        await channel.read(len(negotiation.PADDING), "reserved block")
    return Export(size=size, flags=TransmissionFlag(flags), structured=structured, context_id=context_id)
