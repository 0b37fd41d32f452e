"""The same requests made by qemu-io and by the engine leave images that say the same of every range."""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from backcheck_engine.block.request import RequestFlag
from tests.qcow2.qemu import check, needs_qemu, opened, qemu_img, qemu_io, run

KiB, MiB = 1 << 10, 1 << 20
SIZE = 3 * MiB + 512

GEOMETRIES: dict[str, str] = {
    "default": "",
    "v2": "compat=0.10",
    "cluster-4k": "cluster_size=4k",
    "cluster-2M": "cluster_size=2M",
    "extended": "extended_l2=on",
    "extended-16k": "extended_l2=on,cluster_size=16k",
    "preallocated": "preallocation=metadata",
}

Request = tuple[str, int, int]


def _requests(seed: int, cluster_size: int) -> list[Request]:
    generator = random.Random(seed)
    requests: list[Request] = []
    for _ in range(25):
        unit = generator.choice([512, 4 * KiB, cluster_size])
        offset = generator.randrange(SIZE) // unit * unit
        length = min(max(generator.randrange(300 * KiB) // unit * unit, unit), SIZE - offset)
        requests.append((generator.choice(["write", "write", "zero", "unmap", "discard"]), offset, length))
    return requests


QEMU_IO = {"write": "write -P 5", "zero": "write -z", "unmap": "write -z -u", "discard": "discard"}


async def _make(node: Node, request: Request) -> None:
    kind, offset, length = request
    if kind == "write":
        await node.pwrite(offset, b"\x05" * length)
    elif kind == "discard":
        await node.discard(offset, length)
    else:
        await node.pwrite_zeroes(offset, length, RequestFlag.MAY_UNMAP if kind == "unmap" else RequestFlag.NONE)


async def _make_all(image: Path, requests: list[Request]) -> None:
    async with opened(image) as node:
        for request in requests:
            await _make(node, request)


def _map(image: Path) -> list[dict[str, object]]:
    """What qemu-img maps, without the places in the file, as ranges of one kind."""
    ranges: list[dict[str, object]] = []
    for entry in json.loads(qemu_img("map", "--output=json", "-f", "qcow2", image)):
        kind = {key: value for key, value in entry.items() if key not in ("start", "length", "offset")}
        if ranges and ranges[-1]["kind"] == kind:
            ranges[-1]["end"] = entry["start"] + entry["length"]
        else:
            ranges.append({"kind": kind, "start": entry["start"], "end": entry["start"] + entry["length"]})
    return ranges


@needs_qemu
@pytest.mark.parametrize("options", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("has_backing", [False, True], ids=["alone", "backing"])
def test_requests_leave_the_same_image(
    options: str, has_backing: bool, tmp_path: Path, repetitions: Callable[[int], int]
) -> None:
    if has_backing and options == "preallocation=metadata":
        pytest.skip("not with a backing file")
    backing, theirs, ours = tmp_path / "b.qcow2", tmp_path / "theirs.qcow2", tmp_path / "ours.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", backing, "2M")
    qemu_io(backing, "write -P 7 0 1M")
    below = ["-b", str(backing), "-F", "qcow2"] if has_backing else []
    for seed in range(repetitions(20)):
        print(f"seed {seed}")
        for image in (theirs, ours):
            qemu_img("create", "-q", "-f", "qcow2", "-o", options or "compat=1.1", *below, image, str(SIZE))
        cluster_size = json.loads(qemu_img("info", "--output=json", ours))["cluster-size"]
        requests = _requests(seed, cluster_size)
        commands = [f"{QEMU_IO[kind]} {offset} {length}" for kind, offset, length in requests]
        qemu_io(theirs, *commands, options=("-f", "qcow2", "-d", "unmap"))

        run(partial(_make_all, ours, requests))
        check(ours)
        qemu_img("compare", "-f", "qcow2", "-F", "qcow2", theirs, ours)
        assert _map(ours) == _map(theirs), requests
