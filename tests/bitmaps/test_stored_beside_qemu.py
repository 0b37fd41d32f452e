"""Bitmaps that live in images, as their commands meet them: read-only, inconsistent, come back from the image."""

from pathlib import Path

import pytest

from tests.bitmaps.beside import (
    ABORT,
    Command,
    KiB,
    MiB,
    assert_alike,
    bitmap,
    converse,
    images,
    io,
    merge,
    sha256,
    transaction,
)
from tests.monitor.program import RELEASES, real_program

pytestmark = pytest.mark.timeout(120)

DISKS = {"d0": ["-f", "qcow2", "1M"], "d1": ["-f", "qcow2", "1M"]}
ARGUMENTS = ["-drive", "if=none,id=d0,node-name=d0-node,file=d0,format=qcow2,discard=unmap"]
LONGEST = "x" * 1023


def opened(**options: object) -> Command:
    arguments = {"driver": "qcow2", "node-name": "n1", "file": {"driver": "file", "filename": "d1"}}
    return "blockdev-add", arguments | {name.replace("_", "-"): value for name, value in options.items()}


CLOSED: Command = ("blockdev-del", {"node-name": "n1"})

STORIES: dict[str, list[Command]] = {
    "come back": [
        opened(),
        bitmap("add", "n1", "b0", granularity=4 * KiB, persistent=True),
        bitmap("add", "n1", "b1", granularity=4 * KiB, persistent=True, disabled=True),
        bitmap("add", "n1", "b2", granularity=4 * KiB),
        bitmap("add", "n1", "b0", persistent=True),
        bitmap("add", "n1", "b3", persistent=True, granularity=1 << 31),
        bitmap("add", "n1", LONGEST, persistent=True),
        bitmap("add", "n1", f"{LONGEST}x", persistent=True),
        io("n1", "write 0 4k"),
        CLOSED,
        opened(),
        bitmap("remove", "n1", "b1"),
        io("n1", "write 64k 4k"),
        transaction(bitmap("remove", "n1", "b0"), ABORT),
        transaction(
            bitmap("remove", "n1", LONGEST), bitmap("add", "n1", "b9", persistent=True), bitmap("clear", "n1", "b0")
        ),
        CLOSED,
        opened(),
        ("block_resize", {"node-name": "n1", "size": 2 * MiB}),
        ("block_resize", {"node-name": "n1", "size": MiB}),
        CLOSED,
        opened(),
    ],
    "below a snapshot": [
        bitmap("add", "d0", "b0", granularity=4 * KiB, persistent=True),
        bitmap("add", "d0", "b1", granularity=4 * KiB),
        io("d0", "write 0 4k"),
        ("blockdev-snapshot-sync", {"device": "d0", "snapshot-file": "top", "snapshot-node-name": "top"}),
        io("d0", "write 64k 4k"),
        *(bitmap(verb, "d0", "b0") for verb in ("clear", "remove", "add")),
        *(bitmap(verb, "d0-node", name) for verb in ("clear", "enable", "disable", "remove") for name in ("b0", "b1")),
        bitmap("add", "d0-node", "b2"),
        bitmap("add", "d0-node", "b3", persistent=True),
        merge("d0-node", "b2", "b0"),
        merge("d0-node", "b0", "b2"),
        merge("top", "b0", ("d0-node", "b0")),
        io("d0", "write 128k 4k"),
    ],
    "read-only": [
        opened(),
        bitmap("add", "n1", "b0", granularity=4 * KiB, persistent=True),
        io("n1", "write 0 4k"),
        CLOSED,
        opened(read_only=True),
        *(bitmap(verb, "n1", "b0") for verb in ("clear", "enable", "disable", "remove", "add")),
        bitmap("add", "n1", "b5"),
        merge("n1", "b5", "b0"),
        merge("n1", "b0", "b5"),
        merge("n1", "b0", "nope"),
        merge("n1", "b5", "b0", "nope"),
        sha256("n1", "b0"),
    ],
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("release", RELEASES)
def test_stored_bitmaps_are_met_as_in_qemu(release: str, story: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, STORIES[story])


@pytest.mark.parametrize("release", RELEASES)
def test_an_inconsistent_bitmap_can_only_be_removed(release: str, tmp_path: Path) -> None:
    """The image is one that a real QEMU was using when it was killed."""
    files = images(DISKS)
    (tmp_path / "d0").write_bytes(files["d0"])
    (tmp_path / "d1").write_bytes(files["d1"])
    add = bitmap("add", "n1", "b0", persistent=True)
    converse(release, (real_program(release),), tmp_path, ARGUMENTS, [opened(), add, CLOSED, opened()])
    killed = files | {"d1": (tmp_path / "d1").read_bytes()}
    commands: list[Command] = [
        opened(),
        *(bitmap(verb, "n1", "b0") for verb in ("clear", "enable", "disable", "add")),
        bitmap("add", "n1", "b1"),
        merge("n1", "b0", "b1"),
        merge("n1", "b1", "b0"),
        sha256("n1", "b0"),
        io("n1", "write 0 64k"),
        transaction(bitmap("remove", "n1", "b0"), ABORT),
        CLOSED,
        opened(read_only=True),
        *(bitmap(verb, "n1", "b0") for verb in ("clear", "enable", "disable", "remove")),
        CLOSED,
        opened(),
        bitmap("remove", "n1", "b0"),
        bitmap("add", "n1", "b0"),
    ]
    assert_alike(release, tmp_path, killed, ARGUMENTS, commands)
