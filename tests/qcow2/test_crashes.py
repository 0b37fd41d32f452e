"""A program killed between any two writes leaves an image with leaked clusters at worst."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import RequestFlag
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, run, tool
from tests.qcow2.write_log import Write, record_writes, replay

KiB, MiB = 1 << 10, 1 << 20
LEAKS_ONLY = 3


async def _use(node: Node, generator: random.Random) -> None:
    for _ in range(25):
        offset = generator.randrange(4 * MiB) // 512 * 512
        length = min(generator.choice([512, 4 * KiB, 64 * KiB, 300 * KiB]), node.size - offset)
        if length <= 0:
            continue
        match generator.randrange(8):
            case 0:
                await node.pwrite_zeroes(offset, length, RequestFlag.MAY_UNMAP)
            case 1:
                await node.discard(offset, length)
            case 2:
                await node.flush()
            case 3:
                await node.truncate(generator.randrange(MiB, 5 * MiB) // 512 * 512, exact=True)
            case _:
                await node.pwrite(offset, generator.randbytes(length))


OPTIONS = {
    "default": "compat=1.1",
    "cluster-512": "cluster_size=512",
    "cluster-4k-refcount-64": "cluster_size=4k,refcount_bits=64",
    "extended": "extended_l2=on,cluster_size=16k",
}


@needs_qemu
@pytest.mark.parametrize("name", [*OPTIONS, "snapshot"])
def test_every_prefix_of_the_writes_is_a_sound_image(
    name: str, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    path, crashed = tmp_path / "t.qcow2", tmp_path / "crashed.qcow2"
    for seed in range(repetitions(10)):
        generator = random.Random(seed)
        qemu_img("create", "-q", "-f", "qcow2", "-o", OPTIONS.get(name, "cluster_size=4k"), path, "4M")
        if name == "snapshot":
            qemu_io(path, "write -P 1 0 1M")
            qemu_img("snapshot", "-c", "s0", path)
        start = path.read_bytes()
        log: list[Write] = []

        async def use(generator: random.Random = generator, log: list[Write] = log) -> None:
            async with opened(path) as node:
                recorded = record_writes(node.file)
                await _use(node, generator)
            log.extend(recorded)

        run(use)
        assert replay(start, log) == path.read_bytes()
        for count in sorted(generator.sample(range(len(log)), min(40, len(log)))):
            crashed.write_bytes(replay(start, log[:count]))
            done = tool("qemu-img", "check", "-f", "qcow2", crashed)
            assert done.returncode in (0, LEAKS_ONLY), (seed, count, log[count][0], done.stdout + done.stderr)
