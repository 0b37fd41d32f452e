"""A conversation about filters with a real QEMU and with the engine as that release, and what is compared of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.conversation import Conversation, Step, both, differences, hmp
from tests.monitor.program import MACHINE, RELEASES

IMAGES = {
    "source.qcow2": ("qcow2", "4M", ()),
    "other.qcow2": ("qcow2", "4M", ()),
    "overlay.qcow2": ("qcow2", "4M", ("-b", "source.qcow2", "-F", "qcow2")),
    "target.qcow2": ("qcow2", "4M", ()),
    "copy.qcow2": ("qcow2", "4M", ()),
    "coarse.qcow2": ("qcow2", "4M", ("-o", "cluster_size=256k")),
    "small.qcow2": ("qcow2", "1M", ()),
    "source.raw": ("raw", "4M", ()),
    "target.raw": ("raw", "4M", ()),
}
WITH_DATA = ("source.qcow2", "other.qcow2")

Pair = tuple[str, str]
"""A story's name and a release."""

NODES: Step = ("query-named-block-nodes", {"flat": True})


def make_images(folder: Path) -> Path:
    """The images that the stories are about; skips without the tools that make them."""
    img, io = shutil.which("qemu-img"), shutil.which("qemu-io")
    if img is None or io is None:
        pytest.skip("no qemu-img and qemu-io are installed")
    for name, (kind, size, options) in IMAGES.items():
        subprocess.run([img, "create", "-q", "-f", kind, *options, name, size], cwd=folder, check=True)
    for name in WITH_DATA:
        write = [io, "-f", "qcow2", "-c", "write -P 0x11 0 2M", "-c", "write -P 0x12 3M 64k", name]
        subprocess.run(write, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def node(name: str, file: str | None = None, kind: str = "qcow2", **more: object) -> Step:
    """`blockdev-add` of an image `name`.qcow2, or `file`."""
    below = {"driver": "file", "filename": file or f"{name}.{kind}", "node-name": f"{name}-file"}
    return "blockdev-add", {"driver": kind, "node-name": name, "file": below, **members(more)}


def add(driver: str, name: str, **more: object) -> Step:
    """`blockdev-add` of a filter."""
    return "blockdev-add", {"driver": driver, "node-name": name, **members(more)}


def cbw(name: str = "cbw", file: object = "source", target: object = "target", **more: object) -> Step:
    """`blockdev-add` of a copy-before-write filter."""
    return add("copy-before-write", name, file=file, target=target, **more)


def access(name: str = "snapshot", file: object = "cbw", **more: object) -> Step:
    """`blockdev-add` of a snapshot-access node."""
    return add("snapshot-access", name, file=file, **more)


def delete(name: str) -> Step:
    return "blockdev-del", {"node-name": name}


def io(name: str, *commands: str) -> list[Step]:
    """qemu-io on a node, command by command."""
    return [hmp(f'qemu-io {name} "{command}"') for command in commands]


def bitmap(node_name: str, name: str, **more: object) -> Step:
    return "block-dirty-bitmap-add", {"node": node_name, "name": name, **members(more)}


def members(arguments: dict[str, object]) -> dict[str, object]:
    """Arguments with QAPI's names."""
    return {name.replace("_", "-"): value for name, value in arguments.items()}


def matrix(
    stories: Iterable[str], short: dict[str, str], *, releases: Sequence[str] = RELEASES, without: Sequence[Pair] = ()
) -> list[Any]:
    """(story, release) for all of them but those in `without`; only the pairs in `short` are for every run."""
    pairs = [(story, release) for story in stories for release in releases]
    assert set(short.items()) <= set(pairs)
    return [
        pytest.param(story, release, marks=() if short.get(story) == release else pytest.mark.soak)
        for story, release in pairs
        if (story, release) not in without
    ]


def compare(release: str, images: Path, folder: Path, steps: Sequence[Step], arguments: Sequence[str] = ()) -> None:
    """Fail where the two differ: in a reply, in a job's lane, or in what qemu-io says."""
    folders = (folder / "real", folder / "engine")
    for each in folders:
        shutil.copytree(images, each)
    real, engine = both(release, folders, arguments, steps, machine=MACHINE)
    commands = [step for step in steps if Conversation.is_command(step)]
    found = [
        (step, lines)
        for step, expected, answered in zip(commands, real.replies, engine.replies, strict=True)
        if (lines := differences(expected, answered))
    ]
    assert found == []
    assert differences(real.lanes, engine.lanes) == []
    assert _without_times(engine.output) == _without_times(real.output)


def _without_times(lines: Sequence[str]) -> list[str]:
    """What qemu-io says, without how long it took."""
    return [line for line in lines if " ops; " not in line]
