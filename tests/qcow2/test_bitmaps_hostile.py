"""Images with bitmaps and random damage: the engine opens what QEMU opens, and neither crashes nor destroys data."""

import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.image_upkeep import Repair
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import EngineError
from tests.qcow2.qemu import needs_qemu, qemu_img, qemu_io, run, tool

KiB = 1 << 10
CLUSTER = 4 * KiB
VALUES = (0, 1, 2, 3, 9, 31, 512, CLUSTER, 5 * CLUSTER, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 63) - 1)


@pytest.fixture(name="template", scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"cluster_size={CLUSTER}", path, "1M")
    for name, granularity in (("b0", "512"), ("b1", "64k"), ("b2", "4k")):
        qemu_img("bitmap", "--add", "-g", granularity, path, name)
    qemu_io(path, "write -P 1 0 256k")
    return path.read_bytes()


def _damage(image: bytearray, generator: random.Random) -> None:
    """Change some fields of the extension, the directory or a table."""
    extension = image.index(bytes.fromhex("23852875")) + 8
    (directory,) = struct.unpack_from(">Q", image, extension + 16)
    (table,) = struct.unpack_from(">Q", image, directory)
    for _ in range(generator.randrange(1, 4)):
        start, length = generator.choice([(extension, 24), (directory, 96), (table, 16)])
        form = generator.choice("BHIQ")
        size = struct.calcsize(form)
        at = start + generator.randrange(length // size) * size
        value = generator.choice([*VALUES, generator.randrange(1 << 64)]) % (1 << 8 * size)
        struct.pack_into(f">{form}", image, at, value)


async def _use(path: Path, *, writable: bool) -> str:
    """The engine's error on opening the image, or '' after using it."""
    try:
        node = await open_node(Graph(), {"driver": "qcow2"}, filename=str(path), read_only=not writable)
    except EngineError as error:
        return error.message
    try:
        if writable:
            node.bitmaps.create(64 * KiB, name="new").persistent = True
            with suppress(EngineError):
                await node.pwrite(512 * KiB, bytes(range(256)) * 256)
        with suppress(EngineError):
            await node.driver.check(Repair.NONE)
    finally:
        await node.unref()
    return ""


@needs_qemu
def test_random_damage(template: bytes, tmp_path: Path, repetitions: Callable[[int], int]) -> None:
    path = tmp_path / "t.qcow2"
    for seed in range(repetitions(300)):
        image = bytearray(template)
        _damage(image, random.Random(seed))
        path.write_bytes(image)
        theirs = tool("qemu-io", "-r", "-f", "qcow2", "-c", "length", path)
        refusal = run(lambda: _use(path, writable=False))
        assert (refusal == "") == (theirs.returncode == 0), (seed, refusal, theirs.stderr)
        assert refusal in theirs.stderr, seed
        was_sound = tool("qemu-img", "check", "-f", "qcow2", path).returncode in (0, 3)
        run(lambda: _use(path, writable=True))
        if was_sound and not refusal:
            done = tool("qemu-img", "check", "-f", "qcow2", path)
            assert done.returncode in (0, 3), (seed, done.stdout, done.stderr)
            assert "verification failed" not in tool("qemu-io", "-c", "read -P 1 0 256k", path).stdout, seed
