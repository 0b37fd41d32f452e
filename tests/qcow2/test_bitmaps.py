"""Persistent bitmaps: what the engine stores the real QEMU loads, and the other way round, bit for bit."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backcheck_engine.block.node import Node
from tests.qcow2.bitmap_witness import needs_qemu_system, qemu
from tests.qcow2.qemu import check, opened, qemu_img, qemu_io, run

KiB, MiB = 1 << 10, 1 << 20
SHAPES = {
    "default": ("cluster_size=64k", "16M"),
    "small-clusters": ("cluster_size=512", "1000000"),
    "large-clusters": ("cluster_size=2M", "1G"),
    "extended-l2": ("cluster_size=16k,extended_l2=on", "64M"),
    "wide-refcounts": ("cluster_size=4k,refcount_bits=64", "20M"),
    "narrow-refcounts": ("cluster_size=4k,refcount_bits=1", "20M"),
    "data-file": ("data_file={folder}/data.raw", "16M"),
    "lazy": ("lazy_refcounts=on", "16M"),
    "one-sector": ("compat=1.1", "1"),
    "terabyte": ("cluster_size=64k", "1T"),
}


def stored(path: Path) -> list[dict[str, Any]]:
    """The bitmaps that qemu-img shows, in the order of the directory."""
    info = json.loads(qemu_img("info", "-U", "--output=json", path))
    bitmaps: list[dict[str, Any]] = info["format-specific"]["data"].get("bitmaps", [])
    return bitmaps


def digests(path: Path) -> dict[str, str]:
    """What the engine finds in an image, by the bitmap's name."""

    async def look() -> dict[str, str]:
        async with opened(path, read_only=True) as node:
            return {str(bitmap.name): bitmap.sha256() for bitmap in node.bitmaps if not bitmap.inconsistent}

    return run(look)


def add(node: Node, name: str, granularity: int = 64 * KiB, *, recording: bool = True) -> None:
    """Give the node a bitmap that is to be stored."""
    node.bitmaps.create(granularity, name=name, recording=recording).persistent = True


async def scribble(node: Node, generator: random.Random, times: int) -> None:
    """Write here and there."""
    for _ in range(times):
        offset = generator.randrange(node.size)
        length = min(generator.choice([1, 512, 70000, 300000]), node.size - offset)
        await node.pwrite(offset, b"x" * length)


@needs_qemu_system
@pytest.mark.parametrize("shape", SHAPES)
def test_both_programs_find_what_the_other_one_stored(shape: str, tmp_path: Path) -> None:
    path, generator = tmp_path / "t.qcow2", random.Random(shape)
    options, size = SHAPES[shape]
    qemu_img("create", "-q", "-f", "qcow2", "-o", options.format(folder=tmp_path), path, size)
    expected: dict[str, str] = {}

    async def use() -> None:
        async with opened(path) as node:
            granularities = (512, 4 * KiB, 64 * KiB, MiB) if node.size < 1 << 32 else (64 * KiB, 1 << 31)
            for granularity in granularities:
                add(node, f"b{granularity}, été", granularity)
            add(node, "off", recording=False)
            await scribble(node, generator, 30)
            expected.update({str(bitmap.name): bitmap.sha256() for bitmap in node.bitmaps})

    run(use)
    check(path)
    with qemu(path) as monitor:
        assert monitor.digests() == expected
        facts = monitor.facts()
        assert {name for name, fact in facts.items() if fact["recording"]} == expected.keys() - {"off"}
        monitor.bitmap("add", "of QEMU", persistent=True)
        monitor.write(0, 512)
        monitor.bitmap("remove", "off")
        expected = monitor.digests()
    check(path)
    assert digests(path) == expected


@needs_qemu_system
def test_bitmaps_are_in_use_from_the_opening_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_img("bitmap", "--add", path, "on")
    qemu_img("bitmap", "--add", "--disable", path, "off")
    flags = [bitmap["flags"] for bitmap in stored(path)]
    assert flags == [["auto"], []]

    async def use() -> None:
        async with opened(path) as node:
            assert [bitmap["flags"] for bitmap in stored(path)] == [["in-use", "auto"], ["in-use"]]
            assert {bitmap.name: bitmap.recording for bitmap in node.bitmaps} == {"on": True, "off": False}
            add(node, "new")
            assert [bitmap["name"] for bitmap in stored(path)] == ["on", "off"]

    run(use)
    assert [(bitmap["name"], bitmap["flags"]) for bitmap in stored(path)] == [
        ("on", ["auto"]),
        ("off", []),
        ("new", ["auto"]),
    ]
    check(path)


@needs_qemu_system
def test_after_a_kill_bitmaps_are_good_only_for_removal(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    for name in ("b0", "b1"):
        qemu_img("bitmap", "--add", path, name)
    with qemu(path, kill=True) as monitor:
        monitor.write(0, 512)

    async def use() -> None:
        async with opened(path) as node:
            assert all(bitmap.inconsistent and bitmap.persistent for bitmap in node.bitmaps)
            b0 = node.bitmaps.find("b0")
            assert b0 is not None
            await node.driver.remove_stored_bitmap("b0")
            node.bitmaps.remove(b0)

    run(use)
    check(path)
    with qemu(path) as monitor:
        assert monitor.facts()["b1"]["inconsistent"]
        monitor.bitmap("remove", "b1")
    assert stored(path) == []
    check(path)


@needs_qemu_system
def test_a_removed_bitmap_leaves_the_image_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    for name in ("b0", "b1"):
        qemu_img("bitmap", "--add", path, name)
    qemu_io(path, "write 0 512k")

    async def use() -> None:
        async with opened(path) as node:
            for name in ("b1", "nobody", "b0"):
                await node.driver.remove_stored_bitmap(name)
                assert "b1" not in [bitmap["name"] for bitmap in stored(path)]
            assert stored(path) == []
            for bitmap in list(node.bitmaps):
                node.bitmaps.remove(bitmap)

    run(use)
    check(path)
    assert stored(path) == []


def test_an_image_opened_read_only_has_bitmaps_that_do_not_change(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_img("bitmap", "--add", path, "b0")
    before = path.read_bytes()

    async def use() -> None:
        async with opened(path, read_only=True) as node:
            (bitmap,) = node.bitmaps
            assert bitmap.read_only
            assert bitmap.recording
            assert not bitmap.inconsistent

    run(use)
    assert path.read_bytes() == before


@needs_qemu_system
def test_random_histories_of_both_programs(tmp_path: Path, repetitions: Callable[[int], int]) -> None:
    path = tmp_path / "t.qcow2"
    for seed in range(repetitions(20)):
        generator = random.Random(seed)
        cluster_size = generator.choice(["512", "4k", "64k"])
        qemu_img("create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster_size}", path, "8M")
        expected: dict[str, str] = {}
        for turn in range(6):
            if turn % 2:
                with qemu(path) as monitor:
                    assert monitor.digests() == expected, (seed, turn)
                    monitor.bitmap("add", f"q{turn}", persistent=True, granularity=generator.choice([512, 65536]))
                    monitor.write(generator.randrange(100) * 64 * KiB, generator.choice([512, 65536, 300 * KiB]))
                    if expected:
                        monitor.bitmap(
                            generator.choice(["remove", "clear", "disable"]), generator.choice(list(expected))
                        )
                    expected = monitor.digests()
            else:
                expected = asyncio.run(_engine_turn(path, generator, turn, expected))
            check(path)
        assert digests(path) == expected


async def _engine_turn(path: Path, generator: random.Random, turn: int, expected: dict[str, str]) -> dict[str, str]:
    """One opening by the engine: it finds what is expected, changes something, and says what it leaves."""
    async with opened(path) as node:
        assert {bitmap.name: bitmap.sha256() for bitmap in node.bitmaps} == expected
        add(node, f"e{turn}", generator.choice([512, 4 * KiB, MiB]))
        await scribble(node, generator, 5)
        victim = generator.choice(list(node.bitmaps))
        assert victim.name is not None
        match generator.randrange(4):
            case 0:
                await node.driver.remove_stored_bitmap(victim.name)
                node.bitmaps.remove(victim)
            case 1:
                victim.clear_all()
            case 2:
                victim.recording = False
            case _:
                size = generator.randrange(4 * MiB, 12 * MiB) // 512 * 512
                await node.truncate(size, exact=True)
        return {str(bitmap.name): bitmap.sha256() for bitmap in node.bitmaps}
