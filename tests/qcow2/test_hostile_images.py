"""Damaged and hostile images: refused in QEMU's words where QEMU refuses, and never a crash, a hang or huge memory."""

import random
import re
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

FIELDS: dict[str, tuple[int, str]] = {
    "magic": (0, ">I"),
    "version": (4, ">I"),
    "backing offset": (8, ">Q"),
    "backing length": (16, ">I"),
    "cluster bits": (20, ">I"),
    "size": (24, ">Q"),
    "crypt method": (32, ">I"),
    "L1 size": (36, ">I"),
    "L1 offset": (40, ">Q"),
    "refcount table offset": (48, ">Q"),
    "refcount table clusters": (56, ">I"),
    "snapshot count": (60, ">I"),
    "snapshots offset": (64, ">Q"),
    "incompatible": (72, ">Q"),
    "compatible": (80, ">Q"),
    "autoclear": (88, ">Q"),
    "refcount order": (96, ">I"),
    "header length": (100, ">I"),
    "compression": (104, ">B"),
    "first extension": (112, ">I"),
    "first extension length": (116, ">I"),
}
VALUES = (0, 1, 2, 3, 7, 8, 9, 21, 22, 32, 103, 112, 120, 512, 65535, 65536)
LARGE = (1 << 25, (1 << 32) - 1, 1 << 56, (1 << 63) - 65536, 1 << 63)


UNIMPLEMENTED = {("crypt method", 1), ("crypt method", 2)}
"""Encrypted images: refused in words of our own."""


def _mutations() -> list[tuple[str, int]]:
    return [
        (field, value)
        for field, (_, kind) in FIELDS.items()
        for value in VALUES + LARGE
        if value < 1 << (8 * struct.calcsize(kind)) and (field, value) not in UNIMPLEMENTED
    ]


def _patch(image: bytearray, field: str, value: int) -> None:
    offset, kind = FIELDS[field]
    struct.pack_into(kind, image, offset, value)


@pytest.fixture(name="template", scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -P 1 0 256k")
    return path.read_bytes()


def _ours(path: Path, *, writable: bool) -> str:
    """The engine's error on opening an image, or ''."""

    async def look() -> str:
        try:
            node = await open_node(Graph(), {"driver": "qcow2"}, filename=str(path), read_only=not writable)
        except EngineError as error:
            return error.message
        await node.unref()
        return ""

    return run(look)


def _theirs(path: Path, *, writable: bool) -> str:
    """qemu-io's error on opening an image, or ''."""
    done = tool("qemu-io", "-f", "qcow2", *([] if writable else ["-r"]), "-c", "length", path)
    if done.returncode == 0:
        return ""
    match = re.search(r"^qemu-io: can't open device [^:]*: (.*)$", done.stderr, re.MULTILINE)
    return match[1] if match else done.stderr


@needs_qemu
@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_header_is_refused_in_the_same_words(field: str, template: bytes, tmp_path: Path) -> None:
    differences = []
    path = tmp_path / "t.qcow2"
    for name, value in _mutations():
        if name != field:
            continue
        image = bytearray(template)
        _patch(image, field, value)
        path.write_bytes(image)
        theirs = _theirs(path, writable=False)
        path.write_bytes(image)
        ours = _ours(path, writable=False)
        if theirs != ours:
            differences.append((hex(value), theirs, ours))
    assert not differences


def _damage(image: bytearray, generator: random.Random) -> None:
    """Change some bytes of header, refcount table, refcount block, L1 table or L2 table."""
    for _ in range(generator.randrange(1, 6)):
        cluster = generator.choice([0, 1, 2, 3, 4])
        at = cluster * 65536 + generator.choice([generator.randrange(16), generator.randrange(400)]) // 8 * 8
        value = generator.choice([0, 1, 1 << 62, 1 << 63, 65536, 4 * 65536, 2**64 - 1, generator.randrange(2**64)])
        if generator.random() < 0.5:
            value |= generator.choice([1 << 63, 1, 1 << 62, 512])
        image[at : at + 8] = value.to_bytes(8, "big")


async def _use(path: Path, seed: int) -> None:
    generator = random.Random(seed)
    node = await open_node(Graph(), {"driver": "qcow2", "discard": "unmap"}, filename=str(path))
    try:
        for _ in range(10):
            offset, length = generator.randrange(2**20) // 512 * 512, generator.choice([512, 65536, 200 * 1024])
            length = min(length, node.size - offset)
            if length <= 0:
                continue
            try:
                match generator.randrange(5):
                    case 0:
                        await node.pread(offset, length)
                    case 1:
                        await node.pwrite(offset, b"x" * length)
                    case 2:
                        await node.pwrite_zeroes(offset, length)
                    case 3:
                        await node.discard(offset, length)
                    case 4:
                        await node.flush()
            except EngineError:
                continue
    finally:
        await node.unref()


async def _check(path: Path) -> None:
    node = await open_node(Graph(), {"driver": "qcow2"}, filename=str(path), check=True)
    try:
        await node.driver.check(Repair.LEAKS | Repair.ERRORS)
    finally:
        await node.unref()


@needs_qemu
def test_a_damaged_image_gives_errors_at_worst(
    template: bytes, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    path = tmp_path / "t.qcow2"
    for seed in range(repetitions(1000)):
        print(f"seed {seed}")
        image = bytearray(template)
        _damage(image, random.Random(seed))
        path.write_bytes(image)
        for act in (lambda seed=seed: _use(path, seed), lambda: _check(path)):
            with suppress(EngineError):
                run(act)
