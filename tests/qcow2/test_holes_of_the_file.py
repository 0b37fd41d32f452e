"""When a file has far less than its clusters, its holes are zeroes of the disk: from when on, qemu-img map tells."""

import json
from pathlib import Path

import pytest

from backcheck_engine.block.node import Node
from tests.qcow2.qemu import needs_qemu, opened, qemu_img, qemu_io, run

CLUSTER = 64 << 10


async def _zeroes(node: Node) -> int:
    """How many clusters are told to be zeroes, each asked for by itself."""
    statuses = [await node.block_status_above(None, offset, CLUSTER) for offset in range(0, node.size, CLUSTER)]
    return sum(status.zero for status in statuses)


@needs_qemu
@pytest.mark.parametrize("size", [2, 12, 21, 40])
@pytest.mark.parametrize("unwritten", [0, 1, 2, 3, 5])
def test_unwritten_clusters_are_told_when_they_are_enough(size: int, unwritten: int, tmp_path: Path) -> None:
    """Of `size` clusters that all have their places, the first were never written."""
    image = tmp_path / "disk.qcow2"
    options = f"preallocation=metadata,cluster_size={CLUSTER}"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, image, str(size * CLUSTER))
    first = min(unwritten, size)
    if first < size:
        qemu_io(image, f"write -P 1 {first * CLUSTER} {(size - first) * CLUSTER}")
    extents = json.loads(qemu_img("map", "--output=json", "-f", "qcow2", image))
    expected = sum(extent["length"] for extent in extents if extent["zero"]) // CLUSTER

    async def ask() -> int:
        async with opened(image, read_only=True) as node:
            return await _zeroes(node)

    assert run(ask) == expected
