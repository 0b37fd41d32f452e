"""Images of every kind that qcow2 knows, and where their tables are."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tests.qcow2.qemu import qemu_img, qemu_io, tool
from tests.soak.damage import Seed

OFFSET = (1 << 56) - 512
"""The bits of an entry that are an offset."""
BITMAPS = 0x23852875


def make_seeds(folder: Path) -> list[Seed]:
    """The images, made by the real tools in that folder, where those that need others keep finding them."""
    made = [_plain(folder), _bitmaps(folder), _compressed(folder), _extended(folder), _small(folder), _old(folder)]
    made += [_overlay(folder), _data_file(folder)]
    return [Seed(name=path.name, data=path.read_bytes(), tables=tuple(_tables(path.read_bytes()))) for path in made]


def _created(folder: Path, name: str, options: str = "", size: str = "1M") -> Path:
    path = folder / name
    qemu_img("create", "-q", "-f", "qcow2", *(("-o", options) if options else ()), path, size)
    return path


def _plain(folder: Path) -> Path:
    path = _created(folder, "plain")
    qemu_io(path, "write -P 1 0 200k", "write -z 256k 64k")
    qemu_img("snapshot", "-c", "first", path)
    qemu_io(path, "write -P 2 64k 128k")
    qemu_img("snapshot", "-c", "second with a longer name", path)
    return path


def _bitmaps(folder: Path) -> Path:
    path = _created(folder, "bitmaps", "cluster_size=4k")
    qemu_img("bitmap", "--add", "-g", "512", path, "b0")
    qemu_img("bitmap", "--add", path, "b1")
    qemu_io(path, "write -P 3 0 64k", "write -P 3 512k 8k")
    qemu_img("bitmap", "--add", "--disable", path, "a bitmap with a name of some length")
    return path


def _compressed(folder: Path) -> Path:
    content = folder / "content"
    content.write_bytes(bytes(range(256)) * 1024 + bytes(1 << 18) + b"text " * 50_000)
    path = folder / "compressed"
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=16k", content, path)
    return path


def _extended(folder: Path) -> Path:
    path = _created(folder, "extended", "extended_l2=on,cluster_size=16k")
    qemu_io(path, "write -P 4 0 2k", "write -P 5 20k 64k", "write -z 128k 1k")
    return path


def _small(folder: Path) -> Path:
    path = _created(folder, "small", "cluster_size=512,refcount_bits=1,lazy_refcounts=on")
    qemu_io(path, "write -P 6 0 40k", "write -P 6 600k 512")
    return path


def _old(folder: Path) -> Path:
    path = _created(folder, "old", "compat=0.10,cluster_size=2M", "8M")
    qemu_io(path, "write -P 7 0 64k")
    return path


def _overlay(folder: Path) -> Path:
    path = folder / "overlay"
    qemu_img("create", "-q", "-f", "qcow2", "-b", "plain", "-F", "qcow2", path, "2M", cwd=folder)
    qemu_io(path, "write -P 8 100k 100k", "discard 0 64k")
    return path


def _data_file(folder: Path) -> Path:
    path = folder / "with-data-file"
    options = "data_file=its-data,data_file_raw=on"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, "1M", cwd=folder)
    # The name of the data file is not relative to the image.
    done = tool("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 100k", path, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


# Where their tables are.


def _tables(image: bytes) -> Iterator[tuple[int, int]]:
    (bits,) = struct.unpack_from(">I", image, 20)
    l1_size, l1_offset, refcounts, clusters, snapshots, at = struct.unpack_from(">IQQIIQ", image, 36)
    cluster = 1 << bits
    yield 0, 104
    yield 0, 400
    yield refcounts, 64
    for (block,) in struct.iter_unpack(">Q", image[refcounts : refcounts + clusters * cluster]):
        if block:
            yield block, 128
    yield from _mapping(image, l1_offset, l1_size, cluster)
    if snapshots:
        yield at, 256
        snapshot_l1, snapshot_l1_size = struct.unpack_from(">QI", image, at)
        yield from _mapping(image, snapshot_l1, snapshot_l1_size, cluster)
    yield from _bitmap_tables(image)


def _mapping(image: bytes, l1_offset: int, l1_size: int, cluster: int) -> Iterator[tuple[int, int]]:
    """The L1 table, its L2 tables and the compressed clusters."""
    yield l1_offset, 8 * l1_size
    for (entry,) in struct.iter_unpack(">Q", image[l1_offset : l1_offset + 8 * l1_size]):
        if not entry & OFFSET:
            continue
        table = entry & OFFSET
        yield table, min(cluster, 256)
        for (mapped,) in struct.iter_unpack(">Q", image[table : table + 64]):
            if mapped >> 62 == 1:
                yield mapped & ((1 << 48) - 1), 64


def _bitmap_tables(image: bytes) -> Iterator[tuple[int, int]]:
    """The bitmaps extension, the directory, the tables in it."""
    version, length = struct.unpack_from(">I", image, 4)[0], struct.unpack_from(">I", image, 100)[0]
    at = length if version > 2 else 72
    while (kind := struct.unpack_from(">I", image, at)[0]) != 0:
        (size,) = struct.unpack_from(">I", image, at + 4)
        if kind == BITMAPS:
            yield at, 8 + size
            _, _, directory_size, directory = struct.unpack_from(">IIQQ", image, at + 8)
            yield directory, directory_size
            yield from _tables_of(image, directory, directory + directory_size)
        at += 8 + (size + 7) // 8 * 8


def _tables_of(image: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    while at < end:
        table, size, _, _, _, name, extra = struct.unpack_from(">QIIBBHI", image, at)
        yield table, 8 * size
        at += (24 + extra + name + 7) // 8 * 8
