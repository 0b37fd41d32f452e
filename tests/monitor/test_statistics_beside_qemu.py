"""What `query-blockstats` and `info blockstats` tell of devices and nodes, by real QEMUs and by the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.monitor.conversation import JOBS_END, Step, both, differences, hmp
from tests.monitor.program import RELEASES
from tests.tools.programs import Real

pytestmark = pytest.mark.timeout(120)

DRIVES = (
    *("-drive", "if=none,id=d0,node-name=d0-node,file=disk.qcow2,format=qcow2"),
    *("-drive", "if=none,id=d1,node-name=d1-node,file=raw.img,format=raw,discard=unmap"),
    *("-drive", "if=none,id=empty"),
)
DEVICES: Step = ("query-blockstats", {})
NODES: Step = ("query-blockstats", {"query-nodes": True})
BACKUP = {"job-id": "j0", "device": "d0", "target": "target.qcow2", "mode": "existing", "format": "qcow2"}
STEPS: list[Step] = [
    NODES,
    *(hmp(f'qemu-io d0 "{line}"') for line in ("write -P 1 64k 64k", "write -P 1 64k 4k", "read 2M 64k")),
    *(hmp(f'qemu-io d1 "{line}"') for line in ("write 512k 1k", "write -z 600k 4k", "discard 700k 4k", "flush")),
    *(hmp(f'qemu-io d1 "{line}"') for line in ("write 64k 4k", "write 1M 4k", "read 1M 4k")),
    DEVICES,
    NODES,
    ("drive-backup", {**BACKUP, "sync": "full", "auto-finalize": False}),
    JOBS_END,
    DEVICES,
    NODES,
    *(hmp(f"{line}info blockstats{more}") for line, more in (("", ""), ("help ", ""), ("", " d0"))),
]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same images."""
    first = tmp_path / "real"
    first.mkdir()
    for name in ("disk.qcow2", "target.qcow2"):
        Real("7.2").do("img", "create", "-q", "-f", "qcow2", name, "1M", folder=first)
    (first / "raw.img").write_bytes(bytes(1 << 20))
    shutil.copytree(first, tmp_path / "engine")
    return first, tmp_path / "engine"


@pytest.mark.parametrize("release", RELEASES)
def test_farthest_writes_and_discards_are_told(release: str, folders: tuple[Path, Path]) -> None:
    real, engine = both(release, folders, DRIVES, STEPS)
    for expected, answered in zip(real.replies, engine.replies, strict=True):
        assert differences(expected, answered) == []
