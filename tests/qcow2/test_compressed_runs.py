"""Compressed clusters that follow each other, written and read together: as if each came alone."""

import errno
import random
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, run

KiB, MiB = 1 << 10, 1 << 20
CLUSTER = 64 * KiB
SIZE = 2 * MiB + 5 * KiB
OPTIONS = {
    "default": "cluster_size=64k",
    "cluster-512": "cluster_size=512",
    "cluster-4k": "cluster_size=4k",
    "cluster-2M": "cluster_size=2M",
    "extended": "extended_l2=on",
    "zstd": "compression_type=zstd",
    "refcount-1": "refcount_bits=1",
    "refcount-64": "refcount_bits=64",
    "lazy": "lazy_refcounts=on",
}

pytestmark = needs_qemu


def _content() -> bytes:
    """Runs of clusters that compress well, hardly and not at all, and zeroes."""
    generator = random.Random(6)
    parts: list[bytes] = []
    while len(b"".join(parts)) < SIZE:
        length = generator.randrange(1, 9) * CLUSTER
        parts.append(
            generator.choice(
                [
                    bytes(length),
                    b"".join(b"%d bottles\n" % generator.randrange(10**6) for _ in range(length // 8)),
                    generator.randbytes(length // 2) + bytes(length - length // 2),
                    generator.randbytes(length),
                ]
            )
        )
    return b"".join(parts)[:SIZE]


def _create(folder: Path, options: str) -> tuple[Path, Path, bytes]:
    """An empty image, a raw one with the content that it is to have, and that content."""
    content, raw, image = _content(), folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(content)
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, image, str(SIZE))
    return image, raw, content


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_what_is_written_in_one_request_is_what_qemu_reads(tmp_path: Path, options: str) -> None:
    image, raw, content = _create(tmp_path, options)

    async def body() -> None:
        async with opened(image) as node:
            half = 0 if options == OPTIONS["cluster-2M"] else MiB
            await node.pwrite_compressed(half, memoryview(content)[half:])
            await node.pwrite_compressed(0, memoryview(content)[:half])
            for offset, length in ((0, SIZE), (CLUSTER, 3 * CLUSTER), (700, MiB), (SIZE - 9 * KiB, 9 * KiB)):
                assert await node.pread(offset, length) == content[offset : offset + length]

    run(body)
    check(image)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)


@pytest.mark.parametrize("options", [OPTIONS["default"], OPTIONS["zstd"], OPTIONS["cluster-4k"], OPTIONS["cluster-2M"]])
def test_what_qemu_compressed_is_read_in_one_request(tmp_path: Path, options: str) -> None:
    image, raw, content = _create(tmp_path, options)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, image)

    async def body() -> None:
        async with opened(image) as node:
            for offset, length in ((0, SIZE), (CLUSTER, 3 * CLUSTER), (700, MiB), (SIZE - 9 * KiB, 9 * KiB)):
                assert await node.pread(offset, length) == content[offset : offset + length]

    run(body)


def test_a_cluster_that_has_a_place_ends_a_request_after_what_qemu_has_in_flight(tmp_path: Path) -> None:
    image, _, _ = _create(tmp_path, OPTIONS["default"])
    text = b"old" + bytes(CLUSTER - 3)

    async def body() -> None:
        async with opened(image) as node:
            await node.pwrite_compressed(5 * CLUSTER, text)
            with pytest.raises(BlockError) as caught:
                await node.pwrite_compressed(0, b"new" + bytes(16 * CLUSTER - 3))
            assert caught.value.errno == errno.EIO
            assert bytes(await node.pread(0, 3)) == b"new"
            assert bytes(await node.pread(5 * CLUSTER, 3)) == b"old"
            held = [(await node.is_allocated(number * CLUSTER, CLUSTER))[0] for number in range(16)]
            assert held == [True] * (5 + 1 + 8) + [False] * 2

    run(body)
    check(image)


def test_compressed_clusters_that_follow_each_other_have_one_status(tmp_path: Path) -> None:
    image, _, _ = _create(tmp_path, OPTIONS["default"])
    text = b"old" + bytes(CLUSTER - 3)

    async def body() -> None:
        async with opened(image) as node:
            await node.pwrite_compressed(0, text * 4)
            await node.pwrite(4 * CLUSTER, text)
            inside = CLUSTER + 5 * KiB
            compressed = await node.block_status(inside, SIZE)
            assert (compressed.length, compressed.data, compressed.compressed) == (4 * CLUSTER - inside, True, True)
            plain = await node.block_status(4 * CLUSTER, SIZE)
            assert (plain.length, plain.data, plain.compressed) == (CLUSTER, True, False)

    run(body)


def test_what_cannot_be_written_together_is_as_it_was(tmp_path: Path) -> None:
    image, raw, content = _create(tmp_path, OPTIONS["default"])

    async def body() -> None:
        async with opened(image) as node:
            _fail_long_writes(node)
            assert await node.pwrite_compressed_together(0, content[: 16 * CLUSTER], CLUSTER) < 16 * CLUSTER
            # One by one, each cluster is a short write.
            await node.pwrite_zeroes(0, SIZE, RequestFlag.MAY_UNMAP)
            for offset in range(0, SIZE, CLUSTER):
                await node.pwrite_compressed(offset, content[offset : offset + CLUSTER])

    run(body)
    check(image)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)


def _fail_long_writes(node: Node) -> None:
    driver = node.file.driver
    write = driver.pwrite

    async def failing(offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        if len(data) > CLUSTER:
            raise BlockError.from_errno(errno.ENOSPC)
        await write(offset, data, flags)

    driver.pwrite = failing  # type: ignore[method-assign]
