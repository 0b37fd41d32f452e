"""Copy-before-write filters among jobs, overlays and read-only nodes, beside real QEMUs of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filters.beside import (
    NODES,
    access,
    add,
    bitmap,
    cbw,
    compare,
    delete,
    io,
    make_images,
    matrix,
    node,
)
from tests.monitor.conversation import JOBS_END, Step, until
from tests.monitor.program import RELEASES

pytestmark = pytest.mark.timeout(120)

GRAPH: Step = ("x-debug-query-block-graph", {})


def overlay(below: str, above: str) -> Step:
    """`blockdev-snapshot`."""
    return "blockdev-snapshot", {"node": below, "overlay": above}


def backup(device: str, target: str, job: str = "j0", **more: object) -> Step:
    """A job that does not end by itself, unless told otherwise."""
    return "blockdev-backup", {"job-id": job, "device": device, "target": target, "sync": "none", **more}


STORIES: dict[str, list[Step]] = {
    "overlays of filters": [
        node("source"),
        node("target"),
        node("copy"),
        node("overlay", backing=None),
        cbw(),
        access(),
        overlay("cbw", "overlay"),
        GRAPH,
        NODES,
        *io("overlay", "write -P 0x71 0 4k", "read -P 0x11 64k 4k"),
        *io("cbw", "write 0 4k"),
        *io("source", "write 0 4k"),
        delete("overlay"),
        delete("cbw"),
        delete("snapshot"),
        overlay("source", "copy"),
        GRAPH,
        *io("copy", "write 0 4k"),
        *io("target", "map"),
        overlay("snapshot", "copy"),
        overlay("target", "cbw"),
        overlay("cbw", "cbw"),
        overlay("source", "source"),
    ],
    "jobs on filters": [
        node("source"),
        node("target"),
        node("copy"),
        node("other"),
        cbw(),
        access(),
        backup("cbw", "copy", "j0"),
        GRAPH,
        backup("snapshot", "copy", "j1"),
        backup("snapshot", "other", "j1"),
        GRAPH,
        delete("cbw"),
        delete("snapshot"),
        delete("source"),
        delete("copy"),
        *io("cbw", "write -P 1 0 64k"),
        *io("target", "read -P 0x11 0 64k"),
        *io("copy", "read -P 0x11 0 64k"),
        *io("snapshot", "read -P 0x11 0 64k"),
        ("block_resize", {"node-name": "target", "size": 8 << 20}),
        ("block_resize", {"node-name": "cbw", "size": 8 << 20}),
        backup("source", "other", "j2"),
        backup("target", "copy", "j2"),
        backup("copy", "target", "j2"),
        ("job-cancel", {"id": "j1"}),
        until("null", "j1"),
        ("job-cancel", {"id": "j0"}),
        until("null", "j0"),
        GRAPH,
        backup("source", "other", "j3"),
        GRAPH,
        *io("cbw", "write -P 2 64k 64k"),
        *io("other", "map"),
        ("job-cancel", {"id": "j3"}),
        until("null", "j3"),
        GRAPH,
    ],
    "clusters of other sizes": [
        node("source"),
        node("coarse"),
        node("target"),
        cbw("cbw", "source", "coarse"),
        access(),
        *io("cbw", "write -P 3 100k 4k"),
        *io("coarse", "map"),
        NODES,
        *io("snapshot", "read -P 0x11 0 256k", "read -P 0x11 256k 768k"),
        delete("snapshot"),
        delete("cbw"),
        cbw("cbw", "source", "target", min_cluster_size=1 << 20),
        access(discard="unmap"),
        *io("cbw", "write -P 4 1500k 4k"),
        *io("target", "map"),
        NODES,
        *io(
            "snapshot",
            "discard 0 512k",
            "discard 0 1M",
            "read 512k 4k",
            "discard 3M 1536k",
            "discard 3M 1M",
            "read 3M 4k",
        ),
        *io("cbw", "write -P 4 0 4k"),
        *io("target", "map"),
    ],
    "source is an overlay": [
        node("source"),
        node("overlay", backing="source"),
        node("target"),
        node("copy"),
        *io("overlay", "write -P 0x51 64k 64k"),
        cbw("cbw", "overlay", "target"),
        access(),
        *io("snapshot", "map", "read -P 0x11 0 64k", "read -P 0x51 64k 64k"),
        *io("cbw", "write -P 1 0 4k", "map"),
        *io("snapshot", "map", "read -P 0x11 0 64k"),
        backup("snapshot", "copy", "j0", sync="full"),
        JOBS_END,
        *io("copy", "map", "read -P 0x51 64k 64k", "read -P 0x11 128k 64k"),
        backup("snapshot", "copy", "j0", sync="top"),
        JOBS_END,
        bitmap("source", "b"),
        bitmap("cbw", "b"),
        bitmap("snapshot", "b"),
        NODES,
        ("block-dirty-bitmap-add", {"node": "cbw", "name": "p", "persistent": True}),
        *io("cbw", "write -P 1 2M 4k"),
        NODES,
    ],
    "read-only": [
        node("source", read_only=True),
        node("target"),
        node("copy", read_only=True),
        cbw("c1", "source", "copy"),
        cbw("c2", "source", "target"),
        access("s", "c2"),
        cbw("c3", "source", "target", read_only=True),
        access("s3", "c3", read_only=True),
        access("s4", "c3"),
        *io("c2", "write 0 4k"),
        *io("c3", "write 0 4k"),
        *io("s3", "read -P 0x11 0 4k", "discard 0 64k"),
        add("raw", "r", file="c3"),
        add("raw", "r2", file="c2"),
        GRAPH,
        NODES,
        *io("r", "write 0 4k"),
        *io("r2", "write 0 4k"),
    ],
    "fleecing": [
        node("source"),
        node("target", backing="source"),
        backup("source", "target"),
        GRAPH,
        delete("target"),
        delete("source"),
        cbw("c", "source", "target"),
        *io("source", "write 0 4k"),
        ("job-cancel", {"id": "j0"}),
        until("null"),
        cbw("c", "source", "target"),
        access("s", "c"),
        GRAPH,
        *io("c", "write -P 9 0 4k", "write -z 64k 64k"),
        *io("target", "read -P 0x11 0 64k", "read -P 0x11 64k 64k", "map"),
        *io("s", "read -P 0x11 0 64k", "read -P 0x11 64k 64k", "map"),
        overlay("c", "target"),
    ],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


SHORT = {"jobs on filters": "10.0"}


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, SHORT, releases=RELEASES[1:]))
def test_filters_among_others(story: str, release: str, images: Path, tmp_path: Path) -> None:
    compare(release, images, tmp_path, STORIES[story])
