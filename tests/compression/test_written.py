"""What the engine compresses is read by qemu-img and by a reader with a strict window, and keeps that window itself.

Each way to write (a backup, `backcheck-img convert -c`, `backcheck-io write -c`) into each layout of images.
"""

import zlib
from pathlib import Path

import pytest

from backcheck.sizes import KiB
from tests.compression.clusters import expect_strict, read_clusters
from tests.compression.disks import (
    FAR,
    LAYOUTS,
    NEAR,
    NOISE,
    PART_SIZE,
    TAIL,
    TEXT_A,
    TEXT_B,
    TEXT_C,
    TEXT_D,
    ZERO,
    make_disk,
)
from tests.compression.machine import Machine
from tests.compression.strict_reader import StrictReader
from tests.qcow2.qemu import check, needs_qemu, qemu_img, qemu_io
from tests.tools.programs import Bundled

RELEASE = "10.0"
IMAGES = [
    *(("convert", layout) for layout in LAYOUTS),
    *(("backup", layout) for layout in ("64k", "512", "4k", "extended-16k-zstd")),
    *(("io", layout) for layout in ("64k", "512", "zstd")),
]
"""How each is written, and its layout."""


class Written:
    """Images that the engine has compressed, each made once."""

    def __init__(self, folder: Path, bundled: Bundled, machine: Machine) -> None:
        self._folder = folder
        self._bundled = bundled
        self._machine = machine
        self._made: dict[tuple[str, str, bool], tuple[Path, bytes]] = {}

    def get(self, way: str, layout: str, *, only_text: bool = False) -> tuple[Path, bytes]:
        """(the image, the disk that was compressed into it, which lies beside it as .raw)."""
        key = (way, layout, only_text)
        if key not in self._made:
            disk = make_disk()[: 16 * KiB] * 8 if only_text else make_disk()
            image = self._folder / f"{way}-{layout}-{only_text}.qcow2"
            image.with_suffix(".raw").write_bytes(disk)
            self._write(way, LAYOUTS[layout][0], image, len(disk))
            self._made[key] = image, disk
        return self._made[key]

    def _write(self, way: str, options: str, image: Path, size: int) -> None:
        raw = image.with_suffix(".raw")
        given = ["-o", options] if options else []
        if way == "convert":
            self._run("img", "convert", "-c", "-f", "raw", "-O", "qcow2", *given, str(raw), str(image))
            return
        self._run("img", "create", "-q", "-f", "qcow2", *given, str(image), str(size))
        if way == "backup":
            assert not self._machine.back_up(raw, "raw", image, "qcow2", compress=True)
        else:
            self._run("io", "-f", "qcow2", "-c", f"write -c -s {raw} 0 {size}", str(image))

    def _run(self, tool: str, *arguments: str) -> None:
        answer = self._bundled.run(tool, arguments, self._folder, RELEASE)
        assert answer.status == 0, answer
        assert "failed" not in answer.out, answer


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, bundled: Bundled, machine: Machine) -> Written:
    """What the engine wrote."""
    return Written(tmp_path_factory.mktemp("written"), bundled, machine)


@needs_qemu
@pytest.mark.parametrize(("way", "layout"), IMAGES)
def test_qemu_reads_it(way: str, layout: str, written: Written) -> None:
    image, _ = written.get(way, layout)
    check(image)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", image.with_suffix(".raw"), image)


@pytest.mark.parametrize(("way", "layout"), IMAGES)
def test_a_strict_reader_reads_it(way: str, layout: str, written: Written, strict_reader: StrictReader) -> None:
    """Of images with extended L2 entries one that is all compressed: subclusters of zeroes it reads for ever."""
    strict_reader.expect(*written.get(way, layout, only_text="extended" in layout))


@pytest.mark.parametrize(("way", "layout"), IMAGES)
def test_it_keeps_the_window(way: str, layout: str, written: Written) -> None:
    image, disk = written.get(way, layout)
    compressed = {offset // PART_SIZE for offset in expect_strict(image, disk)}
    size = LAYOUTS[layout][1]
    if size > PART_SIZE:
        assert compressed == {0}
        return
    assert compressed >= {TEXT_A, TEXT_B, TEXT_C, TEXT_D, TAIL}
    assert (ZERO in compressed) == (way == "io")
    assert NOISE not in compressed
    # What comes again is compressed where a cluster is long enough to have it twice, and the window to see it.
    assert (NEAR in compressed) == (size > 3 * KiB)
    assert (FAR in compressed) == (size > 6 * KiB and read_clusters(image).zstd)


@needs_qemu
@pytest.mark.parametrize("taken", [0, 1, 16])
def test_a_target_that_has_a_cluster_is_refused(taken: int, tmp_path: Path, machine: Machine) -> None:
    """Wherever that lies among clusters that are copied together; it stays as it is."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    text = make_disk()[: 12 * KiB]
    disk = (text * (PART_SIZE // len(text) + 1))[:PART_SIZE] * 24
    raw.write_bytes(disk)
    qemu_img("create", "-q", "-f", "qcow2", image, str(len(disk)))
    qemu_io(image, f"write -P 0x55 {taken * PART_SIZE} {PART_SIZE}")
    assert machine.back_up(raw, "raw", image, "qcow2", compress=True) == "Input/output error"
    check(image)
    qemu_io(image, f"read -P 0x55 {taken * PART_SIZE} {PART_SIZE}")
    assert taken * PART_SIZE not in [cluster.guest_offset for cluster in read_clusters(image).clusters]


@needs_qemu
def test_who_notices_a_wide_window(tmp_path: Path, strict_reader: StrictReader) -> None:
    """The strict reader and the window check do; qemu-img does not, so it is no witness of that."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    disk = make_disk()
    hardly = bytes(byte & 15 for byte in disk[NOISE * PART_SIZE :][:PART_SIZE])
    raw.write_bytes(hardly)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", raw, image)
    (cluster,) = read_clusters(image).clusters
    far = disk[FAR * PART_SIZE :][:PART_SIZE]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    wide = packer.compress(far) + packer.flush()
    assert len(wide) < len(cluster.packed)
    with image.open("r+b") as file:
        file.seek(cluster.host_offset)
        file.write(wide)
    raw.write_bytes(far)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)
    assert strict_reader.ask(image) == {
        "error": "error: Error -3 while decompressing data: invalid distance too far back"
    }
    with pytest.raises(AssertionError, match=r"refers back \[6144\]"):
        expect_strict(image, far)
