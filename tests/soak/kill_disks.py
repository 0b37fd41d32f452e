"""The disks of programs that are killed: their images, and what each sector of them may hold afterwards."""

import json
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KiB, MiB = 1 << 10, 1 << 20
SECTOR = 512
SIZES = (8 * MiB, 4 * MiB + 3 * SECTOR)
BASE_PATTERN = 0xEE
BITMAP = "kept"
"""A persistent bitmap that the image has from the beginning."""
SOUND = (0, 3)
"""Exit statuses of `qemu-img check`: nothing, or leaked clusters only."""
NO_CHECK = 63
"""Its exit status for a format that cannot be checked."""

FORMATS: Mapping[str, tuple[str, str]] = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", "cluster_size=64k"),
    "qcow2-512": ("qcow2", "cluster_size=512"),
    "qcow2-4k-refcount-64": ("qcow2", "cluster_size=4k,refcount_bits=64"),
    "qcow2-2M": ("qcow2", "cluster_size=2M"),
    "qcow2-extended": ("qcow2", "extended_l2=on,cluster_size=16k"),
    "qcow2-v2": ("qcow2", "compat=0.10"),
}


def qemu_img(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The real tool, run to its end."""
    argv = ["qemu-img", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def must(*arguments: str | Path) -> str:
    """The same; it has to succeed."""
    done = qemu_img(*arguments)
    assert done.returncode == 0, f"qemu-img {arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def expect_sound(path: Path, format_name: str) -> None:
    """No errors, no corruption, nobody's lock; raw images have nothing to check but their lock."""
    done = qemu_img("check", "-f", format_name, path)
    allowed = (*SOUND, NO_CHECK) if format_name == "raw" else SOUND
    assert done.returncode in allowed, f"{path.name}: {done.stdout}{done.stderr}"
    assert "lock" not in done.stderr, done.stderr


class Model:
    """What each sector of a disk may hold: what it held at the last flush, or anything written since."""

    def __init__(self, size: int, pattern: int = 0) -> None:
        self.latest = bytearray([pattern]) * (size // SECTOR)
        self.unflushed: dict[int, set[int]] = {}

    def write(self, pattern: int, offset: int, length: int) -> None:
        """A write is sent; it may have happened from now on."""
        for sector in range(offset // SECTOR, (offset + length) // SECTOR):
            self.unflushed.setdefault(sector, {self.latest[sector]}).add(pattern)
            self.latest[sector] = pattern

    def flushed(self) -> None:
        """A flush has succeeded, with no write in flight."""
        self.unflushed.clear()

    def content(self) -> bytes:
        """What the disk holds when all writes have happened."""
        return b"".join(bytes([pattern]) * SECTOR for pattern in self.latest)

    def expect(self, content: bytes) -> None:
        """Each sector is something that it may be."""
        assert len(content) == len(self.latest) * SECTOR
        for sector, latest in enumerate(self.latest):
            data = content[sector * SECTOR : (sector + 1) * SECTOR]
            allowed = self.unflushed.get(sector, {latest})
            assert data.count(data[0]) == SECTOR, f"the sector at {sector * SECTOR} is torn"
            assert data[0] in allowed, f"the sector at {sector * SECTOR} holds {data[0]:#x}, not one of {allowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One drive. `before` holds what it held when the backup began."""

    name: str
    path: Path
    format: str
    size: int
    has_base: bool
    has_bitmap: bool
    model: Model

    @property
    def drive(self) -> str:
        """The value of `-drive`."""
        return f"if=none,id={self.name},file={self.path},format={self.format},discard=unmap"

    @property
    def content(self) -> Path:
        """A raw file with what it holds after the kill, once `expect_kept` has made it."""
        return self.path.with_name(f"{self.name}.content")

    def expect_kept(self) -> None:
        """The image is sound and has what was flushed; a bitmap that was in use says so."""
        expect_sound(self.path, self.format)
        must("convert", "-f", self.format, "-O", "raw", self.path, self.content)
        self.model.expect(self.content.read_bytes())
        if self.has_bitmap:
            facts = json.loads(must("info", "--output=json", "-f", self.format, self.path))
            flags = {each["name"]: each["flags"] for each in facts["format-specific"]["data"]["bitmaps"]}
            assert "in-use" in flags[BITMAP], flags


def make_disk(folder: Path, name: str, kind: str, generator: random.Random) -> Disk:
    """A disk of that kind, perhaps on top of a base, perhaps with a bitmap."""
    format_name, options = FORMATS[kind]
    size = generator.choice(SIZES)
    has_base = format_name == "qcow2" and generator.random() < 0.4
    has_bitmap = format_name == "qcow2" and kind != "qcow2-v2" and generator.random() < 0.5
    path = folder / name
    below: list[str | Path] = []
    if has_base:
        base = folder / f"{name}.base"
        base.write_bytes(bytes([BASE_PATTERN]) * size)
        below = ["-b", base, "-F", "raw"]
    must("create", "-q", "-f", format_name, *below, *(("-o", options) if options else ()), path, str(size))
    if has_bitmap:
        must("bitmap", "--add", "-f", format_name, path, BITMAP)
    return Disk(
        name=name,
        path=path,
        format=format_name,
        size=size,
        has_base=has_base,
        has_bitmap=has_bitmap,
        model=Model(size, BASE_PATTERN if has_base else 0),
    )
