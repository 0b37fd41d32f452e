"""Creating images: what is printed, what is refused and in which words, and what is in the file, beside qemu-img."""

import json
import os
import shutil
from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation import blockdev_create, create_image, create_options, help_lines
from backcheck_engine.errors import EngineError
from tests.qcow2.qemu import needs_qemu, qemu_img, run, tool

Case = tuple[str, str, str | None, dict[str, str]]
"""(format, filename, size or None, options)"""

GOOD: list[Case] = [
    ("qcow2", "a", "1000000", {}),
    ("qcow2", "a", "0", {}),
    ("qcow2", "a", "100M", {"compat": "0.10"}),
    ("qcow2", "a", "100M", {"compat": "v3", "lazy_refcounts": "on", "refcount_bits": "1", "cluster_size": "1M"}),
    ("qcow2", "a", "100M", {"cluster_size": "512"}),
    ("qcow2", "a", "300M", {"cluster_size": "512", "refcount_bits": "64"}),
    ("qcow2", "a", "100M", {"cluster_size": "4k"}),
    ("qcow2", "a", "1T", {}),
    ("qcow2", "a", "64T", {"cluster_size": "2M"}),
    ("qcow2", "a", "1M", {"extended_l2": "on", "compression_type": "zstd"}),
    ("qcow2", "a", "100M", {"extended_l2": "on", "cluster_size": "16k", "preallocation": "metadata"}),
    ("qcow2", "a", "100M", {"preallocation": "metadata"}),
    ("qcow2", "a", "10M", {"preallocation": "falloc"}),
    ("qcow2", "a", "10M", {"preallocation": "full", "cluster_size": "4k"}),
    ("qcow2", "a", "1M", {"data_file": "d"}),
    ("qcow2", "a", "1M", {"data_file": "d", "data_file_raw": "on"}),
    ("qcow2", "a", None, {"backing_file": "base", "backing_fmt": "qcow2"}),
    ("qcow2", "a", "5M", {"backing_file": "base", "backing_fmt": "qcow2"}),
    ("qcow2", "a,b", "5M", {"backing_file": "./base", "backing_fmt": "qcow2", "nocow": "on"}),
    ("qcow2", "a", "1M", {"extent_size_hint": "1M"}),
    ("raw", "a", "1000", {}),
    ("raw", "a", "1M", {"preallocation": "falloc"}),
    ("raw", "a", "1M", {"preallocation": "full", "nocow": "off"}),
    ("raw", "file:a", "1M", {}),
    ("file", "a", "1M", {}),
]

BAD: list[Case] = [
    ("qcow2", "a", "1M", {"nosuch": "1"}),
    ("qcow2", "a", "1M", {"cluster_size": "3k"}),
    ("qcow2", "a", "1M", {"cluster_size": "4M"}),
    ("qcow2", "a", "1M", {"cluster_size": "0"}),
    ("qcow2", "a", "1M", {"cluster_size": "abc"}),
    ("qcow2", "a", "1M", {"refcount_bits": "3"}),
    ("qcow2", "a", "1M", {"refcount_bits": "128"}),
    ("qcow2", "a", "1M", {"refcount_bits": "0"}),
    ("qcow2", "a", "1M", {"refcount_bits": "abc"}),
    ("qcow2", "a", "1M", {"compat": "0.10", "refcount_bits": "8"}),
    ("qcow2", "a", "1M", {"compat": "0.10", "lazy_refcounts": "on"}),
    ("qcow2", "a", "1M", {"compat": "0.10", "extended_l2": "on"}),
    ("qcow2", "a", "1M", {"compat": "0.10", "data_file": "d"}),
    ("qcow2", "a", "1M", {"compat": "0.10", "compression_type": "zstd"}),
    ("qcow2", "a", "1M", {"compat": "9"}),
    ("qcow2", "a", "1M", {"data_file_raw": "on"}),
    ("qcow2", "a", "1M", {"data_file": "d", "data_file_raw": "on", "backing_file": "base", "backing_fmt": "qcow2"}),
    ("qcow2", "a", "1M", {"extended_l2": "on", "cluster_size": "8k"}),
    ("qcow2", "a", "1M", {"compression_type": "foo"}),
    ("qcow2", "a", "1M", {"preallocation": "foo"}),
    ("qcow2", "a", "1M", {"preallocation": "full", "backing_file": "base", "backing_fmt": "qcow2"}),
    ("qcow2", "a", "1M", {"lazy_refcounts": "maybe"}),
    ("qcow2", "a", "1E", {}),
    ("qcow2", "a", "1T", {"cluster_size": "512"}),
    ("qcow2", "a", "1M", {"size": "2M"}),
    ("qcow2", "a", None, {}),
    ("qcow2", "a", "1M", {"backing_fmt": "qcow2"}),
    ("qcow2", "a", "1M", {"backing_file": "base"}),
    ("qcow2", "a", "1M", {"backing_file": "a", "backing_fmt": "qcow2"}),
    ("qcow2", "a", "1M", {"backing_file": "nope", "backing_fmt": "qcow2"}),
    ("qcow2", "a", None, {"backing_file": "nope", "backing_fmt": "qcow2"}),
    ("qcow2", "a", "1M", {"backing_file": "base", "backing_fmt": "nosuch"}),
    ("qcow2", "a", "1M", {"backing_file": "base", "backing_fmt": "qcow2", "cluster_size": "512k", "compat": "x"}),
    ("qcow2", "a", "1M", {"backing_file": ""}),
    ("qcow2", "a", "1M", {"backing_fmt": "nosuch"}),
    ("qcow", "a", "1M", {"backing_fmt": "nosuch"}),
    ("qcow", "a", "1M", {"encrypt.key-secret": "secret"}),
    ("qcow2", "nodir/a", "1M", {}),
    ("qcow2", "folder", "1M", {}),
    ("qcow2", "", "1M", {}),
    ("qcow2", "nosuch:a", "1M", {}),
    ("qcow2", "json:{}", "1M", {}),
    ("qcow2", "blkdebug::a", "1M", {}),
    ("raw", "a", "1M", {"backing_file": "base"}),
    ("raw", "a", "1M", {"preallocation": "metadata"}),
    ("raw", "/dev/null", "1M", {}),
    ("raw", "/dev/null", "1M", {"preallocation": "full"}),
    ("raw", "/dev/null", "1M", {"nocow": "on"}),
    ("raw", "host_device:/dev/null", "1M", {}),
    ("qcow2", "/dev/null", "0", {}),
    ("raw", "nodir/a", "1M", {}),
    ("raw", "folder", "1M", {}),
    ("bochs", "a", "1M", {}),
    ("null-co", "a", "1M", {}),
    ("blkdebug", "a", "1M", {}),
    ("throttle", "a", "1M", {}),
    ("nosuch", "a", "1M", {}),
    ("", "a", "1M", {}),
]


def _name(case: Case) -> str:
    return " ".join([case[0] or "none", case[1] or "empty", str(case[2]), *map("=".join, case[3].items())])


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "folder").mkdir()
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img, which makes the base, is not installed")
    qemu_img("create", "-q", "-f", "qcow2", "base", "3M", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _theirs(case: Case, *more: str) -> list[str]:
    """qemu-img's lines, given `more` options: what it prints and what it complains of."""
    kind, filename, size, options = case
    argv = [item for pair in options.items() for item in ("-o", "=".join(pair))]
    done = tool("qemu-img", "create", *more, "-f", kind, *argv, "--", filename, *([size] if size else []))
    prefix = f"qemu-img: {filename}: "
    # A file system without extent size hints is named on standard error, which nobody catches of ours.
    complaints = [line for line in done.stderr.removeprefix(prefix).splitlines() if "extent size hint" not in line]
    return done.stdout.splitlines() + complaints


def _ours(case: Case, *, open_backing: bool = True) -> list[str]:
    kind, filename, size, options = case
    lines: list[str] = []

    async def create() -> None:
        try:
            number = int(qemu_img_size(size)) if size is not None else None
            await create_image(
                Graph(), filename, kind, size=number, options=options, out=lines.append, open_backing=open_backing
            )
        except EngineError as error:
            lines.extend(error.message.splitlines())
            lines.extend((error.hint or "").splitlines())

    run(create)
    return lines


def qemu_img_size(text: str) -> int:
    """A size with a suffix as a number."""
    shift = {"k": 10, "M": 20, "G": 30, "T": 40, "E": 60}.get(text[-1], 0)
    return int(text.rstrip("kMGTE")) << shift


@needs_qemu
@pytest.mark.parametrize("case", BAD, ids=_name)
def test_what_is_refused_is_refused_in_the_same_words_and_leaves_the_same_files(case: Case, folder: Path) -> None:
    before = set(os.listdir(folder))
    ours = _ours(case)
    left = set(os.listdir(folder))
    for name in left - before:
        (folder / name).unlink()
    assert (ours, left) == (_theirs(case), set(os.listdir(folder)))


@needs_qemu
@pytest.mark.parametrize("options", [{}, {"backing_fmt": "nosuch"}, {"backing_fmt": "raw"}], ids=str)
def test_a_backing_file_that_nobody_opens(options: dict[str, str], folder: Path) -> None:
    case: Case = ("qcow2", "a", "1M", {"backing_file": "gone", **options})
    assert _ours(case, open_backing=False) == _theirs(case, "-u")


@needs_qemu
@pytest.mark.parametrize("case", GOOD, ids=_name)
def test_images_are_made_alike(case: Case, folder: Path) -> None:
    theirs = _theirs(case)
    path = folder / case[1].removeprefix("file:")
    their_file = (path.stat().st_size, _start(path, case))
    their_info = _info(path, case[0])
    path.unlink()
    assert _ours(case) == theirs
    assert (path.stat().st_size, _start(path, case)) == their_file
    assert _info(path, case[0]) == their_info
    if case[0] == "qcow2":
        qemu_img("check", path)


def _start(path: Path, case: Case) -> bytes:
    """The header and what follows; a preallocated image has its tables where its allocator likes."""
    if case[0] != "qcow2":
        return b""
    with path.open("rb") as file:
        return file.read(36 if {"preallocation", "refcount_bits"} & case[3].keys() else 65536)


def _info(path: Path, kind: str) -> dict[str, object]:
    info = json.loads(qemu_img("info", "--output=json", "-f", kind, f"./{path.name}"))
    assert isinstance(info, dict)
    return {key: value for key, value in info.items() if key not in ("actual-size", "dirty-flag", "children")}


@needs_qemu
def test_an_existing_file_is_made_anew(folder: Path) -> None:
    (folder / "a").write_bytes(os.urandom(1 << 20))
    assert _ours(("qcow2", "a", "1M", {})) != []
    qemu_img("check", "a")
    assert set((folder / "a").read_bytes()[-8:]) == {0}


@needs_qemu
def test_help_lists_the_options_as_qemu_img_does() -> None:
    lines = [line for line in qemu_img("create", "-f", "qcow2", "-o", "help").splitlines() if line.startswith("  ")]
    assert help_lines(create_options("qcow2")) == [line for line in lines if not line.startswith("  encrypt")]


@needs_qemu
def test_blockdev_create_makes_an_image_on_a_node(folder: Path) -> None:
    async def create() -> None:
        graph = Graph()
        await blockdev_create(graph, {"driver": "file", "filename": "a", "size": 0})
        node = await open_node(graph, {"driver": "file", "filename": "a", "node-name": "f"})
        await blockdev_create(
            graph, {"driver": "qcow2", "file": "f", "size": 1 << 20, "version": "v2", "cluster-size": 4096}
        )
        await node.unref()

    run(create)
    qemu_img("check", "a")
    info = _info(folder / "a", "qcow2")
    assert (info["virtual-size"], info["cluster-size"]) == (1 << 20, 4096)


@pytest.mark.parametrize("kind", ["luks", "parallels"])
def test_formats_to_come_are_named(kind: str, folder: Path) -> None:
    assert _ours((kind, "a", "1M", {})) == [f"backcheck-engine does not implement the format '{kind}' yet"]
