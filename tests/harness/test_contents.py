"""The model of a disk, against a plain bytearray."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from backcheck.story.contents import Content, first_difference, noise

SIZE = 4096
writes = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, SIZE - 1), st.integers(0, SIZE)).map(
        lambda write: (write[0], write[1], min(write[2], SIZE - write[1]))
    ),
    max_size=8,
)


def model(made: list[tuple[int, int, int]]) -> bytearray:
    data = bytearray(SIZE)
    for pattern, offset, length in made:
        data[offset : offset + length] = bytes([pattern]) * length
    return data


def content(made: list[tuple[int, int, int]]) -> Content:
    result = Content(size=SIZE)
    for pattern, offset, length in made:
        result = result.written(pattern, offset, length)
    return result


@given(writes, st.integers(0, SIZE), st.integers(0, SIZE))
def test_reading_gives_the_last_write(made: list[tuple[int, int, int]], offset: int, length: int) -> None:
    length = min(length, SIZE - offset)
    assert content(made).read(offset, length) == model(made)[offset : offset + length]


@given(writes, st.integers(1, 2 * SIZE))
def test_resizing_cuts_or_adds_zeroes(made: list[tuple[int, int, int]], size: int) -> None:
    resized = content(made).resized(size)
    assert resized.read(0, size) == bytes(model(made)[:size].ljust(size, b"\0"))


@given(writes, st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE)), max_size=4))
def test_only_some_ranges(made: list[tuple[int, int, int]], kept: list[tuple[int, int]]) -> None:
    expected = bytearray(SIZE)
    for offset, length in kept:
        expected[offset : offset + length] = model(made)[offset : offset + length]
    assert content(made).only(*kept).read(0, SIZE) == expected


def test_a_kept_content_does_not_change() -> None:
    before = Content(size=SIZE)
    after = before.written(0x11, 0, SIZE)
    assert before.read(0, 1) == b"\x00"
    assert after.read(0, 1) == b"\x11"


def test_pieces_are_the_whole() -> None:
    large = Content(size=(2 << 20) + 512).written(0x22, 1 << 20, 1 << 20)
    pieces = list(large.pieces())
    assert [offset for offset, _ in pieces] == [0, 1 << 20, 2 << 20]
    assert b"".join(piece for _, piece in pieces) == large.read(0, large.size)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_first_difference(left: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(left) - 1))
    right = left[:index] + bytes([left[index] ^ 1]) + data.draw(st.binary(min_size=64, max_size=64))
    assert first_difference(left, right[: len(left)]) == index
    assert first_difference(left, left) is None


def test_bytes_come_again_and_again() -> None:
    content = Content(size=SIZE).written(b"abc", 10, 100)
    expected = (b"abc" * 34)[:100]
    assert content.read(10, 100) == expected
    assert content.read(15, 7) == expected[5:12]
    assert content.resized(12).read(0, 12) == bytes(10) + b"ab"


def test_noise_is_always_the_same_and_does_not_compress() -> None:
    assert noise(SIZE) == noise(SIZE)
    assert len(zlib.compress(noise(SIZE), 9)) > SIZE
