"""Images made by the real tools: snapshots, compressed clusters, backing chains, bitmaps, unknown extensions."""

import json
import os
import struct
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.errors import BlockError, EngineError
from backcheck_engine.json_value import JsonValue
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, qemu_io, run, tool

KiB, MiB = 1 << 10, 1 << 20


async def _content(path: Path) -> bytes:
    async with opened(path, read_only=True) as node:
        return bytes(await node.pread(0, node.size))


@needs_qemu
@pytest.mark.parametrize(
    "options", ["compression_type=zlib", "compression_type=zstd", "cluster_size=4k", "cluster_size=2M", "compat=0.10"]
)
def test_compressed_clusters_are_read(options: str, tmp_path: Path) -> None:
    raw, path = tmp_path / "t.raw", tmp_path / "t.qcow2"
    text = b"".join(b"%d bottles of beer\n" % number for number in range(120_000))
    raw.write_bytes((text + os.urandom(MiB) + bytes(MiB) + text)[: 4 * MiB])
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, path)
    assert run(lambda: _content(path)) == raw.read_bytes()


@needs_qemu
@pytest.mark.parametrize(
    "options", ["compression_type=zlib", "compression_type=zstd", "cluster_size=4k,refcount_bits=1"]
)
def test_compressed_writes_are_read_by_qemu(options: str, tmp_path: Path) -> None:
    raw, path = tmp_path / "t.raw", tmp_path / "t.qcow2"
    text = b"".join(b"%d green bottles\n" % number for number in range(60_000))
    content = (text + os.urandom(256 * KiB) + text)[: 2 * MiB - 512].ljust(2 * MiB - 512, b"x")
    raw.write_bytes(content)
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, str(len(content)))

    async def use() -> None:
        async with opened(path) as node:
            for at in range(0, len(content), 256 * KiB):
                await node.pwrite_compressed(at, content[at : at + 256 * KiB])
            with pytest.raises(BlockError, match="Input/output error"):
                await node.pwrite_compressed(0, content[: 64 * KiB])

    run(use)
    check(path)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, path)
    # A refcount of one bit cannot count two pieces of compressed data in a cluster.
    assert path.stat().st_size < len(content) or "refcount_bits=1" in options


@needs_qemu
def test_a_chain_is_read_through(tmp_path: Path) -> None:
    base, middle, top = (tmp_path / name for name in ("base.qcow2", "middle.qcow2", "top.qcow2"))
    qemu_img("create", "-q", "-f", "qcow2", base, "1M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", middle, "2M", cwd=tmp_path)
    qemu_img("create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", top, "3M", cwd=tmp_path)
    qemu_io(base, "write -P 1 0 1M")
    qemu_io(middle, "write -P 2 512k 1M")
    qemu_io(top, "write -P 3 1M 64k", "write -z 0 64k")
    raw = tmp_path / "t.raw"
    qemu_img("convert", "-f", "qcow2", "-O", "raw", top, raw)
    assert run(lambda: _content(top)) == raw.read_bytes()


@needs_qemu
def test_a_snapshot_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -P 1 0 1M")
    qemu_img("snapshot", "-c", "before", path)

    async def use() -> None:
        async with opened(path) as node:
            assert [snapshot.name for snapshot in node.driver.snapshots()] == ["before"]
            await node.pwrite(1000, b"\x02" * 300_000)
            await node.discard(512 * KiB, 128 * KiB)
            await node.pwrite_zeroes(768 * KiB, 64 * KiB)
            await node.truncate(2 * MiB, exact=True)

    run(use)
    check(path)
    qemu_io(path, "read -P 2 1000 300000", "read -P 1 0 1000", "read -P 0 512k 128k", "read -P 0 768k 64k")
    qemu_img("snapshot", "-a", "before", path)
    check(path)
    qemu_io(path, "read -P 1 0 1M")


@needs_qemu
def test_unknown_extensions_and_features_are_kept_or_cleared(tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    image = bytearray(path.read_bytes())
    end = image.index(bytes(8), 112 + 8 + 384)
    image[end : end + 16] = struct.pack(">II", 0x12345678, 5) + b"hello\0\0\0"
    struct.pack_into(">Q", image, 88, 1 << 40)
    path.write_bytes(image)

    async def use() -> None:
        async with opened(path) as node:
            await node.driver.change_backing_file("base", "raw")

    run(use)
    changed = path.read_bytes()
    assert struct.pack(">II", 0x12345678, 5) + b"hello" in changed[:65536]
    assert changed[88:96] == bytes(8)
    info = json.loads(qemu_img("info", "-U", "--output=json", path))
    assert (info["backing-filename"], info["backing-filename-format"]) == ("base", "raw")


INFO_OPTIONS = [
    "compat=0.10",
    "compat=1.1,lazy_refcounts=on",
    "extended_l2=on,refcount_bits=8",
    "compression_type=zstd",
    "data_file=d.raw",
    "data_file=d.raw,data_file_raw=on",
]


@needs_qemu
@pytest.mark.parametrize("options", INFO_OPTIONS)
def test_the_specific_information_is_qemus(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, "t.qcow2", "1M")
    expected = json.loads(qemu_img("info", "--output=json", "t.qcow2"))["format-specific"]

    async def look() -> object:
        async with opened(Path("t.qcow2"), read_only=True) as node:
            return node.driver.specific_info()

    assert json.dumps(run(look)) == json.dumps(expected)


BAD_OPTIONS = [
    {"cache-size": 1 << 20, "l2-cache-size": 1 << 19, "refcount-cache-size": 1 << 19},
    {"cache-size": 1 << 20, "l2-cache-size": 1 << 21},
    {"cache-size": 1 << 20, "refcount-cache-size": 1 << 21},
    {"l2-cache-entry-size": 1000},
    {"l2-cache-entry-size": 1 << 20},
    {"overlap-check": "most"},
    {"overlap-check": "all", "overlap-check.template": "none"},
    {"nosuch": 1},
    {"data-file": "nope"},
    {"lazy-refcounts": True},
    {"discard-no-unref": True},
]


@needs_qemu
@pytest.mark.parametrize("options", BAD_OPTIONS, ids=lambda options: ",".join(options))
def test_bad_options_are_refused_in_the_same_words(options: dict[str, JsonValue], tmp_path: Path) -> None:
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=0.10", path, "1M")
    text = ",".join(
        ["driver=qcow2", f"file.filename={path}"]
        + [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in options.items()]
    )
    done = tool("qemu-io", "--image-opts", "-c", "length", text.replace("=true", "=on"))

    async def use() -> str:
        try:
            node = await open_node(
                Graph(), {"driver": "qcow2", "file": {"driver": "file", "filename": str(path)}, **options}
            )
        except EngineError as error:
            return error.message
        await node.unref()
        return ""

    ours = run(use)
    if "discard-no-unref" in options and "does not support the option" in done.stderr:
        pytest.skip("this QEMU does not have discard-no-unref")
    assert f": {ours}\n" in done.stderr
    assert ours


@needs_qemu
@pytest.mark.parametrize("size", [100, 1000, 128 * KiB + 700])
def test_a_disk_ends_with_a_whole_sector(size: int, tmp_path: Path) -> None:
    """Whatever its header says."""
    path = tmp_path / "t.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    with path.open("r+b") as file:
        file.seek(24)
        file.write(struct.pack(">Q", size))
    told = json.loads(qemu_img("info", "--output=json", "-f", "qcow2", path))

    async def use() -> int:
        async with opened(path) as node:
            last = node.size & -64 * KiB
            await node.pwrite_compressed(last, b"x" * (node.size - last))
            return node.size

    assert run(use) == told["virtual-size"]
    check(path)
