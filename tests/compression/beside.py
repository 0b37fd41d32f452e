"""An image of the engine's or of QEMU's under the real qemu-img's eyes: sound, right, and mapped alike by both."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.qcow2.qemu import check, qemu_img
from tests.tools.programs import Bundled

RELEASE = "7.2"
"""The release that the engine's tools speak like; later ones tell more of each extent."""
KEYS = ("start", "length", "depth", "zero", "data", "offset")


def expect_alike(image: Path, content: bytes, bundled: Bundled) -> None:
    """qemu-img finds neither errors nor leaks and reads that content; it and backcheck-img map the image alike."""
    raw = image.with_suffix(".raw")
    raw.write_bytes(content)
    check(image)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, image)
    arguments = ("map", "--output=json", "-f", "qcow2", str(image))
    theirs = qemu_img(*arguments)
    ours = bundled.run("img", arguments, image.parent, RELEASE)
    assert ours.status == 0, ours
    assert _extents(ours.out) == _extents(theirs)


def _extents(text: str) -> list[dict[str, object]]:
    """What every release tells of each extent."""
    extents: list[Mapping[str, object]] = json.loads(text)
    return [{key: extent[key] for key in KEYS if key in extent} for extent in extents]
