"""Requests that meet in one grain, and requests that fail half way."""

import asyncio
import errno
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.drivers.protocol.file import FileDriver
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import needs_qemu, run
from tests.vmdk.disks import GRAIN, content, holds, lies_apart, make, opened, places, table_offsets

PARTS = 2 * GRAIN // 4096


@pytest.fixture(name="slow_file")
def _slow_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write to a file lets all other requests go on first."""
    write = FileDriver.pwrite

    async def write_later(driver: FileDriver, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await write(driver, offset, data, flags)

    monkeypatch.setattr(FileDriver, "pwrite", write_later)


@needs_qemu
@pytest.mark.usefixtures("slow_file")
@pytest.mark.parametrize("zeroed", ["off", "on"])
def test_many_writes_to_grains_without_a_place(zeroed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 2 * GRAIN, zeroed_grain=zeroed)

    async def write() -> None:
        async with opened(path) as node:
            if zeroed == "on":
                await node.pwrite_zeroes(0, 2 * GRAIN)
            await asyncio.gather(*(node.pwrite(at * 4096, bytes([at + 1]) * 4096) for at in reversed(range(PARTS))))

    run(write)
    holds(path, b"".join(bytes([at + 1]) * 4096 for at in range(PARTS)), tmp_path)


@pytest.mark.usefixtures("slow_file")
def test_one_of_several_compressed_writes_gets_the_grain(tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 4 * GRAIN, subformat="streamOptimized")

    async def write() -> list[int | None]:
        async with opened(path) as node:
            writes = (node.pwrite_compressed(0, bytes([number]) * GRAIN) for number in (1, 2, 3))
            results = await asyncio.gather(*writes, return_exceptions=True)
        return [result.errno if isinstance(result, BlockError) else None for result in results]

    results = run(write)
    assert sorted(map(str, results)) == [str(errno.EIO), str(errno.EIO), "None"]
    assert content(path)[:GRAIN] == bytes([1 + results.index(None)]) * GRAIN


@needs_qemu
@pytest.mark.parametrize(
    ("subformat", "event"),
    [("monolithicSparse", "write_aio"), ("streamOptimized", "write_compressed"), ("streamOptimized", "none")],
)
def test_a_write_that_fails_can_be_made_again(subformat: str, event: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 4 * GRAIN, subformat=subformat)

    tree: JsonObject = {
        "driver": "vmdk",
        "file": {
            "driver": "blkdebug",
            "image": {"driver": "file", "filename": str(path)},
            "inject-error": [{"event": event, "errno": errno.ENOSPC, "once": True, "iotype": "write"}],
        },
    }

    async def write() -> None:
        node = await open_node(Graph(), tree)
        with pytest.raises(BlockError, match="No space left"):
            await node.pwrite(GRAIN, b"\x11" * GRAIN)
        await node.pwrite(2 * GRAIN, b"\x22" * GRAIN)
        await node.pwrite(GRAIN, b"\x33" * GRAIN)
        await node.unref()

    run(write)
    lies_apart(path)
    assert min(places(path).values()) == GRAIN, "what failed takes no room"
    holds(path, bytes(GRAIN) + b"\x33" * GRAIN + b"\x22" * GRAIN + bytes(GRAIN), tmp_path)


@needs_qemu
@pytest.mark.parametrize("subformat", ["monolithicSparse", "streamOptimized"])
@pytest.mark.parametrize("copy", [0, 1], ids=["the table", "its copy"])
def test_a_place_that_a_table_may_name_is_nobody_elses(
    copy: int, subformat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of a table fails, but is in the file."""
    path = tmp_path / "a.vmdk"
    make(path, 4 * GRAIN, subformat=subformat)
    table = table_offsets(path)[copy][0]
    write, failures = FileDriver.pwrite, [errno.EIO]

    async def fail_once(driver: FileDriver, offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await write(driver, offset, data, flags)
        if failures and table <= offset < table + 2048:
            raise BlockError.from_errno(failures.pop())

    monkeypatch.setattr(FileDriver, "pwrite", fail_once)

    async def write_twice() -> None:
        async with opened(path) as node:
            with pytest.raises(BlockError, match="Input/output error"):
                await node.pwrite(GRAIN, b"\x11" * GRAIN)
            await node.pwrite(2 * GRAIN, b"\x22" * GRAIN)

    run(write_twice)
    assert not failures
    holds(path, bytes(GRAIN) + b"\x11" * GRAIN + b"\x22" * GRAIN + bytes(GRAIN), tmp_path)
