"""A compressed image in use: a guest writes over it, zeroes, discards; it grows and shrinks; another lies on it.

After each step qemu-img finds it sound, reads what a model of it holds, and maps it as backcheck-img does.
"""

from pathlib import Path

import pytest

from backcheck.sizes import KiB
from tests.compression.beside import expect_alike
from tests.compression.clusters import expect_strict
from tests.compression.disks import LAYOUTS, NEAR, NOISE, PART_SIZE, TAIL, TEXT_A, TEXT_B, TEXT_C, TEXT_D, make_disk
from tests.compression.lives import Step, Verb, do
from tests.qcow2.qemu import needs_qemu, qemu_img
from tests.tools.programs import Bundled

pytestmark = needs_qemu


def chapters(cluster: int) -> list[list[Step]]:
    """What happens to a disk whose parts are whole clusters."""
    part = max(cluster, PART_SIZE)
    size = TAIL * part + 5 * 512
    return [
        [
            # Inside a compressed cluster, all of one, across two of them, and beside them.
            Step(verb="write", offset=TEXT_A * part + 700, length=1000, pattern=0x11),
            Step(verb="write", offset=NEAR * part, length=cluster, pattern=0x22),
            Step(verb="write", offset=TEXT_D * part - 1024, length=2048, pattern=0x33),
            Step(verb="write", offset=NOISE * part - 512, length=1024, pattern=0x44),
            Step(verb="write", offset=size - 512, length=512, pattern=0x55),
            Step(verb="zero", offset=TEXT_B * part, length=cluster),
        ],
        [
            # One that shares its host cluster with others; then another takes its place.
            Step(verb="discard", offset=TEXT_C * part, length=cluster),
            Step(verb="discard", offset=NOISE * part, length=part),
            Step(verb="compress", offset=TEXT_C * part, length=cluster, pattern=0x66),
        ],
        [
            Step(verb="compress", offset=NOISE * part, length=part, pattern=0x77),
            Step(verb="resize", length=size + part + 512),
            Step(verb="write", offset=size + 512, length=512, pattern=0x88),
        ],
        [Step(verb="resize", length=TEXT_C * part + 512)],
    ]


@pytest.mark.parametrize("layout", ["64k", "512", "4k", "2M", "extended-16k-zstd"])
def test_it_is_right_after_each_step(layout: str, tmp_path: Path, bundled: Bundled) -> None:
    options, cluster = LAYOUTS[layout]
    content = make_disk(max(cluster, PART_SIZE))
    image, overlay = tmp_path / "disk.qcow2", tmp_path / "overlay.qcow2"
    image.with_suffix(".raw").write_bytes(content)
    given = ["-o", options] if options else []
    arguments = ["convert", "-c", "-f", "raw", "-O", "qcow2", *given, str(image.with_suffix(".raw")), str(image)]
    assert bundled.run("img", arguments, tmp_path, "10.0").status == 0
    expect_alike(image, content, bundled)
    for steps in chapters(cluster):
        content = do("engine", image, content, steps)
        expect_alike(image, content, bundled)

    size = len(content) + 100 * KiB
    qemu_img("create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", overlay, str(size))
    steps = [
        Step(verb="write", offset=TEXT_A * PART_SIZE + 3 * KiB, length=1000, pattern=0x99),
        Step(verb="discard", offset=PART_SIZE, length=PART_SIZE),
        Step(verb="compress", offset=2 * PART_SIZE, length=PART_SIZE, pattern=0xAA),
        Step(verb="write", offset=len(content) - 100, length=200, pattern=0xBB),
    ]
    expect_alike(overlay, do("engine", overlay, content.ljust(size, b"\0"), steps), bundled)


@pytest.mark.parametrize("verb", ["discard", "zero", "write"])
def test_nothing_is_put_beside_what_is_gone(verb: Verb, tmp_path: Path, bundled: Bundled) -> None:
    """A host cluster that its last compressed cluster has left may hold other data by then.

    QEMU (5.2 to 11.1) puts the next compressed cluster there all the same, and over that data.
    """
    image = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", image, str(16 * PART_SIZE))
    steps = [
        Step(verb="compress", offset=0, length=PART_SIZE, pattern=0x11),
        Step(verb=verb, offset=0, length=PART_SIZE),
        Step(verb="write", offset=2 * PART_SIZE, length=PART_SIZE, pattern=0x22),
        Step(verb="write", offset=4 * PART_SIZE, length=PART_SIZE, pattern=0x33),
        Step(verb="compress", offset=6 * PART_SIZE, length=PART_SIZE, pattern=0x44),
        Step(verb="compress", offset=8 * PART_SIZE, length=PART_SIZE, pattern=0x55),
    ]
    content = do("engine", image, bytes(16 * PART_SIZE), steps)
    expect_alike(image, content, bundled)
    assert expect_strict(image, content) == [6 * PART_SIZE, 8 * PART_SIZE]
