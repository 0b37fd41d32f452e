"""What marks a bitmap, and what does not: guests' requests of every kind, in every layer, in real QEMUs and here."""

from pathlib import Path
from typing import Any

import pytest

from tests.bitmaps.beside import Command, KiB, MiB, assert_alike, bitmap, images, io

pytestmark = pytest.mark.timeout(120)


def drive(name: str, format_name: str = "qcow2", **options: Any) -> list[str]:
    """A drive with a node of its own, both called after its file."""
    given = {"if": "none", "id": name, "node-name": f"{name}-node", "file": name, "format": format_name, **options}
    return ["-drive", ",".join(f"{key}={value}" for key, value in given.items())]


DISKS = {
    "d0": ["-f", "qcow2", "1M"],
    "keep": ["-f", "qcow2", "1M"],
    "plain": ["-f", "raw", "1000000"],
    "zeroing": ["-f", "qcow2", "1M"],
    "base": ["-f", "qcow2", "1M"],
    "overlay": ["-f", "qcow2", "-b", "base", "-F", "qcow2", "1M"],
    "bad": ["-f", "qcow2", "1M"],
}
ARGUMENTS = [
    "-object",
    "throttle-group,id=tg",
    *drive("d0", discard="unmap"),
    *drive("keep"),
    *drive("plain", "raw", discard="unmap"),
    *drive("zeroing", **{"discard": "unmap", "detect-zeroes": "unmap"}),
    *drive("overlay", **{"backing.node-name": "base-node"}),
]


def add(node: str, name: str = "b0", granularity: int = 4 * KiB) -> Command:
    return bitmap("add", node, name, granularity=granularity)


KINDS = [
    "write 0 4k",
    "write 5000 1",
    "write 8191 2",
    "write 20k 0",
    "write -z 64k 64k",
    "write -z 200000 10",
    "write -z -u 256k 64k",
    "discard 384k 64k",
    "discard 500k 1000",
    "discard 600001 1",
    "write -c 640k 64k",
    "write -f 768k 4k",
    "writev 800k 512 512",
    "aio_write 820k 4k",
    "aio_flush",
    "read 900k 4k",
    "flush",
    "write 1048064 512",
    "write 999900 100",
]

EACH_KIND: dict[str, list[Command]] = {
    f"kinds on {name}": [add(f"{name}-node"), *(io(name, *KINDS[at : at + 4]) for at in range(0, len(KINDS), 4))]
    for name in ("d0", "keep", "plain", "zeroing")
}

LAYERS: list[Command] = [
    add("overlay-node"),
    add("base-node"),
    io("overlay", "write 0 4k", "write 128k 100"),
    io("overlay", "read 300k 64k"),
    io("overlay", "write -z 256k 64k"),
]

FILTER: list[Command] = [
    ("blockdev-add", {"driver": "throttle", "node-name": "above", "throttle-group": "tg", "file": "d0-node"}),
    add("above"),
    add("d0-node", "b1"),
    io("above", "write 0 4k"),
    io("above", "discard 64k 64k"),
    io("above", "write -z 256k 4k"),
    io("d0", "write 512k 4k"),
]


def failing(event: str, **rule: Any) -> list[Command]:
    """A disk whose file fails once at the event, and its bitmaps."""
    return [
        (
            "blockdev-add",
            {
                "driver": "qcow2",
                "node-name": "bad-node",
                "discard": "unmap",
                "file": {
                    "driver": "blkdebug",
                    "node-name": "debug",
                    "discard": "unmap",
                    "image": {"driver": "file", "filename": "bad", "discard": "unmap"},
                    "inject-error": [{"event": event, "once": True, **rule}],
                },
            },
        ),
        add("bad-node"),
        io("bad-node", "write 0 4k"),
        io("bad-node", "write 128k 100"),
        io("bad-node", "write 0 4k"),
        io("bad-node", "write -z 256k 64k"),
        io("bad-node", "discard 0 64k"),
        io("bad-node", "write 512k 64k"),
        io("bad-node", "write -c 640k 64k"),
    ]


FAILING = {
    f"failing at {event}": failing(event)
    for event in ("write_aio", "l2_update", "cluster_alloc", "l2_alloc_write", "pwritev", "pwritev_zero", "flush_to_os")
}

LIMITS: list[Command] = [
    add("d0-node"),
    io("d0", "write 1M 512"),
    io("d0", "write 1048000 1000"),
    io("d0", "write -z 1048000 1000"),
    io("d0", "discard 1048000 1000"),
    io("d0", "discard 2M 64k"),
    io("d0", "write -5 10"),
]

READ_ONLY: list[Command] = [
    (
        "blockdev-add",
        {"driver": "qcow2", "node-name": "ro", "read-only": True, "file": {"driver": "file", "filename": "bad"}},
    ),
    add("ro"),
    bitmap("add", "ro", "b0", persistent=True),
    bitmap("add", "ro", "kept", persistent=True, granularity=3),
    bitmap("add", "ro", "kept", persistent=True),
    io("ro", "write 0 4k"),
    io("ro", "discard 0 64k"),
]

RESIZING: list[Command] = [
    add("d0-node"),
    add("d0-node", "coarse", MiB),
    add("plain-node"),
    io("d0", "write 0 4k", "write 900k 100k"),
    io("plain", "write 900k 70k"),
    ("block_resize", {"device": "d0", "size": 3 * MiB}),
    io("d0", "write 2M 4k"),
    ("block_resize", {"device": "d0", "size": 950 * KiB}),
    ("block_resize", {"device": "d0", "size": 2 * MiB}),
    ("block_resize", {"device": "d0", "size": MiB + 512}),
    ("block_resize", {"device": "plain", "size": 5 * MiB}),
    ("block_resize", {"device": "plain", "size": 1000}),
    ("block_resize", {"device": "plain", "size": 0}),
    io("plain", "write 0 512"),
    ("block_resize", {"device": "plain", "size": MiB}),
    io("plain", "write 0 512"),
]

STORIES: dict[str, list[Command]] = {
    **EACH_KIND,
    "layers": LAYERS,
    "filter": FILTER,
    **FAILING,
    "limits": LIMITS,
    "read-only": READ_ONLY,
    "resizing": RESIZING,
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("release", ["7.2"])
def test_the_same_is_marked_as_in_qemu(release: str, story: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, STORIES[story])
