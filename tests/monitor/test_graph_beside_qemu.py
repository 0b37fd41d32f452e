"""What other commands find while a job holds nodes, and snapshots above them, with real QEMUs and with the engine.

Compared are replies and each job's lane, for every release.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.monitor.conversation import Conversation, Step, both, differences, happened, hmp, until
from tests.monitor.program import MACHINE, RELEASES

pytestmark = pytest.mark.timeout(120)

IMAGES = {
    "disk.qcow2": ("qcow2", "64M", ()),
    "top.qcow2": ("qcow2", "64M", ("-b", "disk.qcow2", "-F", "qcow2")),
    "other.qcow2": ("qcow2", "64M", ()),
    "target.qcow2": ("qcow2", "64M", ()),
    "overlay.qcow2": ("qcow2", "64M", ()),
    "inner.img": ("qcow2", "16M", ()),
    "small.qcow2": ("qcow2", "1M", ()),
    "raw.img": ("raw", "64M", ()),
    "like-inner.img": ("raw", "196608", ()),
}
WITH_DATA = ("disk.qcow2", "other.qcow2")

PC = ("-machine", "pc", "-nodefaults", "-display", "none", "-S")
NODES: Step = ("query-named-block-nodes", {"flat": True})
BLOCK: Step = ("query-block", {})


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    img, io = shutil.which("qemu-img"), shutil.which("qemu-io")
    if img is None or io is None:
        pytest.skip("no qemu-img and qemu-io are installed")
    folder = tmp_path_factory.mktemp("images")
    for name, (kind, size, options) in IMAGES.items():
        subprocess.run([img, "create", "-q", "-f", kind, *options, name, size], cwd=folder, check=True)
    for name in WITH_DATA:
        write = [io, "-f", "qcow2", "-c", "write -P 0x11 0 16M", name]
        subprocess.run(write, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def drive(name: str, file: str, kind: str = "qcow2", **more: str) -> tuple[str, str]:
    """A -drive whose node is called `name`-node."""
    extra = "".join(f",{key.replace('_', '-')}={value}" for key, value in more.items())
    return "-drive", f"if=none,id={name},node-name={name}-node,file={file},format={kind}{extra}"


def node(name: str, file: str, kind: str = "qcow2", **more: object) -> Step:
    """`blockdev-add` of an image, whose file's node is called `name`-file."""
    below = {"driver": "file", "filename": file, "node-name": f"{name}-file"}
    return "blockdev-add", {"driver": kind, "node-name": name, "file": below, **more}


def backup(device: str, target: str, job: str = "j0", **more: object) -> Step:
    """A job that does not end by itself."""
    members = {name.replace("_", "-"): value for name, value in more.items()}
    slow = {"job-id": job, "device": device, "target": target, "sync": "full", "speed": 1024}
    return "blockdev-backup", slow | members


def cancel(job: str = "j0") -> tuple[Step, Step]:
    """End a job."""
    return ("job-cancel", {"id": job}), until("null", job)


def snapshot(**arguments: str) -> Step:
    """`blockdev-snapshot-sync`."""
    return "blockdev-snapshot-sync", {name.replace("_", "-"): value for name, value in arguments.items()}


def overlay(below: str, above: str) -> Step:
    """`blockdev-snapshot`."""
    return "blockdev-snapshot", {"node": below, "overlay": above}


def resize(size: int, **where: str) -> Step:
    """`block_resize`."""
    return "block_resize", {"size": size, **{name.replace("_", "-"): value for name, value in where.items()}}


def delete(name: str) -> Step:
    """`blockdev-del`."""
    return "blockdev-del", {"node-name": name}


def move(name: str, thread: object, **more: object) -> Step:
    """`x-blockdev-set-iothread`."""
    return "x-blockdev-set-iothread", {"node-name": name, "iothread": thread, **more}


def internal_snapshot(device: str) -> Step:
    """An action that is refused before it is found out that the engine cannot do it."""
    data = {"device": device, "name": "s"}
    return "transaction", {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": data}]}


STORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[Step]]] = {
    "overlays that are made": (
        MACHINE,
        (*drive("d0", "disk.qcow2"), *drive("d1", "raw.img", "raw"), "-drive", "if=none,id=empty"),
        [
            snapshot(device="nope", snapshot_file="s.qcow2"),
            snapshot(snapshot_file="s.qcow2"),
            snapshot(device="empty", snapshot_file="s.qcow2"),
            snapshot(device="d0"),
            snapshot(device="d0", snapshot_file="s.qcow2", mode="x"),
            snapshot(node_name="d0-node", snapshot_file="s.qcow2"),
            snapshot(node_name="d0-node", snapshot_file="s.qcow2", snapshot_node_name="d1-node"),
            snapshot(node_name="d0-node", snapshot_file="s.qcow2", snapshot_node_name="d1"),
            snapshot(node_name="d0-node", snapshot_file="s.qcow2", snapshot_node_name="a b"),
            snapshot(device="d0", snapshot_file="s.qcow2", format="foo"),
            snapshot(device="d0", snapshot_file="s.raw", format="raw"),
            snapshot(device="d0", snapshot_file="no/where.qcow2"),
            snapshot(device="d0", snapshot_file="missing.qcow2", mode="existing"),
            snapshot(device="d0", snapshot_file="like-inner.img", mode="existing"),
            snapshot(device="d0", snapshot_file="like-inner.img", mode="existing", format="raw"),
            snapshot(device="d0", snapshot_file="disk.qcow2"),
            snapshot(device="d0", snapshot_file="s1.qcow2"),
            NODES,
            hmp('qemu-io d0 "write -P 0x22 64k 64k"'),
            snapshot(device="d0", node_name="d1-node", snapshot_file="s2.qcow2", snapshot_node_name="s2"),
            snapshot(device="d1", snapshot_file="s3.qcow2", snapshot_node_name="s3"),
            snapshot(device="d1", snapshot_file="small.qcow2", snapshot_node_name="s4", mode="existing"),
            snapshot(node_name="s3", snapshot_file="s5.qcow2", snapshot_node_name="s5"),
            snapshot(node_name="d0-node", snapshot_file="s6.qcow2", snapshot_node_name="s6"),
            hmp("info block"),
            BLOCK,
            NODES,
        ],
    ),
    "overlays that are there": (
        MACHINE,
        (*drive("d0", "disk.qcow2"), *drive("d1", "raw.img", "raw"), "-object", "throttle-group,id=group"),
        [
            node("o1", "overlay.qcow2", backing=None),
            node("o2", "small.qcow2"),
            node("plain", "like-inner.img", "raw"),
            ("blockdev-add", {"driver": "throttle", "node-name": "filter", "throttle-group": "group", "file": "o2"}),
            overlay("nope", "o1"),
            overlay("d0-node", "nope"),
            overlay("d0-node", "filter"),
            overlay("d0-node", "plain"),
            overlay("d0-node", "d0-node"),
            overlay("d0-node", "d1"),
            ("blockdev-snapshot", {"node": "d0-node"}),
            ("blockdev-snapshot", {"overlay": "o1"}),
            overlay("d0-node", "o1"),
            overlay("d0-node", "o2"),
            overlay("d0", "o2"),
            BLOCK,
            delete("o1"),
            delete("filter"),
            overlay("d0", "o1"),
            overlay("o1", "o2"),
            NODES,
            node("backed", "top.qcow2", backing=None),
            overlay("d1-node", "backed"),
        ],
    ),
    "a job holds its nodes": (
        MACHINE,
        (*drive("d0", "disk.qcow2"), *drive("d1", "other.qcow2")),
        [
            node("target", "target.qcow2"),
            node("above", "overlay.qcow2"),
            backup("d0", "target", filter_node_name="filter"),
            *(delete(name) for name in ("target", "d0-node", "filter", "target-file")),
            resize(1 << 26, device="d0"),
            resize((1 << 26) + 1, device="d0"),
            resize(-1, device="d0"),
            *(resize(1 << 26, node_name=name) for name in ("target", "d0-node", "filter", "target-file", "nope")),
            *(("eject", arguments) for arguments in ({"device": "d0"}, {"device": "d0", "force": True})),
            hmp("drive_del d0"),
            snapshot(device="d0", snapshot_file="s.qcow2"),
            *(overlay(name, "above") for name in ("d0", "filter", "target")),
            internal_snapshot("d0"),
            internal_snapshot("d0-node"),
            backup("d0", "d1", "j1"),
            backup("target", "d1", "j1"),
            backup("d1", "target", "j1"),
            backup("filter", "d1", "j1"),
            backup("d0-node", "d1", "j1"),
            BLOCK,
            *cancel("j1"),
            *cancel(),
            BLOCK,
            hmp("drive_del d0"),
            hmp("drive_del nope"),
            hmp("drive_del d1-node"),
            hmp("drive_del target"),
            hmp("drive_del d1"),
            BLOCK,
        ],
    ),
    "an overlay below the filter": (
        MACHINE,
        drive("d0", "disk.qcow2"),
        [
            node("target", "target.qcow2"),
            node("above", "overlay.qcow2"),
            backup("d0", "target", filter_node_name="filter"),
            overlay("d0-node", "above"),
            NODES,
            *cancel(),
            BLOCK,
        ],
    ),
    "permissions": (
        MACHINE,
        (*drive("d0", "top.qcow2", **{"backing.node_name": "below"}), *drive("d1", "other.qcow2")),
        [
            node("target", "target.qcow2"),
            backup("d0", "below"),
            backup("below", "d0", filter_node_name="filter"),
            *cancel(),
            backup("d1", "target", filter_node_name="filter"),
            hmp('qemu-io d1-node "write 0 64k"'),
            hmp('qemu-io d1-node "read -P 0x11 0 64k"'),
            hmp('qemu-io d1-node "discard 0 64k"'),
            hmp('qemu-io d1-node "truncate 32M"'),
            hmp('qemu-io d1 "write -P 1 32M 64k"'),
            hmp('qemu-io filter "write -P 2 33M 64k"'),
            hmp('qemu-io target "write -P 3 63M 64k"'),
            *cancel(),
            ("blockdev-add", {"driver": "file", "node-name": "base", "filename": "inner.img"}),
            ("blockdev-add", {"driver": "raw", "node-name": "source", "file": "base"}),
            ("blockdev-add", {"driver": "blkdebug", "node-name": "beside", "image": "base"}),
            node("plain", "like-inner.img", "raw"),
            backup("source", "plain"),
            hmp('qemu-io base "write 0 512"'),
            hmp('qemu-io source "write 0 512"'),
            hmp('qemu-io plain "write 0 512"'),
            hmp('qemu-io plain "write 0 4M"'),
            *cancel(),
            ("blockdev-add", {"driver": "qcow2", "node-name": "writer", "file": "beside"}),
            backup("source", "plain"),
            ("query-jobs", {}),
            ("drive-backup", {"job-id": "j2", "device": "target", "target": "new.qcow2", "sync": "none"}),
            delete("target"),
            *cancel("j2"),
            delete("target"),
        ],
    ),
    "media and threads": (
        MACHINE,
        (*drive("d0", "disk.qcow2"), "-drive", "if=none,id=empty", "-object", "iothread,id=thread"),
        [
            node("target", "target.qcow2"),
            move("nope", "thread"),
            move("d0-node", "thread"),
            move("d0-node", "nope", force=True),
            move("target", 5),
            ("x-blockdev-set-iothread", {"node-name": "target"}),
            move("target-file", "thread"),
            move("target", None),
            backup("d0", "target", filter_node_name="filter"),
            move("target", "thread"),
            move("d0-node", None),
            move("filter", None, force=True),
            *(hmp(f"eject {words}") for words in ("d0", "-f d0", "empty", "nope", "", "d0-node")),
            *cancel(),
            ("eject", {}),
            ("eject", {"device": "d0", "id": "x"}),
            ("eject", {"device": "d0-node"}),
            ("eject", {"id": "d0"}),
            ("blockdev-open-tray", {"device": "empty"}),
            ("blockdev-open-tray", {"device": "nope"}),
            ("eject", {"device": "d0"}),
            ("eject", {"device": "d0"}),
            BLOCK,
            hmp("drive_del d0"),
            hmp("drive_del"),
            hmp("help eject"),
        ],
    ),
    "devices leave": (
        PC,
        (
            *drive("d0", "disk.qcow2"),
            *drive("d1", "other.qcow2"),
            *("-blockdev", "driver=qcow2,node-name=n2,file.driver=file,file.filename=overlay.qcow2"),
            *("-device", "virtio-scsi-pci,id=bus", "-device", "scsi-hd,drive=d0,id=hd0"),
            *("-device", "virtio-blk-pci,drive=d1,id=blk1", "-device", "scsi-hd,drive=n2,id=hd2"),
            *("-device", "scsi-cd,id=cd"),
        ),
        [
            node("target", "target.qcow2"),
            *(("eject", arguments) for arguments in ({"id": "hd0"}, {"device": "d0"}, {"device": "d1"})),
            ("blockdev-open-tray", {"id": "hd0"}),
            ("blockdev-open-tray", {"id": "cd"}),
            hmp("drive_del n2"),
            hmp("drive_del hd2"),
            backup("n2", "target"),
            ("device_del", {"id": "nope"}),
            ("device_del", {"id": "hd2"}),
            happened("DEVICE_DELETED", "hd2"),
            ("query-jobs", {}),
            *cancel(),
            backup("d0", "target", "j1"),
            ("device_del", {"id": "hd0"}),
            happened("DEVICE_DELETED", "hd0"),
            BLOCK,
            ("device_del", {"id": "blk1"}),
            ("device_del", {"id": "blk1"}),
            hmp("device_del nope"),
            hmp("drive_del d1"),
            BLOCK,
        ],
    ),
}

HANGS = {("an overlay below the filter", "7.2")}
"""Now and then the job there never gets on."""


@pytest.mark.parametrize(
    ("story", "release"),
    [(story, release) for story in STORIES for release in RELEASES if (story, release) not in HANGS],
)
def test_commands_find_the_graph_alike(release: str, story: str, images: Path, tmp_path: Path) -> None:
    machine, arguments, steps = STORIES[story]
    folders = (tmp_path / "real", tmp_path / "engine")
    for folder in folders:
        shutil.copytree(images, folder)
    real, engine = both(release, folders, arguments, steps, machine=machine)
    for step, expected, answered in zip(
        filter(Conversation.is_command, steps), real.replies, engine.replies, strict=True
    ):
        assert (step, differences(expected, answered)) == (step, [])
    assert differences(real.lanes, engine.lanes) == []
    assert engine.made == real.made
