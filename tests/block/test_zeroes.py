"""Noticing zeroes, and cutting ranges into pieces: against what is plain to see."""

from hypothesis import given
from hypothesis import strategies as st

from backcheck_engine.block.zeroes import is_zero, pieces_to_discard, pieces_to_zero

KINDS = st.sampled_from([bytes, bytearray, memoryview])


@given(st.integers(0, 200_000), st.lists(st.integers(0, 199_999), max_size=2), KINDS)
def test_zeroes_are_noticed(length: int, places: list[int], kind: type) -> None:
    data = bytearray(length)
    for place in places:
        if place < length:
            data[place] = 1
    assert is_zero(kind(data)) == (not any(data))


@given(st.integers(0, 9000), st.integers(0, 9000), st.sampled_from([512, 1024, 4096]), st.sampled_from([0, 4096, 5000]))
def test_pieces_to_zero(offset: int, length: int, alignment: int, longest: int) -> None:
    pieces = list(pieces_to_zero(offset, length, alignment, longest))
    assert b"".join(bytes(piece) for _, piece in pieces) == bytes(length)
    position = offset
    for start, piece in pieces:
        assert start == position
        assert 0 < piece <= (longest or length)
        inside_one = start // alignment == (start + piece - 1) // alignment
        assert inside_one or start % alignment == piece % alignment == 0
        position += piece


@given(st.integers(0, 9000), st.integers(0, 9000), st.sampled_from([1, 512]), st.sampled_from([1024, 4096]))
def test_pieces_to_discard(offset: int, length: int, block: int, alignment: int) -> None:
    position = offset
    for start, piece in pieces_to_discard(offset, length, alignment, block, 0):
        assert start == position
        assert piece > 0
        inside_one = start // alignment == (start + piece - 1) // alignment
        assert inside_one or start % alignment == piece % alignment == 0
        position += piece
    assert position == offset + length
