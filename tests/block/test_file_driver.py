"""The drivers for files: contents, holes and sizes are what the operating system and a real qemu-img see."""

import errno
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.io_threads import INLINE_BYTES
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.json_value import JsonObject
from tests.block.loop import run
from tests.block.programs import needs_qemu, qemu_img

KiB, MiB = 1024, 1024 * 1024


@asynccontextmanager
async def opened(path: Path, **options: bool | str) -> AsyncIterator[Node]:
    tree: JsonObject = {"driver": "file", "filename": str(path), **options}
    node = await open_node(Graph(), tree)
    try:
        yield node
    finally:
        await node.unref()


def sparse(path: Path, seed: int, size: int) -> Path:
    """A file with data and holes, of a size that need not be a whole sector."""
    chance = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        for offset in range(0, size, 64 * KiB):
            if chance.random() < 0.5:
                file.seek(offset)
                file.write(chance.randbytes(min(64 * KiB, size - offset)))
    return path


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("length", [1, 512, 4095, INLINE_BYTES - 1, INLINE_BYTES, MiB + 1])
def test_what_is_written_is_read(tmp_path: Path, length: int, direct: bool) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(2 * MiB))
    data = random.Random(length).randbytes(length)

    async def story() -> bytes:
        async with opened(path, **{"cache.direct": direct}) as node:
            await node.pwrite(4097, data)
            await node.flush()
            return bytes(await node.pread(4000, length + 200))

    try:
        seen = run(story())
    except BlockError as error:
        if direct and error.errno == errno.EINVAL:
            pytest.skip("the file system has no O_DIRECT")
        raise
    assert seen == bytes(97) + data + bytes(103)
    assert path.read_bytes() == bytes(4097) + data + bytes(2 * MiB - 4097 - length)


@needs_qemu
@pytest.mark.parametrize("size", [MiB, MiB + 1000, 3 * 64 * KiB - 1, 1])
def test_block_status_is_that_of_qemu(tmp_path: Path, size: int) -> None:
    path = sparse(tmp_path / "image", size, size)
    expected = [
        (extent["start"], extent["length"], extent["data"], extent["zero"])
        for extent in json.loads(qemu_img("map", "--output=json", "-f", "raw", str(path)).stdout)
    ]

    async def story() -> list[tuple[int, int, bool, bool]]:
        graph = Graph()
        node = await open_node(graph, {"driver": "raw", "file": {"driver": "file", "filename": str(path)}})
        extents = []
        offset = 0
        while offset < node.size:
            status = await node.block_status_above(None, offset, node.size - offset)
            extents.append((offset, status.length, status.data, status.zero))
            assert (status.file, status.host_offset) == (node.file, offset)
            offset += status.length
        await node.unref()
        return extents

    assert run(story()) == expected


def test_zeroes_and_discards_leave_holes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * MiB)

    async def story() -> None:
        async with opened(path, discard="unmap") as node:
            await node.pwrite_zeroes(100, 1000)
            await node.pwrite_zeroes(64 * KiB, 64 * KiB, RequestFlag.MAY_UNMAP)
            await node.discard(256 * KiB, 512 * KiB)

    run(story())
    content = bytearray(b"x" * MiB)
    for start, end in ((100, 1100), (64 * KiB, 128 * KiB), (256 * KiB, 768 * KiB)):
        content[start:end] = bytes(end - start)
    assert path.read_bytes() == content
    assert path.stat().st_blocks * 512 <= MiB - 512 * KiB


def test_without_discard_nothing_is_unmapped(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * MiB)

    async def story() -> None:
        async with opened(path) as node:
            await node.discard(0, MiB)
            await node.pwrite_zeroes(0, 512 * KiB, RequestFlag.MAY_UNMAP)

    run(story())
    assert path.read_bytes() == bytes(512 * KiB) + b"x" * (512 * KiB)
    assert path.stat().st_blocks * 512 >= MiB


def test_zeroes_beyond_the_end_grow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * KiB)

    async def story() -> int:
        async with opened(path) as node:
            await node.pwrite_zeroes(512, 2 * KiB)
            return node.size

    assert run(story()) == 2560
    assert path.read_bytes() == b"x" * 512 + bytes(2048)


def test_a_file_cut_under_us_reads_as_zeroes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * MiB)

    async def story() -> tuple[bytes, bytes]:
        async with opened(path) as node:
            os.truncate(path, 1000)
            return bytes(await node.pread(0, 2000)), bytes(await node.pread(0, MiB))

    assert run(story()) == (b"x" * 1000 + bytes(1000), b"x" * 1000 + bytes(MiB - 1000))


@pytest.mark.parametrize("preallocation", ["off", "falloc", "full"])
def test_growing_and_shrinking(tmp_path: Path, preallocation: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * KiB)

    async def story() -> None:
        async with opened(path) as node:
            await node.truncate(MiB, exact=True, preallocation=preallocation)
            assert node.size == MiB
            if preallocation != "off":
                with pytest.raises(BlockError, match=r"^Cannot use preallocation for shrinking files$"):
                    await node.truncate(512, exact=True, preallocation=preallocation)
            assert (path.stat().st_blocks * 512 >= MiB) == (preallocation != "off")
            await node.truncate(512, exact=True)
            assert await node.pread(0, KiB) == b"x" * 512 + bytes(512)
            for size, text in ((-1, "Image size cannot be negative"), (2**63 - 1, "exceeds maximum")):
                with pytest.raises(BlockError, match=text):
                    await node.truncate(size, exact=True)
            with pytest.raises(BlockError, match=r"^Unsupported preallocation mode: metadata$"):
                await node.truncate(MiB, exact=True, preallocation="metadata")

    run(story())
    assert path.stat().st_size == 512


def make_folder(path: Path) -> None:
    path.mkdir()


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_nothing(path: Path) -> None:
    """The file does not exist."""


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (make_nothing, "Could not open '{}': No such file or directory"),
        (make_folder, "Could not open '{}': Is a directory"),
        (make_loop, "Could not open '{}': Too many levels of symbolic links"),
        (os.mkfifo, "'file' driver requires '{}' to be a regular file"),
    ],
)
def test_what_is_no_image(tmp_path: Path, make: Callable[[Path], None], text: str) -> None:
    path = tmp_path / "image"
    make(path)

    async def story() -> str:
        with pytest.raises(EngineError) as caught:
            async with opened(path):
                pass
        return caught.value.message

    assert run(story()) == text.format(path)


def test_odd_names(tmp_path: Path) -> None:
    async def story(path: Path) -> bytes:
        async with opened(path) as node:
            return bytes(await node.pread(0, 3))

    for name in ("a:b", "x" * 255, "ü \n'\"", "\udcff"):
        path = tmp_path / name
        path.write_bytes(b"abc")
        assert run(story(path)) == b"abc"
    with pytest.raises(BlockError, match="Invalid argument"):
        run(story(tmp_path / "a\0b"))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    async def story() -> int:
        node = await open_node(Graph(), {"driver": "host_device", "filename": "/dev/full"})
        with pytest.raises(BlockError) as caught:
            await node.pwrite(0, b"x")
        await node.unref()
        return caught.value.errno

    assert run(story()) == errno.ENOSPC


@needs_qemu
@pytest.mark.parametrize("options", [[], ["--preallocation=full"]])
def test_a_device_stays_as_large_as_it_is(options: list[str]) -> None:
    image = ["--image-opts", "driver=host_device,filename=/dev/null"]

    async def story() -> str:
        node = await open_node(Graph(), {"driver": "host_device", "filename": "/dev/null"})
        assert not node.driver.has_zero_init()
        with pytest.raises(BlockError) as caught:
            await node.truncate(MiB, exact=True, preallocation="full" if options else "off")
        await node.unref()
        return caught.value.message

    assert qemu_img("resize", *options, *image, "1M").stderr == f"qemu-img: {run(story())}\n"


def test_descriptors_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(MiB))

    async def story() -> int:
        for _ in range(3):
            async with opened(path, **{"auto-read-only": True}) as node:
                await node.pread(0, MiB)
        return len(os.listdir("/proc/self/fd"))

    first = run(story())
    assert run(story()) == first


@pytest.mark.parametrize("read_only", [False, True])
def test_a_pipe_is_refused_at_once(tmp_path: Path, read_only: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def story() -> None:
        async with opened(pipe, **{"read-only": read_only}):
            pass

    with pytest.raises(BlockError, match=r"requires '.*/pipe' to be a regular file"):
        run(story())
