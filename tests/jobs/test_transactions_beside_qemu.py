"""Transactions with a real QEMU of each release and with the engine as that release.

Compared are replies, each job's lane, which images were made, and afterwards the graph, the bitmaps and the files.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.jobs.random_transactions import ALWAYS_THERE, BITMAPS, Author
from tests.monitor.conversation import JOBS_END, Step, both, differences, hmp, until
from tests.monitor.program import RELEASES

IMAGES = ("disk0", "disk1", "target", "overlay")
DRIVES = [
    argument
    for number in (0, 1)
    for argument in ("-drive", f"if=none,id=d{number},node-name=n{number},file=disk{number}.qcow2,format=qcow2")
]
NODES = [
    argument
    for name in ("target", "overlay")
    for argument in ("-blockdev", f"driver=qcow2,node-name={name},file.driver=file,file.filename={name}.qcow2")
]
FAILING = {
    "driver": "qcow2",
    "node-name": "failing",
    "file": {
        "driver": "blkdebug",
        "inject-error": [{"event": "write_aio", "errno": 5}],
        "image": {"driver": "file", "filename": "failing.qcow2"},
    },
}
SLOW = {"speed": 1024}
BY_HAND = {"auto-finalize": False}


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images; both disks are full of data."""
    img, io = shutil.which("qemu-img"), shutil.which("qemu-io")
    if img is None or io is None:
        pytest.skip("no qemu-img and qemu-io are installed")
    folder = tmp_path_factory.mktemp("images")
    for name in (*IMAGES, "failing"):
        subprocess.run([img, "create", "-q", "-f", "qcow2", f"{name}.qcow2", "2M"], cwd=folder, check=True)
    for name in IMAGES[:2]:
        write = [io, "-f", "qcow2", "-c", "write -P 0x11 0 2M", f"{name}.qcow2"]
        subprocess.run(write, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def assert_alike(release: str, images: Path, tmp_path: Path, steps: Sequence[Step]) -> None:
    """The real one and the engine say the same, and leave the same files."""
    folders = (tmp_path / "real", tmp_path / "engine")
    for folder in folders:
        shutil.copytree(images, folder)
    real, engine = both(release, folders, [*DRIVES, *NODES], steps)
    assert differences(real.replies, engine.replies) == []
    assert differences(real.lanes, engine.lanes) == []
    assert engine.made == real.made
    assert sorted(path.name for path in folders[1].iterdir()) == sorted(path.name for path in folders[0].iterdir())


def action(kind: str, **data: object) -> dict[str, object]:
    """One action."""
    return {"type": kind, "data": {name.replace("_", "-"): value for name, value in data.items()}}


def backup(number: int, **data: object) -> dict[str, object]:
    """A drive-backup of one of the disks, as the job of the same number."""
    return action(
        "drive-backup", job_id=f"j{number}", device=f"d{number}", target=f"t{number}.qcow2", sync="full", **data
    )


def to_failing(number: int, **data: object) -> dict[str, object]:
    """A backup to a node that takes no data."""
    return action("blockdev-backup", job_id=f"j{number}", device=f"d{number}", target="failing", sync="full", **data)


def transaction(*actions: object, **properties: str) -> Step:
    """The command."""
    members = {name.replace("_", "-"): value for name, value in properties.items()}
    return "transaction", {"actions": list(actions)} | ({"properties": members} if members else {})


def grouped(*actions: object) -> Step:
    """The command, in a group."""
    return transaction(*actions, completion_mode="grouped")


def verb(name: str, job: str) -> Step:
    """A verb on a job, of either family."""
    return name, {"device" if name == "block-job-cancel" else "id": job}


ABORT = action("abort")
QUERIES: list[Step] = [("query-jobs", {}), ("query-block-jobs", {})]

STORIES: dict[str, list[Step]] = {
    "refused": [
        transaction({"type": "foo"}),
        transaction({"type": "drive-mirror", "data": {}}),
        transaction({"type": "abort"}),
        transaction({"data": {}}),
        transaction(action("abort", x=1)),
        transaction(ABORT, backup(0, foo=1)),
        transaction({**backup(0), "foo": 1}),
        transaction(action("drive-backup", device=5, target="t", sync="ful")),
        transaction(action("drive-backup", device="d0", target="t", sync="ful")),
        transaction(action("drive-backup", target="t", sync="full")),
        transaction(1),
        transaction(completion_mode="x"),
        transaction(action("block-dirty-bitmap-merge", node="n0", target="b0", bitmaps=[1])),
        ("transaction", {}),
        ("transaction", {"actions": {}}),
        ("transaction", {"actions": [], "properties": {"completion-mod": "x"}}),
        ("transaction", {"actions": [], "foo": 1}),
        transaction(),
        grouped(),
        grouped(ABORT),
        grouped(ABORT, action("block-dirty-bitmap-add", node="n0", name="b0")),
        grouped(backup(0), action("block-dirty-bitmap-add", node="n0", name="b0")),
        grouped(action("blockdev-snapshot-sync", device="nope", snapshot_file="x")),
        grouped(action("blockdev-snapshot", node="d0", overlay="nope")),
        *QUERIES,
        transaction(backup(0, **{"auto-dismiss": False}), backup(1), ABORT),
        transaction(backup(0), action("drive-backup", job_id="j0", device="d1", target="t1.qcow2", sync="full")),
        transaction(to_failing(0), to_failing(1)),
        *QUERIES,
    ],
    "cancelled": [
        grouped(backup(0, **SLOW), backup(1)),
        until("waiting", "j1"),
        verb("job-pause", "j1"),
        verb("job-finalize", "j1"),
        verb("block-job-cancel", "j1"),
        JOBS_END,
        *QUERIES,
        grouped(backup(0), backup(1, **SLOW)),
        until("waiting", "j0"),
        verb("job-cancel", "j1"),
        JOBS_END,
        grouped(backup(0, **SLOW), backup(1, **SLOW)),
        verb("job-pause", "j0"),
        verb("job-cancel", "j1"),
        JOBS_END,
    ],
    "finalized by any member": [
        grouped(backup(0, **BY_HAND), backup(1)),
        until("pending", "j0"),
        *QUERIES,
        verb("job-finalize", "j1"),
        until("null", "j0"),
        verb("job-finalize", "j0"),
        grouped(backup(0, **BY_HAND, **{"auto-dismiss": False}), backup(1, **BY_HAND)),
        until("pending", "j0"),
        verb("block-job-cancel", "j1"),
        until("concluded", "j0"),
        *QUERIES,
        verb("job-dismiss", "j0"),
    ],
    "a member fails": [
        ("blockdev-add", FAILING),
        grouped(backup(1, **SLOW), to_failing(0)),
        until("null", "j1"),
        until("null", "j0"),
        grouped(to_failing(0, **{"on-target-error": "stop"}), backup(1)),
        until("paused", "j0"),
        until("waiting", "j1"),
        verb("block-job-cancel", "j0"),
        verb("block-job-cancel", "j1"),
        JOBS_END,
        transaction(to_failing(0), backup(1)),
        JOBS_END,
    ],
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("story", STORIES)
def test_a_story_is_told_alike(release: str, story: str, images: Path, tmp_path: Path) -> None:
    assert_alike(release, images, tmp_path, STORIES[story])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("release", RELEASES)
def test_random_transactions_have_the_same_outcome(
    release: str, images: Path, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    for seed in range(repetitions(20)):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        assert_alike(release, images, folder, _random_steps(seed, release))


def _random_steps(seed: int, release: str) -> list[Step]:
    """Some bitmaps and some transactions, with guest's writes between them."""
    author = Author(seed, has_drive_backup=release != "5.2")
    steps: list[Step] = [
        ("block-dirty-bitmap-add", {"node": node, "name": name})
        for node in ("n0", "n1")
        for name in (ALWAYS_THERE, *BITMAPS[seed % 2 : 2])
    ]
    steps.append(hmp('qemu-io d0 "write -P 0x22 64k 64k"'))
    for number in range(1 if release == "5.2" else 3):
        steps += [("transaction", author.transaction()), JOBS_END, *QUERIES, ("query-block", {})]
        steps += [("job-finalize", {"id": name}) for name in ("j0", "j1", "j2", "d0", "d1")]
        steps += [JOBS_END, hmp(f'qemu-io d1 "write -P 0x33 {128 * number}k 64k"')]
    return steps
