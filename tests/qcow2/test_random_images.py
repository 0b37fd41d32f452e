"""Random use of images of every geometry, against a bytearray, `qemu-img check` and `qemu-img compare`."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.request import RequestFlag
from backcheck_engine.drivers.creation import create_image
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, qemu_io, run

KiB, MiB = 1 << 10, 1 << 20

GEOMETRIES: dict[str, dict[str, str]] = {
    "default": {},
    "v2": {"compat": "0.10"},
    "cluster-512": {"cluster_size": "512"},
    "cluster-512-refcount-1": {"cluster_size": "512", "refcount_bits": "1"},
    "cluster-512-refcount-64": {"cluster_size": "512", "refcount_bits": "64"},
    "cluster-2k-refcount-4": {"cluster_size": "2k", "refcount_bits": "4"},
    "cluster-2M": {"cluster_size": "2M"},
    "extended": {"extended_l2": "on"},
    "extended-16k": {"extended_l2": "on", "cluster_size": "16k", "refcount_bits": "8"},
    "extended-2M": {"extended_l2": "on", "cluster_size": "2M"},
    "lazy": {"lazy_refcounts": "on"},
    "data-file": {"data_file": "data"},
    "data-file-raw": {"data_file": "data", "data_file_raw": "on", "cluster_size": "4k"},
    "preallocated": {"preallocation": "metadata", "cluster_size": "4k"},
    "preallocated-extended": {"preallocation": "metadata", "extended_l2": "on"},
    "zstd": {"compression_type": "zstd", "cluster_size": "8k"},
}


class Model:
    """An image and the bytes that it has to hold."""

    def __init__(self, node: Node, content: bytearray, seed: int, *, compresses: bool) -> None:
        self.node = node
        self.content = content
        self.random = random.Random(seed)
        info = node.driver.info()
        assert info is not None
        self.cluster_size = info.cluster_size
        self.compresses = compresses

    def place(self, longest: int) -> tuple[int, int]:
        """A range in the disk, often aligned to something."""
        unit = self.random.choice([1, 512, 4 * KiB, self.cluster_size])
        offset = self.random.randrange(len(self.content)) // unit * unit
        length = max(self.random.randrange(longest) // unit * unit, unit)
        return offset, min(length, len(self.content) - offset)

    async def write(self) -> None:
        offset, length = self.place(300 * KiB)
        data = self.random.randbytes(length)
        await self.node.pwrite(offset, data)
        self.content[offset : offset + length] = data

    async def zero(self) -> None:
        offset, length = self.place(MiB)
        flags = self.random.choice([RequestFlag.NONE, RequestFlag.MAY_UNMAP])
        await self.node.pwrite_zeroes(offset, length, flags)
        self.content[offset : offset + length] = bytes(length)

    async def discard(self) -> None:
        offset, length = self.place(MiB)
        await self.node.discard(offset, length)
        after = bytes(await self.node.pread(offset, length))
        at = offset
        while at < offset + length:
            end = min((at // 512 + 1) * 512, offset + length)
            piece = after[at - offset : end - offset]
            assert piece in (bytes(len(piece)), self.content[at:end])
            at = end
        self.content[offset : offset + length] = after

    async def compress(self) -> None:
        if not self.compresses:
            return
        offset = self.random.randrange(len(self.content)) // self.cluster_size * self.cluster_size
        length = min(self.cluster_size, len(self.content) - offset)
        status = await self.node.block_status(offset, length)
        if status.length < length or status.host_offset is not None or status.compressed:
            return
        data = bytes([self.random.randrange(256)]) * length
        await self.node.pwrite_compressed(offset, data)
        self.content[offset : offset + length] = data

    async def read(self) -> None:
        offset, length = self.place(MiB)
        assert bytes(await self.node.pread(offset, length)) == self.content[offset : offset + length]

    async def flush(self) -> None:
        await self.node.flush()

    async def resize(self) -> None:
        size = self.random.randrange(MiB, 5 * MiB) // 512 * 512
        await self.node.truncate(size, exact=True)
        keep = min(size, len(self.content))
        self.content[keep:] = bytes(size - keep)
        # What was cut off within a cluster may come back, as it does in QEMU.
        end = min(-(-keep // self.cluster_size) * self.cluster_size, size)
        self.content[keep:end] = await self.node.pread(keep, end - keep)

    async def step(self, *, resizes: bool) -> None:
        """One random operation."""
        actions: list[Callable[[], object]] = [self.write, self.write, self.write, self.zero, self.discard, self.read]
        actions += [self.compress, self.flush]
        action = self.random.choice([*actions, self.resize] if resizes else actions)
        await action()  # type: ignore[misc]


@needs_qemu
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("has_backing", [False, True], ids=["", "backing"])
def test_what_was_written_is_read(
    name: str, has_backing: bool, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    options = dict(GEOMETRIES[name])
    if has_backing and ("data_file_raw" in options or name == "preallocated"):
        pytest.skip("not with a backing file")
    if "data_file" in options:
        options["data_file"] = str(tmp_path / options["data_file"])
    for seed in range(repetitions(20)):
        _use_image(tmp_path, options, seed, has_backing=has_backing)


def _use_image(folder: Path, options: dict[str, str], seed: int, *, has_backing: bool) -> None:
    print(f"seed {seed}")
    generator = random.Random(seed)
    image, backing, raw = folder / "t.qcow2", folder / "b.qcow2", folder / "m.raw"
    size = generator.randrange(MiB, 4 * MiB) // 512 * 512
    content = bytearray(size)
    if has_backing:
        backing_size = generator.randrange(MiB, 4 * MiB) // 512 * 512
        qemu_img("create", "-q", "-f", "qcow2", backing, str(backing_size))
        qemu_io(backing, f"write -P 7 0 {backing_size // 2 // 512 * 512}", f"write -P 9 {backing_size - 512} 512")
        whole = bytearray(backing_size)
        whole[: backing_size // 2 // 512 * 512] = b"\x07" * (backing_size // 2 // 512 * 512)
        whole[-512:] = b"\x09" * 512
        content[:] = whole[:size].ljust(size, b"\0")

    async def use() -> None:
        graph = Graph()
        await create_image(
            graph,
            str(image),
            "qcow2",
            size=size,
            backing_file=str(backing) if has_backing else None,
            backing_format="qcow2" if has_backing else None,
            options=options,
            quiet=True,
        )
        nonlocal content
        for _ in range(3):
            async with opened(image, graph) as node:
                compresses = "data_file" not in options
                model = Model(node, content, generator.randrange(2**32), compresses=compresses)
                for _ in range(12):
                    await model.step(resizes=not has_backing)
                assert bytes(await node.pread(0, len(content))) == bytes(content)
                content = model.content
            check(image)

    run(use)
    raw.write_bytes(content)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)
