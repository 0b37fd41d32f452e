"""Copy-before-write filters that a client makes, and what is read through them, beside real QEMUs of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filters.beside import NODES, access, bitmap, cbw, compare, delete, io, make_images, matrix, node
from tests.monitor.conversation import JOBS_END, Step

pytestmark = pytest.mark.timeout(120)

OPEN = [
    node("source", discard="unmap"),
    node("target", discard="unmap"),
    node("small"),
    node("coarse"),
]

STORIES: dict[str, list[Step]] = {
    "what is refused": [
        *OPEN,
        bitmap("source", "b0"),
        bitmap("small", "sb"),
        ("blockdev-add", {"driver": "copy-before-write", "node-name": "cbw"}),
        ("blockdev-add", {"driver": "copy-before-write", "node-name": "cbw", "file": "source"}),
        ("blockdev-add", {"driver": "copy-before-write", "file": "source", "target": "target"}),
        cbw(target="nope"),
        cbw(file="nope"),
        cbw(bitmap={"node": "nope", "name": "b0"}),
        cbw(bitmap={"node": "source", "name": "nope"}),
        cbw(bitmap={"node": "source"}),
        cbw(bitmap={"node": "small", "name": "sb"}),
        cbw(bitmap={"node": "small", "name": "sb"}, min_cluster_size=3),
        cbw(on_cbw_error="x"),
        cbw(cbw_timeout=-1),
        cbw(cbw_timeout=2**32),
        cbw(min_cluster_size=3),
        cbw(min_cluster_size=2**63),
        cbw(min_cluster_size=-1),
        cbw(min_cluster_size=0),
        delete("cbw"),
        cbw(discard_source=True),
        cbw(x=1),
        cbw(target="source"),
        NODES,
        delete("cbw"),
        cbw(target="small"),
        delete("cbw"),
        access("s2", "source"),
        access("s3", {"driver": "file", "filename": "small.qcow2"}),
        ("blockdev-add", {"driver": "snapshot-access", "node-name": "s4"}),
        access("s5", "source", x="y"),
        access("s6", "source", backing="target"),
        *io("s2", "read 0 4k", "write 0 4k", "discard 0 64k", "map", "info", "length"),
        *io("s3", "read 0 4k", "length"),
        NODES,
        delete("source"),
        delete("s2"),
        delete("source"),
    ],
    "what is guarded": [
        *OPEN,
        cbw(cbw_timeout=45),
        access(discard="unmap"),
        NODES,
        delete("cbw"),
        delete("source"),
        delete("target"),
        *io("snapshot", "read -P 0x11 0 2M", "write 0 4k", "write -z 0 4k", "read 4M 64k", "map", "info", "length"),
        *io("source", "write 0 4k", "read 0 4k", "discard 0 64k", "truncate 8M"),
        *io("target", "write 3M 4k", "truncate 8M"),
        *io("cbw", "write -P 0x21 60k 8k", "write -z 256k 64k", "write -z -u 320k 4k", "discard 448k 64k", "map"),
        *io("cbw", "write -P 0x22 60k 8k", "write -P 0x23 2M 64k", "write -P 0x24 3M 64k"),
        *io("cbw", "read -P 0x22 60k 8k", "read -P 0 256k 64k", "read -P 0 320k 4k", "read -P 0 448k 64k"),
        # 7.2 gives new data for a read that begins in what was saved and ends behind it.
        *io("snapshot", "read -P 0x11 0 128k", "read -P 0x11 128k 192k", "read -P 0x11 320k 64k", "map"),
        *io("snapshot", "read -P 0x11 384k 1664k", "read -P 0 2M 64k", "read -P 0 2112k 960k", "read -P 0x12 3M 64k"),
        *io("snapshot", "read -P 0 4032k 64k"),
        *io("target", "read -P 0x11 0 128k", "read -P 0 2M 64k", "map"),
        NODES,
        *io("snapshot", "discard 512k 64k"),
        *io("snapshot", "read 512k 64k", "read 508k 8k", "read 576k 64k", "map"),
        NODES,
        *io("cbw", "write -P 0x25 512k 4k", "write -P 0x25 576k 4k"),
        *io("target", "map"),
        ("block_resize", {"node-name": "cbw", "size": 8 << 20}),
        ("block_resize", {"node-name": "source", "size": 8 << 20}),
        ("block_resize", {"node-name": "snapshot", "size": 8 << 20}),
        delete("snapshot"),
        delete("cbw"),
        *io("source", "write 0 4k"),
        delete("source"),
        delete("target"),
        NODES,
    ],
    "a part of a cluster is not discarded": [
        *OPEN,
        cbw(),
        access(discard="unmap"),
        *io("snapshot", "discard 512k 100k", "discard 700k 4k", "discard 700k 100k", "discard 1000k 256k"),
        *io("snapshot", "read 512k 64k", "read 576k 64k", "read 700k 4k", "read 1M 64k", "read 1088k 64k", "map"),
        NODES,
        *io("cbw", "write -P 0x25 0 2M"),
        *io("target", "map"),
    ],
    "a bitmap says what": [
        *OPEN,
        bitmap("source", "b0"),
        bitmap("source", "fine", granularity=4096),
        bitmap("source", "wide", granularity=262144),
        *io("source", "write -P 0x31 100k 4k"),
        *(
            step
            for name in ("fine", "wide")
            for step in (cbw(bitmap={"node": "source", "name": name}), NODES, delete("cbw"))
        ),
        cbw(target="coarse", bitmap={"node": "source", "name": "fine"}),
        NODES,
        delete("cbw"),
        cbw(bitmap={"node": "source", "name": "b0"}, on_cbw_error="break-snapshot"),
        access(),
        NODES,
        *io("cbw", "write -P 0x32 0 1M", "read -P 0x32 0 1M"),
        *io("snapshot", "read 64k 64k", "read 60k 8k", "read 124k 8k", "read 0 4k", "map"),
        *io("target", "map"),
        ("block-dirty-bitmap-remove", {"node": "source", "name": "b0"}),
        NODES,
        access("again", "cbw"),
        *io("again", "read -P 0x31 100k 4k", "read -P 0x11 64k 4k"),
        node("copy"),
        ("blockdev-backup", {"job-id": "j0", "device": "snapshot", "target": "copy", "sync": "full"}),
        JOBS_END,
        bitmap("snapshot", "owed", granularity=65536),
        ("blockdev-backup", {"job-id": "j1", "device": "snapshot", "target": "copy", "sync": "full"}),
        JOBS_END,
        *io("copy", "map"),
    ],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


SHORT = {"what is refused": "11.1", "what is guarded": "10.0", "a bitmap says what": "7.2"}
CRASHES = [("a part of a cluster is not discarded", "7.2")]


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, SHORT, without=CRASHES))
def test_guards_beside_qemu(story: str, release: str, images: Path, tmp_path: Path) -> None:
    compare(release, images, tmp_path, STORIES[story])
