"""What is written is what is read, by the engine and by QEMU, in each kind of image."""

import random
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.errors import BlockError
from tests.qcow2.qemu import needs_qemu, qemu_img, qemu_io, run
from tests.vmdk.disks import GRAIN, SUBFORMATS, content, holds, lies_apart, make, maps_alike, opened

SIZE = 40 * GRAIN + 1536
ROUNDS = 30
STEP = 512


def _pattern(rng: random.Random, length: int) -> bytes:
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(length)
    return bytes([rng.randrange(1, 256)]) * length if kind == 1 else bytes(length)


async def _write_randomly(node: Node, rng: random.Random, model: bytearray) -> None:
    """Writes and zero writes of any place and length, all kept in `model` too."""
    for _ in range(ROUNDS):
        offset = rng.randrange(SIZE)
        length = min(rng.choice([STEP, 4096, GRAIN, 5 * GRAIN]) + rng.randrange(2) * 700, SIZE - offset)
        if rng.random() < 0.3:
            await node.pwrite_zeroes(offset, length)
            model[offset : offset + length] = bytes(length)
        else:
            data = _pattern(rng, length)
            await node.pwrite(offset, data)
            model[offset : offset + length] = data
        at = rng.randrange(SIZE)
        assert bytes(await node.pread(at, 3 * GRAIN))[: SIZE - at] == model[at : at + 3 * GRAIN]


@needs_qemu
@pytest.mark.parametrize("zeroed", ["off", "on"])
@pytest.mark.parametrize("kind", ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse"])
def test_random_writes(kind: str, zeroed: str, first_seed: int, tmp_path: Path) -> None:
    path, model, rng = tmp_path / "a.vmdk", bytearray(SIZE), random.Random(first_seed)
    if zeroed == "on" and kind == "monolithicFlat":
        return
    make(path, SIZE, subformat=kind, zeroed_grain=zeroed)

    async def write() -> None:
        async with opened(path) as node:
            await _write_randomly(node, rng, model)

    run(write)
    holds(path, bytes(model), tmp_path)
    maps_alike(path)
    assert content(path) == bytes(model)
    if kind != "monolithicFlat":
        lies_apart(path if kind == "monolithicSparse" else tmp_path / "a-s001.vmdk")


@needs_qemu
@pytest.mark.parametrize("kind", ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_a_write_across_two_files(kind: str, tmp_path: Path) -> None:
    path, border = tmp_path / "a.vmdk", 2 << 30
    make(path, border + GRAIN, subformat=kind)

    async def write() -> None:
        async with opened(path) as node:
            await node.pwrite(border - 1000, b"\x77" * 2000)
            assert bytes(await node.pread(border - 1000, 2000)) == b"\x77" * 2000

    run(write)
    qemu_io(path, f"read -P 0x77 {border - 1000} 2000", f"read -P 0 {border + 1000} 4k", options=("-f", "vmdk"))
    qemu_img("check", "-f", "vmdk", path)


@needs_qemu
@pytest.mark.parametrize("kind", SUBFORMATS)
def test_images_of_qemu(kind: str, first_seed: int, tmp_path: Path) -> None:
    rng = random.Random(first_seed)
    grains = [_pattern(rng, GRAIN) if rng.random() < 0.6 else bytes(GRAIN) for _ in range(40)]
    plain = b"".join(grains) + rng.randbytes(1536)
    raw, path = tmp_path / "plain.raw", tmp_path / "a.vmdk"
    raw.write_bytes(plain)
    qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", raw, path)
    assert content(path) == plain
    maps_alike(path)


@needs_qemu
def test_compressed_grains(first_seed: int, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.vmdk", random.Random(first_seed)
    make(path, SIZE, subformat="streamOptimized")
    model = bytearray(SIZE)
    order = list(range(0, SIZE, GRAIN))
    rng.shuffle(order)

    async def write() -> None:
        async with opened(path) as node:
            for offset in order[:30]:
                data = _pattern(rng, min(GRAIN, SIZE - offset))
                model[offset : offset + len(data)] = data
                await node.pwrite_compressed(offset, data)

    run(write)
    holds(path, bytes(model), tmp_path)
    maps_alike(path)
    lies_apart(path)
    assert content(path) == bytes(model)


@needs_qemu
def test_extents_of_old_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header "COWD", a directory of two tables of 4096 entries, of which the second is missing, and grains of 512."""
    monkeypatch.chdir(tmp_path)
    header = struct.pack("<4s7I", b"COWD", 1, 3, 8000, 1, 4, 2, 64)
    directory = struct.pack("<2I", 5, 0)
    table = struct.pack("<4I", 0, 40, 41, 0)
    image = header.ljust(4 * 512, b"\0") + directory.ljust(512, b"\0") + table.ljust(35 * 512, b"\0")
    Path("a-delta.vmdk").write_bytes(image + b"\x11" * 512 + b"\x22" * 512)
    Path("a.vmdk").write_text(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        'createType="vmfsSparse"\nRW 8000 VMFSSPARSE "a-delta.vmdk"\n'
    )

    async def write() -> None:
        async with opened(Path("a.vmdk")) as node:
            await node.pwrite(700, b"\x33" * 1000)

    run(write)
    expected = bytes(512) + b"\x11" * 188 + b"\x33" * 1000 + bytes(348)
    assert content(Path("a.vmdk")) == expected.ljust(8000 * 512, b"\0")
    holds(Path("a.vmdk"), expected.ljust(8000 * 512, b"\0"), tmp_path)


def test_a_compressed_grain_is_written_once_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 8 * GRAIN, subformat="streamOptimized")

    async def attempt(node: Node, offset: int, length: int) -> str:
        try:
            await node.pwrite(offset, b"\x11" * length)
        except BlockError as error:
            return error.message
        return ""

    async def write() -> list[str]:
        async with opened(path) as node:
            await node.pwrite(GRAIN, b"\x22" * GRAIN)
            return [
                await attempt(node, *where)
                for where in ((GRAIN, GRAIN), (0, 3 * GRAIN), (3 * GRAIN, 512), (4 * GRAIN, GRAIN + 512), (0, 512))
            ]

    refused = ["Input/output error", "Input/output error", "Invalid argument", "Invalid argument", "Input/output error"]
    assert run(write) == refused
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 3
    assert all(line.endswith(": Could not write to allocated cluster for streamOptimized") for line in complaints)
    found = content(path)
    # What came before the grain that was there is stored, as QEMU stores it.
    assert [found[at] for at in range(0, 8 * GRAIN, GRAIN)] == [0x11, 0x22, 0, 0, 0x11, 0, 0, 0]
