"""The commands on bitmaps: the engine answers as the real QEMU of the release and shows the same bitmaps."""

from pathlib import Path

import pytest

from tests.bitmaps.beside import Command, KiB, MiB, assert_alike, bitmap, images, io, merge, sha256, until
from tests.monitor.program import RELEASES

pytestmark = pytest.mark.timeout(120)

DISKS = {
    "d0": ["-f", "qcow2", "1M"],
    "small": ["-f", "qcow2", "-o", "cluster_size=512", "1M"],
    "large": ["-f", "qcow2", "-o", "cluster_size=2M", "5M"],
    "plain": ["-f", "raw", "1000000"],
}
FORMATS = {"plain": "raw"}
ARGUMENTS = [
    argument
    for name in DISKS
    for argument in (
        "-drive",
        f"if=none,id={name},node-name={name}-node,file={name},format={FORMATS.get(name, 'qcow2')},discard=unmap",
    )
] + ["-drive", "if=none,id=empty"]

ADDING: list[Command] = [
    bitmap("add", "nope", "b0"),
    bitmap("add", "nope", ""),
    bitmap("add", "empty", "b0"),
    bitmap("add", "", "b0"),
    bitmap("add", "d0", ""),
    bitmap("add", "d0", "", granularity=3),
    bitmap("add", "nope", "b0", granularity=3),
    *(
        bitmap("add", "d0", "b0", granularity=granularity)
        for granularity in (3, 1, 0, 256, 513, 3 << 20, -1, 1 << 32, "512", None, 1.5)
    ),
    bitmap("add", "d0", "b0"),
    bitmap("add", "d0", "b0"),
    bitmap("add", "d0-node", "b0", granularity=512),
    bitmap("add", "d0-node", "b0", granularity=1),
    *(bitmap("add", "d0", f"g{shift}", granularity=1 << shift) for shift in (9, 12, 20, 30, 31)),
    *(bitmap("add", name, "b0") for name in DISKS if name != "d0"),
    bitmap("add", "plain", "off", disabled=True),
    bitmap("add", "plain", "kept", persistent=True),
    bitmap("add", "plain-node", "kept", persistent=True, granularity=1),
    bitmap("add", "plain", "off", persistent=True),
    bitmap("add", "plain", "loaded", autoload=True),
    bitmap("add", "plain", "x" * 1023),
    bitmap("add", "plain", "y" * 1024),
    bitmap("add", "plain", "ä" * 512),
    bitmap("add", "plain", "b0", disabled="yes"),
    ("block-dirty-bitmap-add", {"name": "b0"}),
    ("block-dirty-bitmap-add", {"node": "d0"}),
]

ERRORS: list[Command] = [
    bitmap("add", "d0", "b0"),
    *(
        bitmap(verb, node, name)
        for verb in ("remove", "clear", "enable", "disable")
        for node, name in (("nope", "b0"), ("empty", "b0"), ("", ""), ("d0", "nope"), ("d0", ""))
    ),
    sha256("nope", "b0"),
    sha256("d0", "nope"),
    ("x-debug-block-dirty-bitmap-sha256", {"node": "d0"}),
    bitmap("remove", "d0", "b0", force=True),
    bitmap("remove", "d0", "b0"),
    bitmap("remove", "d0", "b0"),
]

RECORDING: list[Command] = [
    bitmap("add", "d0", "b0"),
    bitmap("add", "d0", "b1", disabled=True),
    io("d0", "write 0 64k"),
    bitmap("disable", "d0", "b0"),
    bitmap("disable", "d0", "b0"),
    bitmap("enable", "d0-node", "b1"),
    io("d0", "write 128k 64k"),
    bitmap("enable", "d0", "b1"),
    bitmap("clear", "d0", "b0"),
    bitmap("enable", "d0", "b0"),
    io("d0", "write 512k 1"),
    bitmap("remove", "d0", "b1"),
]

MERGING: list[Command] = [
    *(bitmap("add", "d0", f"g{shift}", granularity=1 << shift) for shift in (9, 12, 16, 20)),
    bitmap("add", "plain", "b0"),
    bitmap("add", "small", "b0"),
    bitmap("add", "d0", "sum4k", granularity=4096, disabled=True),
    bitmap("add", "d0", "sum128k", granularity=128 * KiB, disabled=True),
    io("d0", "write 5k 512", "write 300k 100k", "write 1048000 576"),
    bitmap("disable", "d0", "g12"),
    io("small", "write 700k 1k"),
    merge("d0", "nope"),
    merge("nope", "nope", "b0"),
    merge("d0", "sum4k", "nope"),
    merge("d0", "sum4k", "g16", "nope"),
    merge("d0", "sum4k", "g16", ("plain", "b0")),
    merge("plain", "b0", ("d0", "g16")),
    merge("d0", "sum4k", ("nope", "b0")),
    merge("d0", "sum4k", ("empty", "b0")),
    merge("d0", "sum4k", ("d0", "nope")),
    merge("d0", "sum4k", "g9"),
    merge("d0", "sum128k", "g9"),
    merge("d0", "sum128k", ("small", "b0")),
    merge("d0-node", "g20", "g20"),
    bitmap("clear", "d0", "sum4k"),
    merge("d0", "sum4k", "g16"),
    bitmap("clear", "d0", "sum4k"),
    merge("d0", "sum4k", "g12", ("small-node", "b0")),
    bitmap("clear", "d0", "g9"),
    merge("d0", "g9", "g20"),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9"}),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9", "bitmaps": "g9"}),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9", "bitmaps": [1]}),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9", "bitmaps": [None]}),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9", "bitmaps": [{"node": "d0"}]}),
    ("block-dirty-bitmap-merge", {"node": "d0", "target": "g9", "bitmaps": [{"nod": "d0", "node": "y", "name": "x"}]}),
]

BUSY: list[Command] = [
    ("blockdev-add", {"driver": "null-co", "node-name": "target", "size": MiB}),
    ("blockdev-add", {"driver": "null-co", "node-name": "other", "size": MiB}),
    bitmap("add", "d0", "b0"),
    bitmap("add", "d0", "b1", disabled=True),
    bitmap("add", "plain", "b0"),
    io("d0", "write 0 64k"),
    (
        "blockdev-backup",
        {
            "job-id": "j0",
            "device": "d0",
            "target": "target",
            "sync": "incremental",
            "bitmap": "b0",
            "auto-finalize": False,
        },
    ),
    until("pending"),
    io("d0", "write 128k 64k"),
    *(bitmap(verb, "d0-node", "b0") for verb in ("clear", "remove", "enable", "disable", "add")),
    bitmap("add", "d0-node", "b0", persistent=True),
    sha256("d0-node", "b0"),
    merge("d0-node", "b0", "nope"),
    merge("d0-node", "b0", "b1"),
    merge("d0-node", "b0", "b1", "nope"),
    merge("d0-node", "b0", "b0"),
    merge("d0-node", "b0", ("plain", "b0")),
    merge("d0-node", "b1", "b0"),
    merge("d0-node", "b1", "b0", "nope"),
    merge("d0-node", "b1", "nope", "b0"),
    merge("d0-node", "b1", ("plain", "b0"), "b0"),
    merge("d0-node", "b1", "b1", "b0"),
    *(bitmap(verb, "d0", "b0") for verb in ("clear", "remove", "enable", "disable")),
    bitmap("add", "d0", "above"),
    bitmap("add", "d0", "kept", persistent=True),
    io("d0", "write 512k 64k"),
    ("job-finalize", {"id": "j0"}),
    until("null"),
    bitmap("clear", "d0", "b0"),
]

POINT_IN_TIME: list[Command] = [
    ("blockdev-add", {"driver": "null-co", "node-name": "target", "size": MiB}),
    bitmap("add", "d0", "b0", granularity=4 * KiB),
    ("blockdev-backup", {"job-id": "j0", "device": "d0", "target": "target", "sync": "none"}),
    io("d0", "write 100k 4k", "write -z 300k 1k"),
    bitmap("disable", "d0-node", "b0"),
    io("d0", "discard 512k 64k"),
    io("d0-node", "read 0 64k"),
    ("job-cancel", {"id": "j0"}),
    until("null"),
]


def whole(**options: object) -> list[Command]:
    """A backup that ends when it is told to, and the bitmaps seen meanwhile."""
    arguments = {"job-id": "j0", "device": "d0", "target": "target", "auto-finalize": False}
    return [
        ("blockdev-add", {"driver": "null-co", "node-name": "target", "size": MiB}),
        bitmap("add", "d0", "b0"),
        bitmap("add", "d0", "b1"),
        io("d0", "write 100k 4k", "write -z 300k 1k"),
        ("blockdev-backup", arguments | {name.replace("_", "-"): value for name, value in options.items()}),
        until("pending"),
        io("d0", "write 700k 4k"),
        ("job-finalize", {"id": "j0"}),
        until("null"),
    ]


DURING_BACKUPS = {
    "point in time": POINT_IN_TIME,
    "full": whole(sync="full"),
    "top": whole(sync="top"),
    **{
        f"{sync} {mode}": whole(sync=sync, bitmap="b0", bitmap_mode=mode)
        for sync, mode in (
            ("full", "always"),
            ("full", "on-success"),
            ("bitmap", "never"),
            ("bitmap", "always"),
            ("incremental", "on-success"),
        )
    },
}
STORIES = {"adding": ADDING, "errors": ERRORS, "recording": RECORDING, "merging": MERGING, "busy": BUSY}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("release", RELEASES)
def test_answers_and_bitmaps_are_those_of_qemu(release: str, story: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, STORIES[story])


@pytest.mark.parametrize("story", DURING_BACKUPS)
@pytest.mark.parametrize("release", ["5.2", "11.1"])
def test_bitmaps_during_a_backup_are_those_of_qemu(release: str, story: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, DURING_BACKUPS[story])
