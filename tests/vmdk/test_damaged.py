"""Damaged images: refused in QEMU's words where QEMU refuses, and never a crash, a hang or huge memory."""

import errno
import json
import re
import struct
import zlib
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.image_upkeep import Repair
from backcheck_engine.block.opening import open_node
from backcheck_engine.block.request import Buffer
from backcheck_engine.drivers.protocol.file import FileDriver
from backcheck_engine.errors import BlockError, EngineError
from tests.qcow2.qemu import needs_qemu, run, tool
from tests.vmdk.disks import GRAIN, make, opened, table_offsets

FIELDS = {
    "version": (4, "<I"),
    "capacity": (12, "<Q"),
    "granularity": (20, "<Q"),
    "descriptor": (28, "<Q"),
    "entries": (44, "<I"),
    "directory": (56, "<Q"),
    "grains": (64, "<Q"),
    "compression": (77, "<H"),
}
REFUSED: dict[str, int] = {
    "version 4": 4,
    "capacity 0": 0,
    "granularity 0": 0,
    "granularity 2097153": 0x200001,
    "granularity huge": 2**63,
    "entries 0": 0,
    "entries 513": 513,
    "directory at end": 2**64 - 1,
    "directory past reach": 2**55 - 1,
    "grains 1000000": 1000000,
}
TAKEN: dict[str, int] = {
    "version 0": 0,
    "granularity 3": 3,
    "granularity 2097152": 0x200000,
    "descriptor 0": 0,
    "entries 100": 100,
    "directory 1000000": 1000000,
    "compression 1": 1,
    "capacity 1099511627776": 1 << 40,
}
OURS: dict[str, str] = {
    "capacity 18014398509481984": "L1 size too big",
    "capacity 9223372036854775808": "L1 size too big",
}
LINES: list[str] = [
    'RW 128 FLAT "gone.vmdk" 0',
    'RW 128 FLAT "a-flat.vmdk"',
    'RW 128 FLAT "a-flat.vmdk" -1',
    'RW 128 SPARSE "a-flat.vmdk" 0',
    'RW 128 SPARSE "a-flat.vmdk"',
    'RW 128 VMFS "a-flat.vmdk" 0',
    'RW 128 FOO "a-flat.vmdk" 0',
    'RW 128 FLAT "a-fl',
    'RW 9223372036854775807 FLAT "a-flat.vmdk" 0',
]


@pytest.fixture(name="sparse", scope="module")
def _sparse(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "t.vmdk"
    make(path, 80 * GRAIN)
    return path.read_bytes()


def _ours(path: Path) -> str:
    """The engine's error on opening an image, reading from it and checking it, or ''."""

    async def look() -> str:
        try:
            node = await open_node(Graph(), {"driver": "vmdk"}, filename=str(path), read_only=True)
        except EngineError as error:
            return error.message
        try:
            await node.pread(0, min(node.size, GRAIN))
            await node.driver.check(Repair.NONE)
        finally:
            await node.unref()
        return ""

    return run(look)


def _theirs(path: Path) -> str:
    """qemu-img's error, or ''."""
    done = tool("qemu-img", "info", "-f", "vmdk", path.name, cwd=path.parent)
    return done.stderr.strip().removeprefix(f"qemu-img: Could not open '{path.name}': ")


def _damaged(image: bytes, what: str, value: int) -> bytes:
    damaged = bytearray(image)
    offset, kind = FIELDS[what.split()[0]]
    struct.pack_into(kind, damaged, offset, value)
    return bytes(damaged)


@needs_qemu
@pytest.mark.parametrize("what", REFUSED)
def test_headers_that_are_refused(what: str, sparse: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.vmdk")
    path.write_bytes(_damaged(sparse, what, REFUSED[what]))
    ours = _ours(path)
    assert ours
    assert ours == _theirs(path)


@pytest.mark.parametrize("what", TAKEN)
def test_headers_that_are_not(what: str, sparse: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    path.write_bytes(_damaged(sparse, what, TAKEN[what]))
    assert _ours(path) == ""


@pytest.mark.parametrize("what", OURS)
def test_sizes_that_qemu_stumbles_over(what: str, sparse: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    path.write_bytes(_damaged(sparse, what, int(what.split()[1])))
    assert _ours(path) == OURS[what]


@needs_qemu
@pytest.mark.parametrize("length", [0, 4, 100, 512, 12000])
def test_files_cut_off(length: int, sparse: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.vmdk")
    path.write_bytes(sparse[:length])
    assert _ours(path) == _theirs(path) != ""


@needs_qemu
@pytest.mark.parametrize("line", LINES)
def test_lines_about_extents(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.vmdk")
    make(path, GRAIN, subformat="monolithicFlat")
    path.write_text(path.read_text().replace('RW 128 FLAT "a-flat.vmdk" 0', line))
    assert _ours(path) == _theirs(path) != ""


@needs_qemu
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("createType", "Type"),
        ("monolithicFlat", "foo"),
        ("monolithicFlat", "f" * 200),
        ("CID=", "ID="),
        ("RW ", "RW x"),
    ],
)
def test_descriptors(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.vmdk")
    make(path, GRAIN, subformat="monolithicFlat")
    path.write_text(path.read_text().replace(old, new))
    # QEMU ends in an assertion where there is no extent; for the engine that is an empty disk.
    assert _ours(path) == ("" if old == "RW " else _theirs(path))


@needs_qemu
@pytest.mark.parametrize(
    "line",
    ["CID=", "CID=zz", "CID=12zz", "CID=0x12", "CID= 12", "CID=123456789a", "CID=1" + "0" * 20, "CID=-1", "CID=+a", ""],
)
def test_content_ids(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, GRAIN, subformat="monolithicFlat")
    path.write_text(re.sub(r"(?m)^CID=.*", line, path.read_text()))
    told = tool("qemu-img", "info", "--output=json", "-f", "vmdk", path)

    async def look() -> int:
        async with opened(path, read_only=True) as node:
            info = node.driver.specific_info()
            assert info is not None
            assert isinstance(info["data"], dict)
            assert isinstance(info["data"]["cid"], int)
            return info["data"]["cid"]

    if told.returncode:
        assert _ours(path) == f"Could not open '{path}': Invalid argument"
    else:
        assert run(look) == json.loads(told.stdout)["format-specific"]["data"]["cid"]


def test_an_extent_that_contains_its_own_descriptor_does_not_go_round(sparse: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
        'createType="twoGbMaxExtentSparse"\nRW 128 SPARSE "a.vmdk"\n'
    )
    image = bytearray(_damaged(sparse, "capacity 0", 0))
    image[512 : 512 + 10240] = text.encode().ljust(10240, b"\0")
    path.write_bytes(bytes(image))
    assert _ours(path) == ""


def _first_table(image: bytes) -> int:
    (directory,) = struct.unpack_from("<Q", image, 56)
    (table,) = struct.unpack_from("<I", image, directory * 512)
    return int(table) * 512


def test_a_grain_behind_the_end(sparse: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    image = bytearray(sparse)
    struct.pack_into("<I", image, _first_table(sparse) + 4, 0xFFFFFF00)
    path.write_bytes(bytes(image))

    async def check() -> tuple[list[str], str]:
        async with opened(path, read_only=True) as node:
            assert not any(bytes(await node.pread(0, 2 * GRAIN)))
            result = await node.driver.check(Repair.NONE)
            return result.messages, str(result.failure)

    assert run(check) == (["ERROR: cluster offset for sector 128 points after EOF"], "Invalid argument")


def test_a_table_that_cannot_be_read_ends_the_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 600 * GRAIN)
    bad, read = table_offsets(path)[0][1], FileDriver.pread

    async def fail(driver: FileDriver, offset: int, length: int) -> Buffer:
        if offset == bad:
            raise BlockError.from_errno(errno.EIO)
        return await read(driver, offset, length)

    async def look() -> None:
        async with opened(path) as node:
            await node.pwrite(511 * GRAIN, b"\x11" * GRAIN)
            monkeypatch.setattr(FileDriver, "pread", fail)
            with pytest.raises(EngineError, match="Input/output error"):
                await node.pread(511 * GRAIN, 2 * GRAIN)
            assert bytes(await node.pread(511 * GRAIN, GRAIN)) == b"\x11" * GRAIN

    run(look)


def test_a_write_where_there_is_no_table_harms_nothing(sparse: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    image = bytearray(sparse)
    (directory,) = struct.unpack_from("<Q", image, 56)
    struct.pack_into("<I", image, directory * 512, 0)
    path.write_bytes(bytes(image))

    async def write() -> None:
        async with opened(path) as node:
            with pytest.raises(EngineError, match="Invalid argument"):
                await node.pwrite(0, b"\x55" * GRAIN)

    run(write)
    assert path.read_bytes() == bytes(image)


@pytest.mark.parametrize("damage", ["length", "stream", "unfinished", "too much"])
def test_compressed_grains_that_are_none(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    make(path, 4 * GRAIN, subformat="streamOptimized")

    async def write() -> None:
        async with opened(path) as node:
            await node.pwrite(0, b"\x11" * GRAIN)

    run(write)
    image = bytearray(path.read_bytes())
    place = struct.unpack_from("<I", image, _first_table(bytes(image)))[0] * 512
    bomb = zlib.compress(bytes(4 << 20))
    packed = {
        "length": struct.pack("<QI", 0, 1 << 31),
        "stream": struct.pack("<QI", 0, 100) + b"\xff" * 100,
        "unfinished": struct.pack("<QI", 0, 20) + zlib.compress(b"\x11" * GRAIN)[:20],
        "too much": struct.pack("<QI", 0, len(bomb)) + bomb,
    }[damage]
    image[place : place + len(packed)] = packed
    path.write_bytes(bytes(image))

    async def read() -> None:
        async with opened(path, read_only=True) as node:
            with pytest.raises(EngineError, match="Invalid argument"):
                await node.pread(0, GRAIN)

    run(read)


def _with_footer(image: bytes, *, kind: int = 3) -> bytes:
    """The image as one that was written as a stream: its header comes again at the end, with what came later."""
    marker = struct.pack("<QII", 1, 0, kind).ljust(512, b"\0")
    return _damaged(image, "directory", 2**64 - 1) + marker + image[:512] + bytes(512)


@needs_qemu
def test_a_footer_counts_until_something_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.vmdk")
    make(path, 4 * GRAIN, subformat="streamOptimized")
    plain = path.read_bytes()
    path.write_bytes(_with_footer(plain, kind=4))
    assert _ours(path) == _theirs(path) == "Invalid footer"
    path.write_bytes(_with_footer(plain))
    assert _ours(path) == _theirs(path).strip() == ""

    async def write() -> None:
        async with opened(path) as node:
            await node.pwrite(GRAIN, b"\x66" * GRAIN)

    run(write)
    done = tool("qemu-io", "-f", "vmdk", "-c", "read -P 0x66 64k 64k", "-c", "read -P 0 0 64k", path)
    assert done.returncode == 0, done.stdout + done.stderr
