"""Making qcow images: byte for byte what qemu-img makes, and refused in its words."""

from pathlib import Path

import pytest

from backcheck_engine.block.graph import Graph
from backcheck_engine.block.opening import open_node
from backcheck_engine.drivers.creation import blockdev_create, create_options, help_lines
from backcheck_engine.errors import EngineError
from tests.qcow1.disks import make
from tests.qcow2.qemu import needs_qemu, qemu_img, run, tool

MiB = 1 << 20


@needs_qemu
@pytest.mark.parametrize(
    ("size", "options"),
    [
        (MiB, {}),
        (1, {}),
        (1000, {}),
        (3 << 30, {}),
        (None, {"backing_file": "base.raw", "backing_fmt": "raw"}),
        (5 * MiB, {"backing_file": "base.raw", "backing_fmt": "raw"}),
    ],
)
def test_it_is_the_file_that_qemu_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, options: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.raw").write_bytes(bytes(MiB))
    make(Path("ours"), size, **options)
    given = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
    qemu_img("create", "-q", "-f", "qcow", *given, "theirs", *([str(size)] if size else []), cwd=tmp_path)
    assert Path("ours").read_bytes() == Path("theirs").read_bytes()


@needs_qemu
def test_the_options_are_qemus() -> None:
    told = qemu_img("create", "-f", "qcow", "-o", "help")
    assert [line for line in told.splitlines() if line.startswith("  ")] == help_lines(create_options("qcow"))


@needs_qemu
def test_an_empty_disk_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with pytest.raises(EngineError) as caught:
        make(image, 0)
    assert tool("qemu-img", "create", "-q", "-f", "qcow", image, "0").stderr == f"qemu-img: {image}: {caught.value}\n"


@pytest.mark.parametrize("options", [{"encryption": "on"}, {"encrypt.format": "aes"}])
def test_encryption_is_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="does not implement encrypted images"):
        make(tmp_path / "image", MiB, **options)


@needs_qemu
def test_blockdev_create(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()

    async def body() -> None:
        graph = Graph()
        file = await open_node(graph, {"driver": "file", "filename": str(image), "node-name": "file0"})
        await blockdev_create(graph, {"driver": "qcow", "file": "file0", "size": MiB, "backing-file": "base"})
        await file.unref()

    run(body)
    theirs = tmp_path / "theirs"
    qemu_img("create", "-q", "-f", "qcow", "-u", "-b", "base", "-F", "raw", theirs, str(MiB))
    assert image.read_bytes() == theirs.read_bytes()
