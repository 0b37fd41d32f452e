"""Overlays: content ids tell whether the image below is still the one that an overlay was made on."""

import re
import sys
from pathlib import Path

import pytest

from backcheck_engine.block.child import ChildRole
from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import needs_qemu, qemu_img, qemu_io, run, tool
from tests.vmdk.disks import GRAIN, content, holds, make, opened, text_of

SIZE = 4 * GRAIN


def _write(path: Path, offset: int, data: bytes) -> None:
    async def write() -> None:
        async with opened(path) as node:
            await node.pwrite(offset, data)

    run(write)


def _id(path: Path) -> str:
    found = re.search(r"(?m)^CID=(\w+)", text_of(path))
    assert found is not None
    return found[1]


@needs_qemu
@pytest.mark.parametrize("maker", ["engine", "qemu"])
def test_an_overlay(maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    base, overlay = Path("base.vmdk"), Path("over.vmdk")
    make(base, SIZE)
    _write(base, 0, b"\x11" * 3 * GRAIN)
    if maker == "engine":
        make(overlay, SIZE, backing_file="base.vmdk", backing_fmt="vmdk")
    else:
        qemu_img("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", overlay, str(SIZE))
    _write(overlay, GRAIN + 5000, b"\x22" * 100)
    expected = bytearray(b"\x11" * 3 * GRAIN + bytes(GRAIN))
    expected[GRAIN + 5000 : GRAIN + 5100] = b"\x22" * 100
    assert content(overlay) == bytes(expected)
    holds(overlay, bytes(expected), tmp_path)


def test_the_first_write_gives_another_id_and_the_next_ones_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, SIZE, subformat="monolithicFlat")
    before, size = _id(path), path.stat().st_size

    async def write() -> list[str]:
        async with opened(path) as node:
            found = []
            for offset in (0, GRAIN):
                await node.pwrite(offset, b"\x11" * 512)
                found.append(_id(path))
        return found

    first, second = run(write)
    assert before != first == second == _id(path)
    assert path.stat().st_size == size


@pytest.mark.parametrize("old", ["0x12", "123456789a", " 5"])
def test_another_id_takes_the_place_of_the_whole_old_one(old: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, SIZE, subformat="monolithicFlat")
    path.write_text(re.sub(r"(?m)^CID=.*", f"CID={old}", path.read_text()))
    _write(path, 0, b"\x11" * 512)
    assert re.search(r"(?m)^CID=[0-9a-f]{8}$", text_of(path))


@needs_qemu
def test_a_changed_backing_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("base.vmdk"), SIZE)
    make(Path("over.vmdk"), SIZE, backing_file="base.vmdk", backing_fmt="vmdk")
    _write(Path("over.vmdk"), 0, b"\x22" * GRAIN)
    qemu_io(Path("base.vmdk"), "write -P 1 0 64k", options=("-f", "vmdk"))

    async def look() -> bytes:
        async with opened(Path("over.vmdk")) as node:
            own = bytes(await node.pread(0, GRAIN))
            for attempt in (node.pread(GRAIN, 512), node.pwrite(GRAIN, b"x" * 512)):
                with pytest.raises(BlockError, match="Invalid argument"):
                    await attempt
        return own

    assert run(look) == b"\x22" * GRAIN


def test_an_image_that_names_no_parent_takes_any(tmp_path: Path) -> None:
    raw, path = tmp_path / "a.raw", tmp_path / "a.vmdk"
    raw.write_bytes(b"\x33" * SIZE)
    make(path, SIZE)

    async def look() -> bytes:
        graph = Graph()
        below = await open_node(graph, {"driver": "raw", "read-only": True}, filename=str(raw))
        node = await open_node(graph, {"driver": "vmdk"}, filename=str(path))
        graph.attach(below, "backing", owner=node, role=ChildRole.COW)
        await node.pwrite(100, b"\x44" * 100)
        found = bytes(await node.pread(0, GRAIN))
        await node.unref()
        await below.unref()
        return found

    assert run(look) == b"\x33" * 100 + b"\x44" * 100 + b"\x33" * (GRAIN - 200)


@needs_qemu
def test_a_commit_goes_into_the_image_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("base.vmdk"), SIZE)
    _write(Path("base.vmdk"), 0, b"\x11" * SIZE)
    make(Path("over.vmdk"), SIZE, backing_file="base.vmdk", backing_fmt="vmdk")
    _write(Path("over.vmdk"), GRAIN, b"\x22" * 512)
    done = tool(Path(sys.executable).with_name("backcheck-img"), "commit", "-f", "vmdk", "over.vmdk")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Image committed.\n", "")
    holds(Path("base.vmdk"), b"\x11" * GRAIN + b"\x22" * 512 + b"\x11" * (3 * GRAIN - 512), tmp_path)


def test_what_an_image_says_about_its_files_is_not_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("a.vmdk"), SIZE, subformat="monolithicFlat")

    async def look() -> str:
        tree: JsonObject = {"driver": "vmdk", "file": {"driver": "raw", "file.filename": "a.vmdk"}}
        node = await open_node(Graph(), tree, read_only=True)
        name = node.filename
        await node.unref()
        return name

    inner = '{"driver": "file", "filename": "a.vmdk"}'
    assert run(look) == f'json:{{"driver": "vmdk", "file": {{"driver": "raw", "file": {inner}}}}}'
