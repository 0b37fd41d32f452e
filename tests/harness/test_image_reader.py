"""The independent reader of images, against the real qemu-img and qemu-io."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from backcheck.errors import UsageError
from backcheck.implementation import Implementation
from backcheck.sizes import KiB, MiB
from backcheck.story.contents import Content
from backcheck.story.image_reader import file_name, read_image

SIZE = 8 * MiB + 512
WRITES = [(0x11, 0, 64 * KiB), (0x22, 63 * KiB, 3 * KiB), (0x33, 4 * MiB, 1 * MiB), (0x44, SIZE - 512, 512)]
LAYOUTS: dict[str, tuple[str, str]] = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", ""),
    "v2": ("qcow2", "compat=0.10"),
    "small clusters": ("qcow2", "cluster_size=512"),
    "large clusters": ("qcow2", "cluster_size=2M"),
    "extended L2": ("qcow2", "extended_l2=on,cluster_size=128k"),
    "zstd": ("qcow2", "compression_type=zstd"),
}


def tool(folder: Path, *arguments: str) -> None:
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)


def make(folder: Path, name: str, layout: str, *more: str) -> Content:
    """An image of that layout with the writes above, a zeroed range among them."""
    format_name, options = LAYOUTS[layout]
    tool(
        folder,
        "qemu-img",
        "create",
        "-q",
        "-f",
        format_name,
        *(["-o", options] if options else []),
        *more,
        name,
        str(SIZE),
    )
    content = Content(size=SIZE)
    for pattern, offset, length in WRITES:
        tool(folder, "qemu-io", "-f", format_name, "-c", f"write -P {pattern} {offset} {length}", name)
        content = content.written(pattern, offset, length)
    tool(folder, "qemu-io", "-f", format_name, "-c", f"write -z {4 * MiB + 64 * KiB} {256 * KiB}", name)
    return content.written(0, 4 * MiB + 64 * KiB, 256 * KiB)


def read_all(path: Path, format_name: str) -> bytes:
    with read_image(path, format_name) as reader:
        return reader.read(0, reader.size)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_what_was_written(qemu: Implementation, tmp_path: Path, layout: str) -> None:
    content = make(tmp_path, "image", layout)
    assert read_all(tmp_path / "image", LAYOUTS[layout][0]) == content.read(0, SIZE)


@pytest.mark.parametrize("layout", ["qcow2", "small clusters", "large clusters", "zstd"])
def test_reads_compressed_clusters(qemu: Implementation, tmp_path: Path, layout: str) -> None:
    content = make(tmp_path, "plain", "raw")
    options = LAYOUTS[layout][1] or "compat=1.1"
    tool(tmp_path, "qemu-img", "convert", "-c", "-O", "qcow2", "-o", options, "-f", "raw", "plain", "image")
    assert read_all(tmp_path / "image", "qcow2") == content.read(0, SIZE)


@pytest.mark.parametrize("layout", ["qcow2", "extended L2"])
def test_reads_through_a_chain(qemu: Implementation, tmp_path: Path, layout: str) -> None:
    make(tmp_path, "base", "qcow2")
    options = [argument for argument in ("-o", LAYOUTS[layout][1]) if LAYOUTS[layout][1]]
    tool(
        tmp_path,
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        *options,
        "-b",
        "base",
        "-F",
        "qcow2",
        "top",
        str(SIZE + MiB),
    )
    tool(tmp_path, "qemu-io", "-f", "qcow2", "-c", f"write -P 0x55 {4 * MiB + 4 * KiB} 4k", "top")
    tool(tmp_path, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", "top", "flat")
    assert read_all(tmp_path / "top", "qcow2") == (tmp_path / "flat").read_bytes()


def test_a_raw_file_ends_with_a_whole_sector(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"x" * 1000)
    assert read_all(tmp_path / "odd", "raw") == b"x" * 1000 + b"\0" * 24


@pytest.mark.parametrize(
    ("format_name", "data", "message"),
    [("qcow2", b"\0" * 512, "is no qcow2 image"), ("vmdk", b"", "vmdk images are not read here")],
)
def test_refuses_what_it_does_not_know(tmp_path: Path, format_name: str, data: bytes, message: Any) -> None:
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_all(tmp_path / "image", format_name)


@pytest.mark.parametrize("layout", ["qcow2", "small clusters", "large clusters", "extended L2"])
def test_reads_zeroes_behind_the_end_of_a_shorter_backing_file(
    qemu: Implementation, tmp_path: Path, layout: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "base").write_bytes(b"\x11" * 100_000)
    options = LAYOUTS[layout][1] or "compat=1.1"
    chain = [("images/middle", "../base", "raw", "65536"), ("images/top", "file:middle", "qcow2", str(MiB))]
    for name, backing, backing_format, size in chain:
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-u"]
        tool(tmp_path, *create, "-b", backing, "-F", backing_format, name, size)
    tool(tmp_path, "qemu-io", "-f", "qcow2", "-c", "write -P 0x22 0 512", "images/middle")
    expected = b"\x22" * 512 + b"\x11" * (65536 - 512) + bytes(MiB - 65536)
    assert read_all(tmp_path / "images/top", "qcow2") == expected


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("base.img", "base.img"),
        ("/a:b/base.img", "/a:b/base.img"),
        ("file:base.img", "base.img"),
        ("blkdebug::base.img", "base.img"),
        ("blkdebug:rules:base.img", "base.img"),
        ('json:{"driver": "qcow2", "file": {"driver": "file", "filename": "base.img"}}', "base.img"),
        ('json:{"driver": "qcow2", "file": {"driver": "blkdebug", "image": {"filename": "base.img"}}}', "base.img"),
        ('json:{"driver": "qcow2", "file.filename": "base.img"}', "base.img"),
    ],
)
def test_names_of_backing_files(name: str, file: str) -> None:
    assert file_name(name) == file


def test_a_backing_file_that_is_no_file_is_refused() -> None:
    with pytest.raises(UsageError, match="names no file"):
        file_name('json:{"driver": "null-co"}')
