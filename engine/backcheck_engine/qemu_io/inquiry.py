"""The commands that ask: length, map, alloc, info."""

from backcheck_engine.block.request import SECTOR_SIZE
from backcheck_engine.errors import BlockError
from backcheck_engine.qemu_io.arguments import size_argument
from backcheck_engine.qemu_io.command import Command, Invocation
from backcheck_engine.qemu_io.numbers import bytes_text
from backcheck_engine.qemu_io.session import Channel, CommandFailed, Session


def _size(session: Session) -> int:
    try:
        return session.node.size
    except BlockError as error:
        raise CommandFailed(f"getlength: {error}") from error


async def _length(session: Session, invocation: Invocation) -> None:
    session.say(bytes_text(_size(session)))


async def _alloc(session: Session, invocation: Invocation) -> None:
    """Count the bytes of a range that this node itself decides, as far as the image goes."""
    offset = start = size_argument(invocation.words[0])
    left = count = size_argument(invocation.words[1]) if len(invocation.words) > 1 else SECTOR_SIZE
    if start >= _size(session):
        left = count = 0
    found = 0
    while left:
        try:
            allocated, length = await session.node.is_allocated(offset, left)
        except BlockError as error:
            raise CommandFailed(f"is_allocated failed: {error}") from error
        found += length if allocated else 0
        offset += length
        left -= length
        if not length:
            count, left = count - left, 0
    session.say(f"{found}/{count} bytes allocated at offset {bytes_text(start)}")


async def _map(session: Session, invocation: Invocation) -> None:
    size, offset = _size(session), 0
    while offset < size:
        allocated, length = await _run_length(session, offset, size)
        word = "   " if allocated else "not"
        session.say(
            f"{bytes_text(length)} (0x{length:x}) bytes {word} allocated at offset {bytes_text(offset)} (0x{offset:x})"
        )
        if not length:
            break
        offset += length


async def _run_length(session: Session, start: int, size: int) -> tuple[bool, int]:
    """(whether this node itself decides what is at `start`, for how many bytes)."""
    try:
        allocated, length = await session.node.is_allocated(start, size - start)
        offset = start + length
        while length and offset < size:
            same, length = await session.node.is_allocated(offset, size - offset)
            if same != allocated:
                break
            offset += length
    except BlockError as error:
        raise CommandFailed(f"Failed to get allocation status: {error}", Channel.REPORT) from error
    return allocated, offset - start


async def _info(session: Session, invocation: Invocation) -> None:
    from backcheck_engine.qemu_io.specific_info import specific_info_lines

    node = session.node
    session.say(f"format name: {node.format_name}")
    info = node.driver.info()
    if info is None:
        raise CommandFailed
    session.say(f"cluster size: {bytes_text(info.cluster_size)}")
    session.say(f"vm state offset: {bytes_text(info.vm_state_offset)}")
    specific = node.driver.specific_info()
    if specific is not None:
        channel = Channel.REPORT if session.in_monitor else Channel.OUTPUT
        for line in specific_info_lines(specific):
            session.say(line, channel)


COMMANDS = (
    Command(
        name="alloc",
        alias="a",
        usage="offset [count]",
        summary="checks if offset is allocated in the file",
        minimum=1,
        maximum=2,
        run=_alloc,
    ),
    Command(name="info", alias="i", summary="prints information about the current file", run=_info),
    Command(name="length", alias="l", summary="gets the length of the current file", run=_length),
    Command(name="map", usage="", summary="prints the allocated areas of a file", run=_map),
)
