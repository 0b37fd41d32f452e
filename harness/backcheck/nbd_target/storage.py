"""A disk in memory that costs what is on it: pieces of one value are shared, zeroes that nobody wrote are not there."""

from collections.abc import Iterator

from backcheck.nbd_target.wire import STATE_HOLE, STATE_ZERO

PIECE_SIZE = 1 << 16

_uniform: dict[int, bytes] = {}


def _shared(piece: bytes) -> bytes:
    """The same bytes, one object for all pieces of one value."""
    if len(piece) != PIECE_SIZE or piece.count(piece[0]) != PIECE_SIZE:
        return piece
    return _uniform.setdefault(piece[0], piece)


class Storage:
    """The bytes of a disk of `size`; a piece that is absent is a hole, and reads as zeroes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pieces: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of a range, which must be within the disk."""
        parts = []
        for index, start, count in _split(offset, length):
            piece = self._pieces.get(index)
            parts.append(bytes(count) if piece is None else piece[start : start + count])
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Puts bytes there."""
        view = memoryview(data)
        done = 0
        for index, start, count in _split(offset, len(data)):
            self._put(index, start, bytes(view[done : done + count]))
            done += count

    def zero(self, offset: int, length: int, *, hole: bool) -> None:
        """Makes a range zeroes; whole pieces of it become holes if they may."""
        for index, start, count in _split(offset, length):
            if hole and count == PIECE_SIZE:
                self._pieces.pop(index, None)
            elif not hole or index in self._pieces:
                self._put(index, start, bytes(count))

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Length and state of each run of pieces from an offset on: data, zeroes, or a hole."""
        run, before = 0, -1
        for index, _, count in _split(offset, length):
            state = self._state(index)
            if state != before and run:
                yield run, before
                run = 0
            run, before = run + count, state
        if run:
            yield run, before

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of each piece that is no hole, in order."""
        for index in sorted(self._pieces):
            yield index * PIECE_SIZE, self._pieces[index]

    def _state(self, index: int) -> int:
        piece = self._pieces.get(index)
        if piece is None:
            return STATE_HOLE | STATE_ZERO
        return STATE_ZERO if piece is _uniform.get(0) else 0

    def _put(self, index: int, start: int, data: bytes) -> None:
        if len(data) < PIECE_SIZE:
            piece = self._pieces.get(index) or bytes(PIECE_SIZE)
            data = piece[:start] + data + piece[start + len(data) :]
        self._pieces[index] = _shared(data)


def _split(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """The pieces that a range touches: index, first byte in the piece, number of bytes."""
    end = offset + length
    while offset < end:
        index, start = divmod(offset, PIECE_SIZE)
        count = min(PIECE_SIZE - start, end - offset)
        yield index, start, count
        offset += count
