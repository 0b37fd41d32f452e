"""Bitmaps in transactions: what a failing action takes back, and what is seen on the way, in real QEMUs and here."""

from pathlib import Path

import pytest

from tests.bitmaps.beside import (
    ABORT,
    Command,
    KiB,
    MiB,
    assert_alike,
    bitmap,
    images,
    io,
    merge,
    transaction,
    until,
)

pytestmark = pytest.mark.timeout(120)

DISKS = {"d0": ["-f", "qcow2", "1M"], "d1": ["-f", "qcow2", "2M"]}
ARGUMENTS = [
    argument
    for name in DISKS
    for argument in ("-drive", f"if=none,id={name},node-name={name}-node,file={name},format=qcow2,discard=unmap")
]
BEGIN: list[Command] = [
    bitmap("add", "d0", "b0"),
    bitmap("add", "d0", "fine", granularity=4 * KiB),
    bitmap("add", "d0", "off", disabled=True),
    io("d0", "write 0 4k", "write 300k 100k"),
    bitmap("disable", "d0", "fine"),
    io("d0", "write 600k 4k"),
]

STORIES: dict[str, list[Command]] = {
    "clear comes back": [
        *BEGIN,
        transaction(bitmap("clear", "d0", "b0"), bitmap("clear", "d0", "fine"), ABORT),
        transaction(bitmap("clear", "d0", "b0"), bitmap("clear", "d0", "b0"), ABORT),
        transaction(bitmap("clear", "d0", "b0"), bitmap("clear", "d0", "nope")),
        transaction(bitmap("clear", "d0", "b0"), bitmap("clear", "d0", "fine")),
    ],
    "merge comes back": [
        *BEGIN,
        transaction(merge("d0", "off", "b0"), merge("d0", "off", "fine"), ABORT),
        transaction(merge("d0", "off", "b0", "nope")),
        transaction(merge("d0", "off", "b0", "fine"), bitmap("clear", "d0", "b0"), merge("d0", "fine", "b0"), ABORT),
        transaction(bitmap("clear", "d0", "off"), merge("d0", "off", "fine"), bitmap("clear", "d0", "fine")),
    ],
    "add goes": [
        *BEGIN,
        transaction(bitmap("add", "d0", "new"), ABORT),
        transaction(bitmap("add", "d0", "new"), bitmap("add", "d0", "new")),
        transaction(bitmap("add", "d0", "new"), merge("d0", "new", "b0", "fine"), bitmap("disable", "d0", "b0"), ABORT),
        transaction(bitmap("add", "d0", "new"), merge("d0", "new", "b0"), bitmap("disable", "d0", "b0")),
        transaction(bitmap("add", "d0", ""), bitmap("add", "d0", "x")),
        transaction(bitmap("add", "d0", "x"), bitmap("add", "d0", "y", granularity=3)),
        transaction(bitmap("add", "d0", "x"), bitmap("add", "nope", "y")),
        transaction(bitmap("add", "d0", "x", granularity=-1)),
    ],
    "recording comes back": [
        *BEGIN,
        transaction(bitmap("disable", "d0", "b0"), bitmap("enable", "d0", "off"), ABORT),
        transaction(bitmap("disable", "d0", "b0"), bitmap("enable", "d0", "b0"), ABORT),
        transaction(bitmap("enable", "d0", "b0"), bitmap("disable", "d0", "off"), ABORT),
        io("d0", "write 900k 4k"),
        transaction(bitmap("disable", "d0", "b0"), bitmap("enable", "d0", "off")),
        io("d0", "write 700k 4k"),
    ],
    "removal waits": [
        *BEGIN,
        transaction(bitmap("remove", "d0", "b0"), ABORT),
        transaction(bitmap("remove", "d0", "b0"), bitmap("remove", "d0", "b0")),
        transaction(bitmap("remove", "d0", "b0"), bitmap("add", "d0", "b0")),
        transaction(bitmap("remove", "d0", "b0"), bitmap("clear", "d0", "b0")),
        transaction(bitmap("remove", "d0", "b0"), merge("d0", "fine", "b0")),
        transaction(merge("d0", "fine", "b0"), bitmap("remove", "d0", "b0")),
        transaction(bitmap("remove", "d0", "off"), bitmap("remove", "d0", "nope")),
        transaction(bitmap("add", "d0", "new"), bitmap("remove", "d0", "new")),
        transaction(bitmap("add", "d0", "new"), bitmap("remove", "d0", "new"), ABORT),
    ],
    "several disks": [
        *BEGIN,
        bitmap("add", "d1", "b0"),
        io("d1", "write 1M 64k"),
        transaction(bitmap("clear", "d0", "b0"), merge("d1", "b0", ("d0", "b0"))),
        transaction(bitmap("clear", "d1", "b0"), bitmap("clear", "d0", "b0"), ABORT),
        transaction(bitmap("clear", "d1", "b0"), bitmap("clear", "d0", "b0")),
    ],
    "grouped": [
        *BEGIN,
        transaction(bitmap("clear", "d0", "b0"), **{"completion-mode": "grouped"}),
        transaction(bitmap("nope", "d0", "b0")),
        ("transaction", {"actions": [{"type": "block-dirty-bitmap-clear"}]}),
        ("transaction", {"actions": [{"type": "block-dirty-bitmap-clear", "data": {"node": "d0"}}]}),
        ("transaction", {"actions": [{"type": "block-dirty-bitmap-merge", "data": {"node": "d0", "target": "b0"}}]}),
    ],
    "with a backup": [
        ("blockdev-add", {"driver": "null-co", "node-name": "target", "size": MiB}),
        *BEGIN,
        transaction(
            bitmap("add", "d0", "new"),
            bitmap("clear", "d0", "b0"),
            (
                "blockdev-backup",
                {
                    "job-id": "j0",
                    "device": "d0",
                    "target": "target",
                    "sync": "incremental",
                    "bitmap": "fine",
                    "auto-finalize": False,
                },
            ),
            bitmap("clear", "d0-node", "fine"),
        ),
        transaction(
            bitmap("clear", "d0", "b0"),
            bitmap("disable", "d0", "fine"),
            (
                "blockdev-backup",
                {
                    "job-id": "j0",
                    "device": "d0-node",
                    "target": "target",
                    "sync": "bitmap",
                    "bitmap-mode": "never",
                    "bitmap": "off",
                    "auto-finalize": False,
                },
            ),
            bitmap("clear", "d0-node", "fine"),
        ),
        until("pending"),
        transaction(bitmap("clear", "d0-node", "b0"), bitmap("clear", "d0-node", "off")),
        ("job-finalize", {"id": "j0"}),
        until("null"),
    ],
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("release", ["7.2", "11.1"])
def test_the_same_is_left_as_in_qemu(release: str, story: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, STORIES[story])
