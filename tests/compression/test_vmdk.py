"""vmdk images of every kind that the engine makes are read by a reader of another project too."""

from pathlib import Path

import pytest

from tests.compression.disks import PART_SIZE, TAIL, make_disk
from tests.compression.strict_reader import StrictReader
from tests.tools.programs import Bundled

KINDS = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")


@pytest.mark.parametrize("kind", KINDS)
def test_another_reader_reads_it(kind: str, tmp_path: Path, bundled: Bundled, strict_reader: StrictReader) -> None:
    """Whose size is a multiple of grains: at the end of others that reader fails, of QEMU's images as well."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.vmdk"
    disk = make_disk()[: TAIL * PART_SIZE]
    raw.write_bytes(disk)
    arguments = ("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", str(raw), str(image))
    answer = bundled.run("img", arguments, tmp_path, "10.0")
    assert answer.status == 0, answer
    strict_reader.expect(image, disk)
