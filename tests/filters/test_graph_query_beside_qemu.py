"""The block graph as the query for debugging shows it, beside real QEMUs of each release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.filters.beside import access, add, cbw, compare, delete, make_images, matrix, node
from tests.monitor.conversation import Step, until

pytestmark = pytest.mark.timeout(120)

GRAPH: Step = ("x-debug-query-block-graph", {})

DRIVES = (
    *("-drive", "if=none,id=d0,node-name=overlay,file=overlay.qcow2,format=qcow2"),
    *("-drive", "if=none,id=empty"),
    *("-blockdev", "driver=qcow2,node-name=other,read-only=on,file.driver=file,file.filename=other.qcow2"),
)
STORIES: dict[str, list[Step]] = {
    "jobs and filters": [
        GRAPH,
        node("target"),
        node("copy"),
        ("object-add", {"qom-type": "throttle-group", "id": "tg"}),
        add("throttle", "slow", file="copy", throttle_group="tg"),
        add("blkdebug", "faults", image="slow"),
        GRAPH,
        ("blockdev-backup", {"job-id": "j0", "device": "d0", "target": "target", "sync": "none"}),
        ("blockdev-backup", {"job-id": "j1", "device": "other", "target": "faults", "sync": "none"}),
        GRAPH,
        ("job-cancel", {"id": "j0"}),
        until("null"),
        ("job-cancel", {"id": "j1"}),
        until("null", "j1"),
        GRAPH,
        cbw("cbw", "overlay", "target"),
        GRAPH,
        access(),
        add("raw", "above", file="cbw"),
        GRAPH,
        delete("above"),
        delete("snapshot"),
        delete("cbw"),
        GRAPH,
    ]
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize(("story", "release"), matrix(STORIES, {"jobs and filters": "5.2"}))
def test_graph_beside_qemu(story: str, release: str, images: Path, tmp_path: Path) -> None:
    compare(release, images, tmp_path, STORIES[story], DRIVES)
