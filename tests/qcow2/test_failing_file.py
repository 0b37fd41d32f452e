"""A file that fails once, in the middle of a change of tables: what is written afterwards is not lost."""

import errno
from contextlib import suppress
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import Buffer, RequestFlag
from backcheck_engine.errors import BlockError
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, run, tool

KiB, MiB = 1 << 10, 1 << 20
LEAKS_ONLY = 3


def _fail_once(node: Node, number: int) -> None:
    """The write or flush of that number that reaches the image's file is done, as far as anybody sees, but fails."""
    driver = node.file.driver
    write, flush = driver.pwrite, driver.flush
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise BlockError.from_errno(errno.EIO)

    async def counted_write(offset: int, data: Buffer, flags: RequestFlag = RequestFlag.NONE) -> None:
        await write(offset, data, flags)
        count()

    async def counted_flush() -> None:
        await flush()
        count()

    driver.pwrite, driver.flush = counted_write, counted_flush  # type: ignore[method-assign]


def _is_sound(image: Path) -> None:
    done = tool("qemu-img", "check", "-f", "qcow2", image)
    assert done.returncode in (0, LEAKS_ONLY), done.stdout + done.stderr


@needs_qemu
@pytest.mark.parametrize("number", range(1, 9))
def test_what_is_written_after_a_resize_that_failed_is_kept(number: int, tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", path, "64k")

    async def use() -> None:
        async with opened(path) as node:
            await node.pwrite(0, b"\x01" * 32 * KiB)
            await node.flush()
            _fail_once(node, number)
            with pytest.raises(BlockError, match="Input/output error"):
                await node.truncate(2 * MiB, exact=True)
            # A table that did not exist: the L1 table in force has to get its entry.
            await node.pwrite(32 * KiB, b"\x02" * 32 * KiB)
            await node.flush()

    run(use)
    _is_sound(path)
    qemu_io(path, "read -P 1 0 32k", "read -P 2 32k 32k")


@needs_qemu
@pytest.mark.parametrize("number", range(1, 9))
def test_a_kill_after_a_failed_copy_of_a_table_finds_no_data_in_its_place(number: int, tmp_path: Path) -> None:
    path, crashed = tmp_path / "t.qcow2", tmp_path / "crashed.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", path, "8M")
    qemu_io(path, "write -P 1 0 8M")
    qemu_img("snapshot", "-c", "s0", path)

    async def use() -> None:
        async with opened(path) as node:
            await node.pwrite(0, b"\x02" * 4 * KiB)
            await node.flush()
            _fail_once(node, number)
            for offset in (2 * MiB, 0):
                # The second copies no table, but takes the place that the first gave back.
                with suppress(BlockError):
                    await node.pwrite(offset + 4 * KiB, b"\xff" * 64 * KiB)
            crashed.write_bytes(path.read_bytes())

    run(use)
    _is_sound(path)
    _is_sound(crashed)
    qemu_io(crashed, "read -P 2 0 4k", "read -P 1 1M 1M", "read -P 1 3M 5M")


@needs_qemu
@pytest.mark.parametrize("number", range(1, 15))
def test_a_disk_that_could_not_grow_has_its_old_size_and_grows_again(number: int, tmp_path: Path) -> None:
    path, backing = tmp_path / "t.qcow2", tmp_path / "backing.raw"
    backing.write_bytes(b"\x05" * 4 * MiB)
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", backing, "-F", "raw", path, "1M")

    async def use() -> None:
        async with opened(path) as node:
            _fail_once(node, number)
            with pytest.raises(BlockError, match="Input/output error"):
                await node.truncate(3 * MiB + 512, exact=True)
            assert node.driver.size() == MiB
            await node.truncate(3 * MiB + 512, exact=True)

    run(use)
    _is_sound(path)
    qemu_io(path, "read -P 5 0 1M", "read -P 0 1M 2M", "read -P 0 3M 512")
