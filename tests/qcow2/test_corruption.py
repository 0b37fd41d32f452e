"""An image that turns out to be corrupt in use: marked, reported once, and refused from then on, as by QEMU."""

import asyncio
import errno
import re
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.node import Node
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, run, tool
from tests.qcow2.write_log import record_writes

CLUSTER = 65536
COPIED = 1 << 63
REFCOUNT_BLOCK, L1, L2, DATA = (number * CLUSTER for number in range(2, 6))


def _word(image: Path, offset: int, value: int, kind: str = ">Q") -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(kind, value))


DAMAGES: dict[str, tuple[int, int, str, str]] = {
    "unaligned cluster": (L2, (DATA + 512) | COPIED, ">Q", "read 0 4k"),
    "unaligned L2 table": (L1, (L2 + 512) | COPIED, ">Q", "read 0 4k"),
    "write to an unaligned L2 table": (L1, (L2 + 512) | COPIED, ">Q", "write 0 4k"),
    "write over the L1 table": (L2, L1 | COPIED, ">Q", "write 0 4k"),
    "write over the L2 table": (L2, L2 | COPIED, ">Q", "write 0 4k"),
    "write over the refcount table": (L2, CLUSTER | COPIED, ">Q", "write 0 4k"),
    "write over a refcount block": (L2, REFCOUNT_BLOCK | COPIED, ">Q", "write 0 4k"),
    "L2 table seems free": (REFCOUNT_BLOCK + 2 * 4, 0, ">H", "write 512k 4k"),
    "L1 table seems free": (REFCOUNT_BLOCK + 2 * 3, 0, ">H", "write 512k 4k"),
    "header seems free": (REFCOUNT_BLOCK, 0, ">H", "write 512k 4k"),
    "unaligned preallocated cluster": (L2, (DATA + 512) | COPIED | 1, ">Q", "write 0 4k"),
    "unaligned refcount block": (CLUSTER, REFCOUNT_BLOCK + 512, ">Q", "write 512k 4k"),
}


@pytest.fixture(name="image")
def _image(tmp_path: Path) -> Path:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -P 1 0 256k")
    return path


async def _make(node: Node, command: str) -> None:
    verb, offset, length = command.replace("k", "").split()
    if verb == "read":
        await node.pread(int(offset) << 10, int(length) << 10)
    else:
        await node.pwrite((int(offset) << 10) if offset != "0" else 0, bytes(int(length) << 10))
        await node.flush()


@needs_qemu
@pytest.mark.parametrize("name", DAMAGES)
def test_corruption_is_told_in_the_same_words(name: str, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    offset, value, kind, command = DAMAGES[name]
    _word(image, offset, value, kind)
    theirs = image.with_name("theirs.qcow2")
    theirs.write_bytes(image.read_bytes())
    done = tool("qemu-io", "-f", "qcow2", "-c", command, "-c", "read 768k 4k", theirs)
    told = [line for line in done.stderr.splitlines() if line.startswith("qcow2:")]
    events: list[tuple[str, bool]] = []

    async def use() -> None:
        graph = Graph()
        graph.on_corruption = lambda node, message, at, length, fatal: events.append((message, fatal))
        async with opened(image, graph) as node:
            with pytest.raises(BlockError, match="Input/output error"):
                await _make(node, command)
            with pytest.raises(BlockError, match="No medium found"):
                await node.pread(768 << 10, 4096)

    run(use)
    ours = [line for line in capfd.readouterr().err.splitlines() if line.startswith("qcow2:")]
    assert ours == told
    assert events == [(re.sub("qcow2: Marking image as corrupt: (.*); further .*", r"\1", told[0]), True)]
    incompatible = int.from_bytes(image.read_bytes()[72:80], "big")
    assert incompatible == 2 == int.from_bytes(theirs.read_bytes()[72:80], "big")

    async def reopen() -> None:
        with pytest.raises(BlockError, match=r"^qcow2: Image is corrupt; cannot be opened read/write$"):
            await open_node(Graph(), {"driver": "qcow2"}, filename=str(image))

    run(reopen)


@needs_qemu
@pytest.mark.parametrize("length", [4096, 16 * 4096])
def test_a_compressed_write_over_a_table_changes_no_refcount_in_the_file(length: int, tmp_path: Path) -> None:
    """Nor does QEMU with an image that it has just given up."""
    image = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", image, "4M")
    qemu_io(image, "write 0 64k", "write 2M 4k")
    data = bytearray(image.read_bytes())
    refcount_block, second_l2 = 2 * 4096, 21 * 4096
    assert struct.unpack_from(">Q", data, 3 * 4096 + 8)[0] == second_l2 | COPIED
    for cluster in (5, second_l2 // 4096):
        _word(image, refcount_block + 2 * cluster, 0, ">H")
    before = image.read_bytes()

    async def use() -> None:
        async with opened(image) as node:
            await node.pwrite(1 << 20, b"x" * 4096)
            with pytest.raises(BlockError):
                await node.pwrite_compressed(128 << 10, bytes(length))
            with pytest.raises(BlockError, match="No medium found"):
                await node.pread(0, 512)

    run(use)
    after = image.read_bytes()
    assert after[4096 : 5 * 4096] == before[4096 : 5 * 4096]
    assert after[6 * 4096 :] == before[6 * 4096 :]


@needs_qemu
def test_a_read_only_image_is_not_marked(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _word(image, L2, (DATA + 512) | COPIED)
    before = image.read_bytes()

    async def use() -> None:
        async with opened(image, read_only=True) as node:
            for _ in range(2):
                with pytest.raises(BlockError, match="Input/output error"):
                    await node.pread(0, 4096)
            assert bytes(await node.pread(65536, 4096)) == b"\x01" * 4096

    run(use)
    assert capfd.readouterr().err == (
        "qcow2: Image is corrupt: Cluster allocation offset 0x50200 unaligned (L2 offset: 0x40000, L2 index: 0); "
        "further non-fatal corruption events will be suppressed\n"
    )
    assert image.read_bytes() == before


@needs_qemu
def test_a_dirty_image_is_repaired_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", path, "1M")
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 256k", "-c", "flush", "-c", "abort", path)
    assert int.from_bytes(path.read_bytes()[72:80], "big") == 1

    async def use() -> None:
        async with opened(path) as node:
            assert bytes(await node.pread(0, 65536)) == b"\x01" * 65536

    run(use)
    assert int.from_bytes(path.read_bytes()[72:80], "big") == 0
    qemu_img("check", path)


@needs_qemu
def test_an_image_whose_mark_cannot_be_flushed_is_given_up_all_the_same(image: Path) -> None:
    _word(image, L2, L1 | COPIED)

    async def use() -> None:
        async with opened(image) as node:
            driver = node.file.driver

            async def fail() -> None:
                raise BlockError.from_errno(errno.EIO)

            driver.flush = fail  # type: ignore[method-assign]
            with pytest.raises(BlockError, match="Input/output error"):
                await node.pwrite(0, bytes(4096))
            with pytest.raises(BlockError, match="No medium found"):
                await node.pwrite(512 << 10, bytes(4096))

    run(use)
    assert "cannot be opened read/write" in tool("qemu-io", "-f", "qcow2", "-c", "read 0 4k", image).stderr


@needs_qemu
def test_requests_that_waited_change_no_table_of_an_image_that_is_given_up(image: Path) -> None:
    _word(image, L2, L1 | COPIED)

    async def use() -> None:
        async with opened(image) as node:
            log = record_writes(node.file)
            writes = [node.pwrite(offset << 10, b"\x02" * 4096) for offset in (0, 512, 768)]
            await asyncio.gather(*writes, node.flush(), return_exceptions=True)
            after = next(number for number, (offset, _) in enumerate(log) if offset < CLUSTER)
            assert [offset for offset, _ in log[after + 1 :] if offset < DATA] == []

    run(use)
