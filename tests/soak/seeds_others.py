"""Images of the other formats that have tables, vmdk and qcow, and where those are."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tests.qcow2.qemu import qemu_img, tool
from tests.soak.damage import Seed

SECTOR = 512
COMPRESSED = 1 << 63
VMDK_KINDS = ("monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse", "monolithicFlat")


def make_seeds(folder: Path) -> list[Seed]:
    """The images, made by the real tools in that folder, where those that need others keep finding them."""
    content = folder / "content"
    content.write_bytes(bytes(range(256)) * 1024 + bytes(1 << 18) + b"text" * 65536 + bytes(1 << 18))
    seeds = [_vmdk(folder, content, kind) for kind in VMDK_KINDS]
    seeds.append(_vmdk(folder, content, "streamOptimized", "-c"))
    return [*seeds, _qcow(folder, "plain", "write"), _qcow(folder, "compressed", "write -c")]


def _vmdk(folder: Path, content: Path, kind: str, *flags: str) -> Seed:
    path = folder / "-".join((kind, *flags))
    qemu_img("convert", *flags, "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", content, path, cwd=folder)
    data = path.read_bytes()
    return Seed(name=path.name, format="vmdk", order="little", data=data, tables=tuple(_vmdk_tables(data)))


def _vmdk_tables(image: bytes) -> Iterator[tuple[int, int]]:
    """The header, the text, both directories, the tables and the heads of some grains."""
    yield 0, min(len(image), 512)
    if not image.startswith(b"KDMV"):
        return
    descriptor, size, table_entries = struct.unpack_from("<QQI", image, 28)
    second, first = struct.unpack_from("<QQ", image, 48)
    if size:
        yield descriptor * SECTOR, 600
    if len(image) > 1024 and image[-1024:-1020] == b"KDMV":
        yield len(image) - 1024, 128
        second, first = struct.unpack_from("<QQ", image, len(image) - 1024 + 48)
    for directory in {first, second} - {0}:
        if directory * SECTOR + 4 > len(image):
            continue
        yield directory * SECTOR, 8
        (table,) = struct.unpack_from("<I", image, directory * SECTOR)
        if not table:
            continue
        yield table * SECTOR, min(4 * table_entries, 64)
        for (grain,) in struct.iter_unpack("<I", image[table * SECTOR : table * SECTOR + 32]):
            if grain > 1:
                yield grain * SECTOR, 32


def _qcow(folder: Path, kind: str, write: str) -> Seed:
    path = folder / f"qcow-{kind}"
    qemu_img("create", "-q", "-f", "qcow", path, "5M")
    writes = [word for at in ("0", "8k", "12k", "3M") for word in ("-c", f"{write} -P 7 {at} 4k")]
    done = tool("qemu-io", "-f", "qcow", *writes, path)
    assert done.returncode == 0, done.stdout + done.stderr
    data = path.read_bytes()
    return Seed(name=path.name, format="qcow", data=data, tables=tuple(_qcow_tables(data)))


def _qcow_tables(image: bytes) -> Iterator[tuple[int, int]]:
    """The header, the L1 table, the L2 tables and some clusters."""
    yield 0, 48
    (at,) = struct.unpack_from(">Q", image, 40)
    yield at, 16
    for (table,) in struct.iter_unpack(">Q", image[at : at + 16]):
        if table:
            yield table, 64
            for (entry,) in struct.iter_unpack(">Q", image[table : table + 64]):
                if entry & COMPRESSED:
                    yield entry & ((1 << 51) - 1), 64
