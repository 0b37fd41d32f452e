"""The bitmap directory as bytes, and what may be stored in an image at all."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backcheck_engine.block.dirty_bitmap import DirtyBitmap
from backcheck_engine.drivers.format.qcow2.bitmap_directory import (
    MAX_BITMAPS,
    MAX_NAME_BYTES,
    BitmapFlag,
    DirectoryEntry,
    check_constraints,
    name_bytes,
    pack_directory,
    parse_directory,
)
from backcheck_engine.errors import BlockError
from tests.qcow2.qemu import check, opened, qemu_img, run

KiB, GiB, TiB = 1 << 10, 1 << 30, 1 << 40
CLUSTER = 64 * KiB
NAMES = st.text(min_size=1, max_size=300).filter(lambda name: name.isprintable() or "\0" in name)
ENTRIES = st.lists(
    st.builds(
        DirectoryEntry,
        name=NAMES,
        flags=st.sampled_from([BitmapFlag(flags) for flags in range(4)]),
        granularity_bits=st.integers(16, 31),
        table_offset=st.integers(1, 1 << 40).map(lambda cluster: cluster * CLUSTER),
        table_entries=st.integers(1, 512 * KiB * KiB // CLUSTER),
    ),
    max_size=5,
)


@settings(max_examples=60)
@given(ENTRIES)
def test_a_directory_is_read_as_it_was_written(entries: list[DirectoryEntry]) -> None:
    packed = pack_directory(entries)
    assert len(packed) % 8 == 0
    assert parse_directory(packed, len(entries), cluster_size=CLUSTER, disk_size=GiB) == entries


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 5))
def test_nonsense_is_one_error(data: bytes, count: int) -> None:
    try:
        parse_directory(data, count, cluster_size=CLUSTER, disk_size=GiB)
    except BlockError as error:
        assert "itmap" in error.message  # noqa: PT017 - most inputs raise, an empty directory does not
    else:
        assert not data


def test_names_that_are_no_text_keep_their_bytes() -> None:
    entry = DirectoryEntry(name="b", flags=BitmapFlag.AUTO, granularity_bits=16, table_offset=CLUSTER, table_entries=1)
    packed = bytearray(pack_directory([entry]))
    packed[24] = 0xFF
    (found,) = parse_directory(bytes(packed), 1, cluster_size=CLUSTER, disk_size=GiB)
    assert name_bytes(found.name) == b"\xff"
    assert pack_directory([found]) == packed
    assert found.info()["name"] == "\N{REPLACEMENT CHARACTER}"


def test_a_name_ends_at_a_zero_byte_and_zero_characters_are_none() -> None:
    entry = DirectoryEntry(
        name="a\0b", flags=BitmapFlag.AUTO, granularity_bits=16, table_offset=CLUSTER, table_entries=1
    )
    packed = pack_directory([entry])
    assert b"a\xc0\x80b" in packed
    assert parse_directory(packed, 1, cluster_size=CLUSTER, disk_size=GiB) == [entry]
    cut = packed.replace(b"\xc0\x80", b"\0\0")
    assert parse_directory(cut, 1, cluster_size=CLUSTER, disk_size=GiB)[0].name == "a"


@pytest.mark.parametrize(
    ("name", "granularity", "size", "text"),
    [
        ("n" * MAX_NAME_BYTES, 64 * KiB, TiB, None),
        ("n" * (MAX_NAME_BYTES + 1), 64 * KiB, TiB, "Name length exceeds maximum (1023 characters)"),
        ("é" * 512, 64 * KiB, TiB, "Name length exceeds maximum (1023 characters)"),
        ("b", 256, TiB, "Granularity is under minimum (512 bytes)"),
        ("b", 1 << 32, TiB, "Granularity exceeds maximum (2147483648 bytes)"),
        ("b", 512, 2 * TiB, None),
        ("b", 512, 2 * TiB + 4096 + 1, "Too much space will be occupied by the bitmap. Use larger granularity"),
    ],
)
def test_what_can_be_stored(name: str, granularity: int, size: int, text: str | None) -> None:
    if text is None:
        check_constraints(name, granularity, cluster_size=CLUSTER, disk_size=size)
        return
    with pytest.raises(BlockError) as caught:
        check_constraints(name, granularity, cluster_size=CLUSTER, disk_size=size)
    assert caught.value.message == text


def test_an_image_can_have_so_many_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")

    async def use() -> None:
        async with opened(path, node_name="n") as node:
            for number in range(MAX_BITMAPS):
                bitmap = DirtyBitmap(node.size, 1 << 31, name=f"b{number}")
                bitmap.persistent = True
                node.bitmaps.add(bitmap)
            with pytest.raises(BlockError, match=r"^Can't make bitmap 'last' persistent in 'n': Maximum number of"):
                await node.driver.check_new_bitmap("last", 64 * KiB)
            for bitmap in list(node.bitmaps):
                bitmap.persistent = False

    run(use)


def test_hundreds_of_bitmaps(tmp_path: Path) -> None:
    path, generator = tmp_path / "t.qcow2", random.Random(1)
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", path, "64M")
    expected: list[tuple[str, str]] = []

    async def store() -> None:
        async with opened(path) as node:
            for number in range(300):
                bitmap = node.bitmaps.create(64 * KiB, name=f"b{number}")
                bitmap.persistent = True
                bitmap.set(generator.randrange(node.size), 1)
            expected.extend((str(bitmap.name), bitmap.sha256()) for bitmap in node.bitmaps)

    async def load() -> None:
        async with opened(path, read_only=True) as node:
            assert [(str(bitmap.name), bitmap.sha256()) for bitmap in node.bitmaps] == expected[::-1]

    run(store)
    check(path)
    run(load)


def test_bits_behind_the_last_are_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1000000")

    async def store() -> None:
        async with opened(path) as node:
            bitmap = node.bitmaps.create(64 * KiB, name="b0")
            bitmap.persistent = True
            bitmap.set(0, node.size)

    run(store)
    check(path)
    data = path.read_bytes()
    directory = data.index(b"b0\0") - 24
    (table,) = struct.unpack_from(">Q", data, directory)
    (bits,) = struct.unpack_from(">Q", data, table)
    assert data[bits : bits + CLUSTER] == (b"\xff\xff").ljust(CLUSTER, b"\0")
