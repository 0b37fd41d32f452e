"""`backcheck-nbd --list`: what another server exports, in qemu-nbd's words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from backcheck_engine import release
from backcheck_engine.nbd.connecting import connect
from backcheck_engine.nbd.constants import TransmissionFlag
from backcheck_engine.nbd.listing import ListedExport
from backcheck_engine.nbd.listing import list_exports as ask_for_exports
from backcheck_engine.nbd.stream import Stream
from backcheck_engine.tools.program import Program

if TYPE_CHECKING:
    from backcheck_engine.address import Address

_FLAG_NAMES: Final = {
    TransmissionFlag.READ_ONLY: "readonly",
    TransmissionFlag.SEND_FLUSH: "flush",
    TransmissionFlag.SEND_FUA: "fua",
    TransmissionFlag.ROTATIONAL: "rotational",
    TransmissionFlag.SEND_TRIM: "trim",
    TransmissionFlag.SEND_WRITE_ZEROES: "zeroes",
    TransmissionFlag.SEND_DF: "df",
    TransmissionFlag.CAN_MULTI_CONN: "multi",
    TransmissionFlag.SEND_RESIZE: "resize",
    TransmissionFlag.SEND_CACHE: "cache",
    TransmissionFlag.SEND_FAST_ZERO: "fast-zero",
}


async def list_exports(program: Program, address: "Address") -> int:
    """Print the exports of the server there; returns the exit status. Raises BlockError."""
    stream = Stream(await connect(address))
    try:
        exports = await ask_for_exports(stream)
    finally:
        stream.close()
    program.say(f"exports available: {len(exports)}")
    for export in exports:
        for line in _lines(export):
            program.say(line)
    return 0


def _lines(export: ListedExport) -> Iterator[str]:
    yield f" export: '{export.name}'"
    if export.description:
        yield f"  description: {export.description}"
    if not export.flags & TransmissionFlag.HAS_FLAGS:
        return
    yield f"  size:  {export.size}"
    names = " ".join(name for flag, name in _FLAG_NAMES.items() if flag in export.flags)
    yield f"  flags: 0x{export.flags:x} ( {names} )" if names else f"  flags: 0x{export.flags:x} ( )"
    if export.block_sizes is not None:
        yield f"  min block: {export.block_sizes.minimum}"
        yield f"  opt block: {export.block_sizes.preferred}"
        yield f"  max block: {export.block_sizes.maximum}"
    if release.current() >= release.QEMU_10_0:
        yield "  transaction size: 32-bit"
    if export.contexts:
        yield f"  available meta contexts: {len(export.contexts)}"
        yield from (f"   {name}" for name in export.contexts)
