"""The digest of a bitmap after random writes, clears and merges: that of a real QEMU, for any size and granularity."""

import random
from pathlib import Path

import pytest

from tests.bitmaps.beside import Command, KiB, MiB, assert_alike, bitmap, images, io, merge

pytestmark = pytest.mark.timeout(120)

SIZES = {"tiny": "1", "sector": "512", "odd": "1000000", "words": str(64 * 64 * KiB), "large": "5000000000"}
GRANULARITIES = (512, 4 * KiB, 64 * KiB, MiB, 1 << 31)
DISKS = {name: ["-f", "qcow2", size] for name, size in SIZES.items()}
ARGUMENTS = [
    argument
    for name in DISKS
    for argument in ("-drive", f"if=none,id={name},node-name={name}-node,file={name},format=qcow2,discard=unmap")
]


def program(seed: int, name: str) -> list[Command]:
    """Random commands on one disk."""
    chosen = random.Random(f"{seed} {name}")
    size = -(-int(SIZES[name]) // 512) * 512
    names = [f"g{granularity}" for granularity in GRANULARITIES]
    commands: list[Command] = [
        bitmap("add", name, f"g{granularity}", granularity=granularity) for granularity in GRANULARITIES
    ]
    for _ in range(6):
        requests = []
        for _ in range(5):
            offset = chosen.randrange(size)
            length = min(size - offset, chosen.choice((1, 512, 5000, 64 * KiB, MiB)))
            requests.append(f"{chosen.choice(('write', 'write -z', 'discard'))} {offset} {length}")
        commands.append(io(name, *requests))
        verb = chosen.choice(("clear", "enable", "disable", "merge", "merge"))
        target = chosen.choice(names)
        commands.append(
            merge(name, target, *chosen.sample(names, 2)) if verb == "merge" else bitmap(verb, name, target)
        )
    return commands


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("release", ["7.2"])
def test_digests_are_those_of_qemu(release: str, name: str, tmp_path: Path) -> None:
    assert_alike(release, tmp_path, images(DISKS), ARGUMENTS, program(1, name))
