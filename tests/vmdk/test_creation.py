"""Making images: what is printed, refused and written, beside qemu-img."""

import os
import re
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation import blockdev_create, create_image, create_options, help_lines
from backcheck_engine.errors import EngineError
from backcheck_engine.json_value import JsonObject
from tests.qcow2.qemu import needs_qemu, qemu_img, run, tool
from tests.vmdk.disks import make, start_of, text_of, without_ids

MIB = 1 << 20
GOOD: list[tuple[int, dict[str, str]]] = [
    (1000000, {}),
    (0, {}),
    (100 * MIB, {"subformat": "streamOptimized"}),
    (100 * MIB, {"zeroed_grain": "on", "hwversion": "9", "toolsversion": "12"}),
    (9 << 30, {"adapter_type": "lsilogic", "compat6": "on"}),
    (5 * MIB, {"subformat": "monolithicFlat", "adapter_type": "legacyESX"}),
    ((4 << 30) + 512, {"subformat": "twoGbMaxExtentSparse"}),
    ((2 << 30) + 512, {"subformat": "twoGbMaxExtentFlat"}),
    (3 * MIB, {"backing_file": "base.vmdk", "backing_fmt": "vmdk"}),
]
BAD: list[dict[str, str]] = [
    {"subformat": "foo"},
    {"subformat": ""},
    {"adapter_type": "IDE"},
    {"adapter_type": ""},
    {"compat6": "on", "hwversion": "7"},
    {"zeroed_grain": "on", "subformat": "monolithicFlat"},
    {"subformat": "twoGbMaxExtentFlat", "backing_file": "base.vmdk", "backing_fmt": "vmdk"},
    {"backing_file": "base.vmdk", "backing_fmt": "raw"},
    {"backing_fmt": "raw"},
    {"cluster_size": "64k"},
]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make(Path("base.vmdk"), 2 * MIB)
    return tmp_path


def _argv(options: dict[str, str]) -> list[str]:
    return [item for name, value in options.items() for item in ("-o", f"{name}={value}")]


def _ours(size: int, options: dict[str, str]) -> list[str]:
    lines: list[str] = []

    async def create() -> None:
        try:
            await create_image(Graph(), "a.vmdk", "vmdk", size=size, options=options, out=lines.append)
        except EngineError as error:
            lines.append(error.message)

    run(create)
    return lines


def _files(folder: Path) -> dict[str, int]:
    """What was made, with the sizes; those of descriptor files depend on how many digits an id has."""
    return {
        path.name: path.stat().st_size
        for path in folder.glob("a*.vmdk")
        if start_of(path, 4) == b"KDMV" or path.stat().st_size > 4096
    }


@needs_qemu
@pytest.mark.parametrize(("size", "options"), GOOD, ids=str)
def test_made_alike(size: int, options: dict[str, str], folder: Path) -> None:
    ours = _ours(size, options)
    our_files, our_text = _files(folder), without_ids(text_of(folder / "a.vmdk"))
    our_start = start_of(folder / "a.vmdk", 512)
    our_tables = {name: _tables(folder / name) for name in our_files}
    for path in folder.glob("a*.vmdk"):
        path.unlink()
    theirs = qemu_img("create", "-f", "vmdk", *_argv(options), "a.vmdk", str(size)).splitlines()
    assert ours == theirs
    assert (our_files, our_text) == (_files(folder), without_ids(text_of(folder / "a.vmdk")))
    assert our_tables == {name: _tables(folder / name) for name in our_files}
    if our_start.startswith(b"KDMV"):
        assert our_start == start_of(folder / "a.vmdk", 512)


def _tables(path: Path) -> bytes:
    """The tables of an extent, behind its descriptor; nothing of a flat one."""
    start = start_of(path, 1 << 20)
    return start[21 * 512 : struct.unpack_from("<Q", start, 64)[0] * 512] if start.startswith(b"KDMV") else b""


@needs_qemu
@pytest.mark.parametrize("options", BAD, ids=str)
def test_refused_alike(options: dict[str, str], folder: Path) -> None:
    ours, left = _ours(MIB, options), sorted(os.listdir(folder))
    done = tool("qemu-img", "create", "-f", "vmdk", *_argv(options), "a.vmdk", str(MIB))
    theirs = [*done.stdout.splitlines(), *done.stderr.removeprefix("qemu-img: a.vmdk: ").splitlines()]
    assert (ours, left) == (theirs, sorted(os.listdir(folder)))


def test_what_could_not_be_opened_is_not_made(folder: Path) -> None:
    assert _ours(2000 << 40, {})[1] == "The image size is too large for file format 'vmdk'"


@needs_qemu
def test_help() -> None:
    lines = [line for line in qemu_img("create", "-f", "vmdk", "-o", "help").splitlines() if line.startswith("  ")]
    assert help_lines(create_options("vmdk")) == lines


@needs_qemu
@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse"])
def test_blockdev_create_on_nodes(subformat: str, folder: Path) -> None:
    wanted: JsonObject = {"driver": "vmdk", "file": "n0", "size": 3 << 30, "subformat": subformat}
    count = 1 if subformat == "monolithicFlat" else 2

    async def attempt(graph: Graph, extents: list[str]) -> str:
        try:
            await blockdev_create(graph, {**wanted, "extents": list(extents)})
        except EngineError as error:
            return error.message
        return ""

    async def create() -> list[str]:
        graph, nodes = Graph(), []
        for name in ("n0", "n1", "n2", "n3"):
            await blockdev_create(graph, {"driver": "file", "filename": f"a-{name}.vmdk", "size": 0})
            tree: JsonObject = {"driver": "file", "filename": f"a-{name}.vmdk", "node-name": name}
            nodes.append(await open_node(graph, tree))
        names = ["n1", "n2", "n3"]
        found = [await attempt(graph, names[:many]) for many in (count - 1, count + 1, count)]
        for node in nodes:
            await node.unref()
        return found

    missing = f"Extent [{count - 1}] not specified"
    assert run(create) == [missing, "List of extents contains unused extents", ""]
    qemu_img("check", "-f", "vmdk", "a-n0.vmdk")
    assert re.findall(r'"(a-n\d.vmdk)"', text_of(folder / "a-n0.vmdk")) == ["a-n1.vmdk", "a-n2.vmdk"][:count]
