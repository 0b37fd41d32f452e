"""What the real QEMU compresses, the engine reads: by its tools, and as the disk that a running engine backs up."""

from pathlib import Path

import pytest

from tests.compression.beside import RELEASE, expect_alike
from tests.compression.clusters import expect_strict
from tests.compression.disks import LAYOUTS, make_disk
from tests.compression.machine import Machine
from tests.qcow2.qemu import needs_qemu, qemu_img
from tests.tools.programs import Bundled

pytestmark = needs_qemu

OPTIONS = {name: LAYOUTS[name][0] for name in ("64k", "512", "2M", "extended", "zstd")} | {"v2": "compat=0.10"}


@pytest.mark.parametrize("layout", OPTIONS)
def test_the_engine_reads_what_qemu_compressed(layout: str, tmp_path: Path, bundled: Bundled, machine: Machine) -> None:
    disk, options = make_disk(), OPTIONS[layout]
    raw, image, copy = tmp_path / "disk.raw", tmp_path / "disk.qcow2", tmp_path / "copy.raw"
    raw.write_bytes(disk)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", *(["-o", options] if options else []), raw, image)

    expect_alike(image, disk, bundled)
    compared = bundled.run("img", ["compare", "-f", "raw", "-F", "qcow2", str(raw), str(image)], tmp_path, RELEASE)
    assert (compared.status, compared.out) == (0, "Images are identical.\n")
    checked = bundled.run("img", ["check", "-f", "qcow2", str(image)], tmp_path, RELEASE)
    assert checked.out == qemu_img("check", "-f", "qcow2", image)
    converted = bundled.run("img", ["convert", "-f", "qcow2", "-O", "raw", str(image), str(copy)], tmp_path, RELEASE)
    assert (converted.status, copy.read_bytes()) == (0, disk)

    copy.write_bytes(b"\xff" * len(disk))
    assert not machine.back_up(image, "qcow2", copy, "raw", compress=False)
    assert copy.read_bytes() == disk


@pytest.mark.parametrize("layout", ["64k", "4k", "zstd"])
def test_the_window_check_finds_nothing_in_what_qemu_compressed(layout: str, tmp_path: Path) -> None:
    """It is no stricter than QEMU is."""
    disk = make_disk()
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(disk)
    options = LAYOUTS[layout][0]
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", *(["-o", options] if options else []), raw, image)
    assert len(expect_strict(image, disk)) > 4
