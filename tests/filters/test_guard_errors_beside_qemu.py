"""What becomes of guest and snapshot when old data cannot be saved, or not in time, beside real QEMUs.

The guest is a drive, so that its requests need no drained section, which would wait for what a breakpoint holds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.filters.beside import NODES, access, add, cbw, compare, delete, io, make_images, matrix, members, node
from tests.monitor.conversation import JOBS_END, Step, hmp, until
from tests.monitor.program import RELEASES

pytestmark = pytest.mark.timeout(120)

SOURCE = ("-blockdev", "driver=qcow2,node-name=source,file.driver=file,file.filename=source.qcow2")
FAILING = (
    "-blockdev",
    '{"driver": "raw", "node-name": "target", "file": {"driver": "blkdebug", "node-name": "faults",'
    ' "image": {"driver": "file", "filename": "target.raw"},'
    ' "inject-error": [{"event": "pwritev", "iotype": "write", "errno": 28, "once": true, "immediately": true}]}}',
)
HELD = ("-drive", "if=none,id=t0,node-name=target,driver=raw,file.driver=blkdebug,file.image.filename=target.raw")


def guest(**options: object) -> tuple[str, str]:
    """A drive behind a copy-before-write filter."""
    tree = {"driver": "copy-before-write", "node-name": "cbw", "file": "source", "target": "target", **members(options)}
    return drive(tree)


def drive(tree: dict[str, object]) -> tuple[str, str]:
    """A drive with these options; a -drive alone cannot refer to a node."""
    return "-drive", "if=none,id=d0,file=json:" + json.dumps(tree).replace(",", ",,")


STORIES: dict[str, tuple[tuple[str, ...], list[Step]]] = {
    "a failure is the guest's": (
        (*SOURCE, *FAILING, *guest()),
        [
            access(),
            NODES,
            *io("d0", "write -P 0x41 0 4k", "read -P 0x11 0 4k"),
            *io("snapshot", "read -P 0x11 0 128k"),
            NODES,
            *io("d0", "write -P 0x41 0 4k", "read -P 0x41 0 4k"),
            *io("snapshot", "read -P 0x11 0 64k", "map"),
            NODES,
        ],
    ),
    "a failure breaks the snapshot": (
        (*SOURCE, *FAILING, *guest(on_cbw_error="break-snapshot")),
        [
            access(),
            *io("d0", "write -P 0x41 1M 4k", "read -P 0x41 1M 4k", "write -P 0x42 0 4k"),
            *io("snapshot", "read 0 4k", "read 3M 4k", "map", "discard 0 64k"),
            NODES,
            node("copy"),
            ("blockdev-backup", {"job-id": "j0", "device": "snapshot", "target": "copy", "sync": "full"}),
            JOBS_END,
            delete("snapshot"),
            access(),
            *io("snapshot", "read 0 4k"),
        ],
    ),
    "too late for the guest": (
        (*SOURCE, *HELD, *guest(cbw_timeout=1)),
        [
            access(),
            *io("t0", "break pwritev A"),
            *io("d0", "write -P 0x41 0 4k", "read -P 0x11 0 4k"),
            *io("t0", "resume A"),
            *io("d0", "write -P 0x41 0 4k", "read -P 0x41 0 4k"),
            *io("snapshot", "read -P 0x11 0 64k"),
            NODES,
        ],
    ),
    "too late for the snapshot": (
        (*SOURCE, *HELD, *guest(cbw_timeout=1, on_cbw_error="break-snapshot")),
        [
            access(),
            *io("t0", "break pwritev A"),
            *io("d0", "write -P 0x41 0 4k", "read -P 0x41 0 4k", "write -P 0x41 64k 4k"),
            *io("t0", "resume A"),
            *io("snapshot", "read 1M 4k"),
        ],
    ),
    "a job's own filter is read": (
        (*SOURCE, *drive({"driver": "raw", "file": "source", "node-name": "top"})),
        [
            node("target"),
            (
                "blockdev-backup",
                {"job-id": "j0", "device": "d0", "target": "target", "sync": "none", "filter-node-name": "filter"},
            ),
            until("running"),
            access("snapshot", "filter"),
            *io("d0", "write -P 0x41 0 4k", "write -z 1M 4k"),
            *io("snapshot", "read -P 0x11 0 64k", "read -P 0x11 64k 64k", "read -P 0x11 1M 64k", "map"),
            NODES,
            delete("filter"),
            ("job-cancel", {"id": "j0"}),
            until("null"),
            *io("snapshot", "read 0 64k", "length"),
            NODES,
            delete("snapshot"),
        ],
    ),
    "filters above each other": (
        (*SOURCE, "-object", "throttle-group,id=tg"),
        [
            node("target"),
            node("copy"),
            add("throttle", "slow", file="source", throttle_group="tg"),
            cbw("cbw1", "slow", "target"),
            cbw("cbw2", "cbw1", "copy"),
            access("s1", "cbw1"),
            access("s2", "cbw2"),
            *io("cbw1", "write -P 0x41 0 4k"),
            *io("cbw2", "write -P 0x42 128k 4k", "write -P 0x43 0 4k"),
            *io("s1", "read -P 0x11 0 64k", "read -P 0x11 64k 64k", "read -P 0x11 128k 64k", "map"),
            *io("s2", "read -P 0x41 0 4k", "read -P 0x11 4k 60k", "read -P 0x11 128k 64k", "map"),
            NODES,
            hmp("info block"),
            delete("cbw1"),
            delete("cbw2"),
            delete("s2"),
            delete("cbw2"),
            *io("cbw1", "write -P 0x44 192k 4k"),
        ],
    ),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


SHORT = {"too late for the guest": "10.0", "a failure breaks the snapshot": "7.2", "a job's own filter is read": "11.1"}


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, SHORT, releases=RELEASES[1:]))
def test_failures_beside_qemu(story: str, release: str, images: Path, tmp_path: Path) -> None:
    arguments, steps = STORIES[story]
    compare(release, images, tmp_path, steps, arguments)
