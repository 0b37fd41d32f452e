"""Nodes that are reopened with other options or other children, beside real QEMUs of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filters.beside import NODES, add, bitmap, cbw, compare, delete, io, make_images, matrix, members, node
from tests.monitor.conversation import Step
from tests.monitor.program import RELEASES

pytestmark = pytest.mark.timeout(120)


def reopen(*trees: dict[str, object]) -> Step:
    """`blockdev-reopen`, with QAPI's names."""
    return "blockdev-reopen", {"options": [members(tree) for tree in trees]}


def of(name: str, file: object = None, driver: str = "qcow2", **more: object) -> dict[str, object]:
    """The options of a node that `node` has added, as they are unless told otherwise."""
    if file is None:
        file = {"driver": "file", "filename": f"{name}.{driver}", "node-name": f"{name}-file"}
    return {"driver": driver, "node-name": name, "file": file, **more}


FILE = {"driver": "file", "filename": "source.qcow2", "node-name": "source-file"}

STORIES: dict[str, list[Step]] = {
    "options": [
        node("source", discard="unmap"),
        node("target"),
        reopen({"driver": "qcow2", "file": "source-file"}),
        reopen({"driver": "qcow2", "node_name": "source"}),
        reopen({"node_name": "source", "file": "source-file"}),
        reopen(of("nope")),
        reopen({"driver": "qcow2", "node_name": "source", "file": "source-file"}),
        reopen({"driver": "raw", "node_name": "source", "file": "source-file"}),
        reopen(of("source", {"driver": "file", "filename": "other.qcow2"})),
        reopen(of("source", {"driver": "file", "filename": "source.qcow2", "node-name": "x"})),
        reopen(of("source", {"driver": "null-co"})),
        reopen(of("source", {**FILE, "locking": "off"})),
        reopen(of("source", {**FILE, "aio": "threads"})),
        reopen(of("source", {**FILE, "x": 1})),
        reopen(of("source", x=1)),
        reopen(of("source", lazy_refcounts=True)),
        reopen(of("source", l2_cache_size=1)),
        reopen(of("source", cache_size=1 << 20, l2_cache_size=2 << 20)),
        reopen(of("source", overlap_check="all", discard_no_unref=True)),
        reopen(of("source", overlap_check="x")),
        reopen(of("source", discard="x")),
        reopen(of("source", detect_zeroes="unmap")),
        reopen(of("source", detect_zeroes="unmap", discard="unmap")),
        reopen(of("source", force_share=True)),
        reopen(of("source", read_only=True, force_share=True)),
        reopen(of("source", data_file="target")),
        NODES,
        reopen(of("source", read_only=True)),
        NODES,
        *io("source", "write 0 4k", "read -P 0x11 0 4k"),
        reopen(of("source", "source-file", cache={"direct": False, "no-flush": True})),
        NODES,
        *io("source", "write -P 0x51 0 4k"),
        reopen(of("source", {**FILE, "read-only": True})),
        reopen(of("source", {**FILE, "read-only": True}, read_only=True)),
        NODES,
        reopen(of("source", {**FILE, "read-only": False}, read_only=True)),
        NODES,
        reopen(of("source", auto_read_only=True)),
        NODES,
        reopen(of("source"), of("target", read_only=True)),
        reopen(of("source", read_only=True), of("target", x=1)),
        reopen(of("source", read_only=True), of("nope")),
        reopen(of("source", read_only=True), of("source")),
        NODES,
        # What is left out is forgotten, and a node-name that was forgotten is another.
        reopen(of("source", {"driver": "file", "filename": "source.qcow2"})),
        reopen(of("source")),
        reopen({"driver": "file", "node_name": "source-file", "filename": "source.qcow2"}),
        reopen({"driver": "file", "node_name": "source-file", "filename": "target.qcow2"}),
        reopen({"driver": "file", "node_name": "source-file", "filename": "source.qcow2", "read_only": True}),
        NODES,
        delete("source"),
    ],
    "children": [
        ("blockdev-add", {"driver": "file", "node-name": "s-file", "filename": "source.qcow2"}),
        ("blockdev-add", {"driver": "qcow2", "node-name": "s", "file": "s-file"}),
        node("target"),
        node("overlay", backing=None),
        ("blockdev-add", {"driver": "raw", "node-name": "top", "file": "s"}),
        *io("top", "read -P 0x11 0 4k"),
        reopen(of("top", "nope", "raw")),
        reopen(of("top", "top", "raw")),
        reopen(of("top", None, "raw")),
        reopen(of("top", "s", "raw", size=1 << 20)),
        NODES,
        reopen(of("top", "s", "raw", offset=64 << 10)),
        *io("top", "read -P 0x11 0 4k", "length"),
        reopen(of("top", "s", "raw", offset=64 << 20)),
        reopen(of("top", "s", "raw")),
        reopen({"driver": "qcow2", "node_name": "s", "file": "top"}),
        cbw("cbw", "s"),
        reopen(of("top", "cbw", "raw")),
        *io("top", "write -P 0x61 0 4k", "length"),
        *io("target", "read -P 0x11 0 4k"),
        NODES,
        delete("cbw"),
        reopen({"driver": "copy-before-write", "node_name": "cbw", "file": "s", "target": "target"}),
        reopen(of("top", "s", "raw")),
        delete("cbw"),
        *io("top", "write -P 0x62 64k 4k"),
        *io("target", "read -P 0 64k 4k"),
        reopen(of("overlay")),
        reopen(of("overlay", backing="nope")),
        reopen(of("overlay", backing="overlay")),
        reopen(of("overlay", backing={"driver": "null-co"})),
        reopen(of("overlay", backing="s")),
        NODES,
        *io("overlay", "read -P 0x61 0 4k"),
        delete("s"),
        reopen(of("overlay", backing="target")),
        *io("overlay", "read -P 0x11 0 4k"),
        reopen(of("overlay", backing="top")),
        reopen({"driver": "raw", "node_name": "top", "file": "overlay"}),
        reopen(of("overlay", backing=None)),
        *io("overlay", "read -P 0 0 4k"),
        NODES,
        reopen(of("top", "s", "raw", backing="target")),
        reopen({"driver": "qcow2", "node_name": "s", "file": "s-file", "backing": None}),
        reopen({"driver": "qcow2", "node_name": "s", "file": "target"}),
        reopen({"driver": "qcow2", "node_name": "s", "file": "s-file", "backing": "target"}),
        NODES,
    ],
    "an overlay of an image": [
        node("overlay"),
        NODES,
        reopen(of("overlay")),
        reopen(of("overlay", backing={"driver": "qcow2", "file": {"driver": "file", "filename": "source.qcow2"}})),
        reopen(of("overlay", backing=None)),
        NODES,
        node("source"),
        reopen(of("overlay", backing="source")),
        NODES,
        reopen(of("overlay", read_only=True, backing="source")),
        NODES,
    ],
    "what other drivers say": [
        ("object-add", {"qom-type": "throttle-group", "id": "tg"}),
        ("object-add", {"qom-type": "throttle-group", "id": "tg2"}),
        node("source"),
        node("target"),
        add("throttle", "slow", file="source", throttle_group="tg"),
        reopen({"driver": "throttle", "node_name": "slow", "file": "source", "throttle_group": "tg2"}),
        reopen({"driver": "throttle", "node_name": "slow", "file": "source", "throttle_group": "nope"}),
        reopen({"driver": "throttle", "node_name": "slow", "file": "target", "throttle_group": "tg"}),
        NODES,
        reopen({"driver": "throttle", "node_name": "slow", "file": "source", "throttle_group": "tg"}),
        ("object-del", {"id": "tg2"}),
        add("blkdebug", "faults", image="source"),
        reopen({"driver": "blkdebug", "node_name": "faults", "image": "source"}),
        reopen({"driver": "blkdebug", "node_name": "faults", "image": "target"}),
        reopen({"driver": "blkdebug", "node_name": "faults", "image": "source", "align": 4096}),
        reopen({"driver": "blkdebug", "node_name": "faults", "image": "source", "read_only": True}),
        add("null-co", "null", size=1 << 20),
        reopen({"driver": "null-co", "node_name": "null"}),
        reopen({"driver": "null-co", "node_name": "null", "size": 1 << 20, "read_only": True}),
        reopen({"driver": "null-co", "node_name": "null", "size": 1 << 20, "latency_ns": 0}),
        delete("null"),
        NODES,
        bitmap("target", "b0", persistent=True),
        reopen(of("target", read_only=True)),
        NODES,
        ("block-dirty-bitmap-remove", {"node": "target", "name": "b0"}),
        reopen(of("target")),
        NODES,
        *io("target", "write 0 64k"),
        NODES,
        ("blockdev-backup", {"job-id": "j0", "device": "source", "target": "target", "sync": "none"}),
        reopen(of("source", read_only=True)),
        reopen(of("source")),
        reopen(of("target", read_only=True)),
        reopen(of("target")),
        ("job-cancel", {"id": "j0"}),
    ],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


SHORT = {"options": "10.0", "children": "7.2", "what other drivers say": "11.1"}


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, SHORT, releases=RELEASES[1:]))
def test_reopening_beside_qemu(story: str, release: str, images: Path, tmp_path: Path) -> None:
    compare(release, images, tmp_path, STORIES[story])


def old_reopen(**tree: object) -> Step:
    """`x-blockdev-reopen`, which is about one node."""
    return "x-blockdev-reopen", members(tree)


OLD_STORY: list[Step] = [
    ("object-add", {"qom-type": "throttle-group", "id": "tg"}),
    ("object-add", {"qom-type": "throttle-group", "id": "tg2"}),
    node("source", discard="unmap"),
    node("target"),
    node("overlay", backing=None),
    ("blockdev-reopen", {"options": []}),
    old_reopen(driver="qcow2", file="source-file"),
    old_reopen(driver="qcow2", node_name="source"),
    old_reopen(**of("nope")),
    old_reopen(driver="raw", node_name="source", file="source-file"),
    old_reopen(**of("source", {"driver": "file", "filename": "other.qcow2"})),
    old_reopen(**of("source", {"driver": "null-co"})),
    old_reopen(**of("source", {**FILE, "locking": "off"})),
    old_reopen(**of("source", lazy_refcounts=True)),
    old_reopen(**of("source", cache_size=1 << 20, l2_cache_size=2 << 20)),
    old_reopen(**of("source", detect_zeroes="unmap")),
    old_reopen(**of("source", force_share=True)),
    NODES,
    old_reopen(**of("source", read_only=True)),
    *io("source", "write 0 4k", "read -P 0x11 0 4k"),
    old_reopen(**of("source", "source-file", read_only=True)),
    NODES,
    old_reopen(**of("source", {**FILE, "read-only": True})),
    old_reopen(**of("source")),
    ("blockdev-add", {"driver": "raw", "node-name": "top", "file": "source"}),
    old_reopen(**of("top", "source", "raw", size=1 << 20)),
    old_reopen(**of("top", "source", "raw", offset=64 << 20)),
    old_reopen(**of("top", "target", "raw")),
    old_reopen(**of("top", "nope", "raw")),
    old_reopen(**of("top", "source", "raw")),
    old_reopen(**of("overlay")),
    old_reopen(**of("overlay", backing="nope")),
    old_reopen(**of("overlay", backing="overlay")),
    old_reopen(**of("overlay", backing="source")),
    *io("overlay", "read -P 0x11 0 4k"),
    NODES,
    delete("source"),
    old_reopen(**of("overlay", backing="target")),
    old_reopen(**of("overlay", backing=None)),
    NODES,
    add("throttle", "slow", file="source", throttle_group="tg"),
    old_reopen(driver="throttle", node_name="slow", file="source", throttle_group="tg2"),
    old_reopen(driver="throttle", node_name="slow", file="source", throttle_group="nope"),
    old_reopen(driver="throttle", node_name="slow", file="target", throttle_group="tg2"),
    add("copy-on-read", "reader", file="source"),
    old_reopen(driver="copy-on-read", node_name="reader", file="source"),
    ("blockdev-backup", {"job-id": "j0", "device": "source", "target": "target", "sync": "none"}),
    old_reopen(**of("target", read_only=True)),
    old_reopen(**of("target")),
    ("job-cancel", {"id": "j0"}),
]


def test_reopening_as_before_6_1(images: Path, tmp_path: Path) -> None:
    compare("5.2", images, tmp_path, OLD_STORY)
