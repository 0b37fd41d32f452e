"""Zeroes: noticing them in buffers, and cutting a long zero write or discard into what a driver takes."""

from collections.abc import Iterator

from backcheck_engine.block.request import Buffer

_BLOCK = bytes(65536)
MAX_BOUNCE_BUFFER = 16 * 2**20
"""The longest buffer of zeroes that is written where a driver cannot zero by itself."""


def is_zero(data: Buffer) -> bool:
    """Whether every byte is zero. Compares at memory speed, having looked at the ends and the middle first."""
    length = len(data)
    if length == 0:
        return True
    if data[0] or data[-1] or data[length // 2]:
        return False
    view = memoryview(data)
    # `==` goes through a memoryview item by item; startswith compares memory.
    return all(_BLOCK.startswith(view[start : start + len(_BLOCK)]) for start in range(0, length, len(_BLOCK)))


def pieces_to_zero(offset: int, length: int, alignment: int, longest: int) -> Iterator[tuple[int, int]]:
    """(offset, length) pieces: a head up to `alignment`, an aligned middle, a tail; none above `longest` (0: any)."""
    if longest:
        longest = longest // alignment * alignment
    end = offset + length
    head = offset % alignment
    tail = end % alignment
    while offset < end:
        piece = end - offset
        if head:
            piece = min(piece, alignment - head)
            head = 0
        elif tail and piece > alignment:
            piece -= tail
        if longest:
            piece = min(piece, longest)
        yield offset, piece
        offset += piece


def pieces_to_discard(
    offset: int, length: int, alignment: int, request_alignment: int, longest: int
) -> Iterator[tuple[int, int]]:
    """(offset, length) pieces of a discard: small ones up to `alignment` at either end, aligned ones between."""
    if longest:
        longest = longest // alignment * alignment
    end = offset + length
    head = offset % alignment
    tail = end % alignment
    while offset < end:
        piece = end - offset
        if head:
            piece = min(piece, alignment - head)
            if piece % request_alignment:
                piece %= request_alignment
            head = (head + piece) % alignment
        elif tail:
            if piece > alignment:
                piece -= tail
            elif tail % request_alignment and tail > request_alignment:
                tail %= request_alignment
                piece -= tail
        if longest:
            piece = min(piece, longest)
        yield offset, piece
        offset += piece
