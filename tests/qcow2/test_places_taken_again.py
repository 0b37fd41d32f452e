"""A place that was freed, discarded, taken again: nothing refers to it any more, and no late discard reaches it."""

import random
from pathlib import Path

import pytest

from backcheck_engine.block.request import RequestFlag
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, qemu_io, run
from tests.qcow2.write_log import Write, record_writes, replay

KiB, MiB = 1 << 10, 1 << 20
CLUSTER = 64 * KiB


@needs_qemu
@pytest.mark.parametrize("verb", ["discard", "zero"])
def test_a_table_that_takes_a_discarded_place_stays(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", path, "8M")
    qemu_io(path, "write -P 1 0 4M")
    qemu_img("snapshot", "-c", "s0", path)

    async def use() -> None:
        async with opened(path) as node:
            await node.pwrite(2 * MiB - 4 * KiB, b"\x02" * 4 * KiB)
            await node.flush()
            # The last cluster of one L2 table has a place of its own; the next table is the snapshot's and is copied.
            if verb == "discard":
                await node.discard(2 * MiB - 4 * KiB, 8 * KiB)
            else:
                await node.pwrite_zeroes(2 * MiB - 4 * KiB, 8 * KiB, RequestFlag.MAY_UNMAP)

    run(use)
    qemu_io(path, "read -P 1 0 2044k", "read -P 0 2044k 8k", "read -P 1 2052k 2044k")


@needs_qemu
def test_a_late_discard_of_a_table_does_not_reach_data(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", path, "1M")

    async def use() -> None:
        async with opened(path, pass_discard_other=True) as node:
            await node.truncate(8 * MiB, exact=True)
            # The first L2 table goes where the smaller L1 table was.
            await node.pwrite(0, b"\x01" * MiB)
            await node.flush()
            await node.discard(512 * KiB, 512 * KiB)

    run(use)
    qemu_io(path, "read -P 1 0 512k", "read -P 0 512k 7680k")
    check(path)


@needs_qemu
@pytest.mark.parametrize("lazy", [False, True], ids=["", "lazy"])
def test_a_killed_program_leaves_compressed_clusters_old_or_new(lazy: bool, tmp_path: Path) -> None:
    path, raw, crashed = tmp_path / "t.qcow2", tmp_path / "t.raw", tmp_path / "crashed.qcow2"
    old = random.Random(1).randbytes(4 * CLUSTER).hex().encode()
    raw.write_bytes(old)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", raw, path)
    start = path.read_bytes()
    log: list[Write] = []

    async def use() -> None:
        async with opened(path, lazy_refcounts=lazy) as node:
            recorded = record_writes(node.file)
            for number in range(8):
                await node.pwrite(number * CLUSTER, bytes([number]) * CLUSTER)
            log.extend(recorded)

    run(use)
    assert log

    async def look() -> list[int]:
        strange = []
        async with opened(crashed) as node:
            for number in range(8):
                found = bytes(await node.pread(number * CLUSTER, CLUSTER))
                if found not in (old[number * CLUSTER :][:CLUSTER], bytes([number]) * CLUSTER):
                    strange.append(number)
        return strange

    for count in range(len(log) + 1):
        crashed.write_bytes(replay(start, log[:count]))
        assert run(look) == [], f"after {count} of {len(log)} writes"


@needs_qemu
def test_a_killed_program_leaves_an_emptied_overlay_with_its_content_or_its_backings(tmp_path: Path) -> None:
    path, backing, crashed = tmp_path / "t.qcow2", tmp_path / "backing.raw", tmp_path / "crashed.qcow2"
    backing.write_bytes(b"\x05" * MiB)
    qemu_img("create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", path)
    qemu_io(path, "write -P 5 0 1M")
    start = path.read_bytes()
    log: list[Write] = []

    async def use() -> None:
        async with opened(path) as node:
            recorded = record_writes(node.file)
            await node.driver.make_empty()
            log.extend(recorded)

    run(use)
    assert log
    for count in range(len(log) + 1):
        crashed.write_bytes(replay(start, log[:count]))
        qemu_io(crashed, "read -P 5 0 1M")
