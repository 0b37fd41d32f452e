"""Reads that store what they find below, by a filter and by a drive's option, beside real QEMUs of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filters.beside import NODES, add, bitmap, compare, delete, io, make_images, matrix, node
from tests.monitor.conversation import Step, hmp, until

pytestmark = pytest.mark.timeout(120)

GRAPH: Step = ("x-debug-query-block-graph", {})
DRIVE = ("-drive", "if=none,id=d0,node-name=overlay,file=overlay.qcow2,format=qcow2,copy-on-read=on")

STORIES: dict[str, tuple[tuple[str, ...], list[Step]]] = {
    "a drive": (
        DRIVE,
        [
            NODES,
            *io("d0", "map", "read -P 0x11 4k 4k", "map", "read -P 0 2M 64k", "map", "read -P 0x11 100k 200k", "map"),
            *io("d0", "write -P 0x21 448k 4k", "read 512 512", "read -P 0 4032k 64k", "map"),
            *io("overlay", "read -P 0x11 1M 1", "map"),
            bitmap("overlay", "b0"),
            *io("d0", "read -P 0x11 1280k 64k"),
            node("target"),
            ("blockdev-backup", {"job-id": "j0", "device": "d0", "target": "target", "sync": "none"}),
            *io("d0", "read -P 0x11 1536k 64k", "write -P 0x22 1600k 4k", "map"),
            *io("target", "map"),
            ("job-cancel", {"id": "j0"}),
            until("null"),
            hmp("info block"),
            *io("d0", "map"),
            NODES,
        ],
    ),
    "a filter": (
        (),
        [
            node("source"),
            node("overlay", backing="source"),
            add("copy-on-read", "reader", file="overlay"),
            NODES,
            GRAPH,
            add("raw", "above", file="reader"),
            GRAPH,
            *io("overlay", "map"),
            *io("above", "read -P 0x11 4k 4k", "read -P 0 2M 64k", "write -P 0x31 192k 4k", "write -z 256k 64k"),
            *io("reader", "read -P 0x11 128k 1", "discard 0 64k", "map"),
            *io("overlay", "map"),
            *io("source", "write 0 4k"),
            delete("overlay"),
            delete("above"),
            add("copy-on-read", "again", file="reader"),
            delete("again"),
            add("copy-on-read", "fixed", file="overlay", read_only=True),
            *io("fixed", "read -P 0x11 640k 4k"),
            add("copy-on-read", "again", file="fixed"),
            *io("overlay", "map"),
            delete("fixed"),
            node("target"),
            ("blockdev-backup", {"job-id": "j0", "device": "overlay", "target": "target", "sync": "none"}),
            GRAPH,
            *io("reader", "read -P 0x11 768k 64k", "read -P 0 2304k 64k", "write -P 0x32 832k 4k"),
            *io("target", "map"),
            ("job-cancel", {"id": "j0"}),
            until("null"),
            *io("overlay", "map"),
            NODES,
        ],
    ),
    "a filter with a bottom": (
        (),
        [
            ("object-add", {"qom-type": "throttle-group", "id": "tg"}),
            node("source"),
            add("throttle", "slow", file="source", throttle_group="tg"),
            node("overlay", backing="slow"),
            node("copy", backing="overlay"),
            *io("overlay", "write -P 0x41 64k 64k"),
            add("copy-on-read", "reader", file="copy", bottom="nope"),
            add("copy-on-read", "reader", file="copy", bottom="slow"),
            add("copy-on-read", "reader", file="copy", bottom="overlay"),
            *io("reader", "read -P 0x11 0 64k", "read -P 0x41 64k 4k", "read 128k 1M"),
            *io("copy", "map"),
            NODES,
            GRAPH,
            node("target"),
            ("blockdev-backup", {"job-id": "j0", "device": "overlay", "target": "target", "sync": "none"}),
            ("blockdev-snapshot", {"node": "copy", "overlay": "target"}),
            delete("reader"),
            add("copy-on-read", "reader", file="copy", bottom="source"),
            *io("reader", "read -P 0x11 0 64k"),
            *io("copy", "map"),
        ],
    ),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


SHORT = {"a drive": "5.2", "a filter": "10.0"}
NOT_THERE = [("a filter with a bottom", "5.2")]


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, SHORT, without=NOT_THERE))
def test_copy_on_read_beside_qemu(story: str, release: str, images: Path, tmp_path: Path) -> None:
    arguments, steps = STORIES[story]
    compare(release, images, tmp_path, steps, arguments)
