"""The inflating witness against zlib: the same bytes, the distances that its window allows, and errors for damage."""

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compression.inflate import InflateError, inflate

WINDOW = 4096
KiB = 1024
NOISE = random.Random(6).randbytes(8 * KiB)
LIMIT = 1 << 18


def deflate(data: bytes, bits: int = 15, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -bits, 9, strategy)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
@pytest.mark.parametrize("level", [0, 9])
def test_what_zlib_wrote_is_read(level: int, strategy: int) -> None:
    """Blocks of each type, and streams that something follows."""
    text = b"".join(b"%d bottles\n" % number for number in range(400))
    for data in (b"", b"a", bytes(5 * KiB), NOISE[:KiB], text, text + NOISE[:600] + text):
        stream = deflate(data, level=level, strategy=strategy)
        inflated = inflate(stream + b"\xff" * 9, LIMIT)
        assert inflated.data == data
        assert inflated.used == len(stream)


@pytest.mark.parametrize("distance", [1, 2, 4095, 4096, 4097, 5000, 8 * KiB, 32 * KiB - 300])
def test_distances_are_those_of_the_data(distance: int) -> None:
    """Noise that comes again after so many bytes is referred to over just that distance, where the window allows it."""
    noise = random.Random(distance).randbytes(min(distance, 200))
    data = noise + random.Random(7).randbytes(distance - len(noise)) + noise * (1 if distance > 2 else 50)
    wide = inflate(deflate(data, level=9), LIMIT)
    assert wide.greatest_distance == distance
    assert set(wide.beyond(WINDOW)) == ({distance} if distance > WINDOW else set())
    narrow = inflate(deflate(data, bits=12, level=9), LIMIT)
    assert narrow.beyond(WINDOW) == []
    assert wide.data == narrow.data == data


@pytest.mark.parametrize("seed", range(12))
def test_a_stream_is_beyond_the_window_when_zlib_refuses_it(seed: int) -> None:
    """zlib with a window of 4 KiB cannot follow what the wide one referred to, when it has to give bytes out soon."""
    generator = random.Random(seed)
    parts = [generator.choice([b"a", b"bc", NOISE[:3000], NOISE[2000:4500]]) for _ in range(seed)]
    data = b"".join(part * generator.randrange(1, 4) for part in parts)
    stream = deflate(data, level=9)
    inflated = inflate(stream, LIMIT)
    assert inflated.data == data
    assert can_follow(stream) == (not inflated.beyond(WINDOW))


def can_follow(stream: bytes) -> bool:
    """Whether zlib with a window of 4 KiB can, which it shows only when it gets the stream in small pieces."""
    reader = zlib.decompressobj(-12)
    try:
        for byte in stream:
            reader.decompress(bytes([byte]))
    except zlib.error:
        return False
    return True


def test_a_stream_that_is_cut_is_an_error() -> None:
    for level in (0, 6):
        stream = deflate(b"some words, some words, and others" * 3, level=level)
        for length in range(len(stream)):
            with pytest.raises(InflateError):
                inflate(stream[:length], LIMIT)


@settings(max_examples=40)
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=4))
def test_a_damaged_stream_is_read_or_an_error(places: list[tuple[float, int]]) -> None:
    """What zlib can read to its end, the witness reads alike; all else is an error, and soon."""
    damaged = bytearray(deflate(b"".join(b"%d bottles\n" % number for number in range(60)), level=9))
    for place, bit in places:
        damaged[int(place * len(damaged))] ^= 1 << bit
    reader = zlib.decompressobj(-15)
    try:
        expected = reader.decompress(bytes(damaged), LIMIT)
    except zlib.error:
        with pytest.raises(InflateError):
            inflate(bytes(damaged), LIMIT)
        return
    if reader.eof:
        assert inflate(bytes(damaged), LIMIT).data == expected


def test_a_stream_may_not_grow_without_end() -> None:
    for level in (0, 9):
        with pytest.raises(InflateError, match="more than 1000 bytes"):
            inflate(deflate(bytes(1 << 20), level=level), 1000)
    assert len(inflate(deflate(bytes(1000)), 1000).data) == 1000


@pytest.mark.parametrize(
    "stream",
    [
        b"\x07",
        b"\x01\x05\x00\x05\x00hello",
        b"\x4b\x04\x51\x00",
        b"\x05\xe0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b\x00\x00",
    ],
    ids=["block-type", "stored-length", "too-far-back", "too-many-symbols"],
)
def test_a_bad_stream_is_an_error(stream: bytes) -> None:
    with pytest.raises(zlib.error):
        zlib.decompressobj(-15).decompress(stream + bytes(64))
    with pytest.raises(InflateError):
        inflate(stream + bytes(64), LIMIT)
