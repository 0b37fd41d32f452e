"""Compressed images at random, by the engine and QEMU in turns: layouts, disks, and what is done with them.

After each turn qemu-img finds the image sound, reads what a model of it holds and maps it as backcheck-img does; at the
end every compressed cluster is looked at, and a reader with a strict window reads the whole.
`BACKCHECK_SEED=N` repeats, from the image on that a run printed as `seed N`.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backcheck.sizes import KiB
from tests.compression.beside import RELEASE, expect_alike
from tests.compression.clusters import expect_strict
from tests.compression.lives import Hand, Step, Verb, do
from tests.compression.strict_reader import StrictReader, is_installed
from tests.qcow2.qemu import needs_qemu, qemu_img
from tests.tools.programs import Bundled

IMAGES = 30
TURNS = 4
CLUSTER_SIZES = (512, 1 * KiB, 4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB)
SMALLEST_EXTENDED = 16 * KiB
HANDS: tuple[Hand, ...] = ("engine", "engine", "qemu")
VERBS: tuple[Verb, ...] = ("write", "write", "zero", "discard", "compress", "compress", "resize")


@pytest.fixture(name="bundled")
def _bundled(tmp_path: Path) -> Iterator[Bundled]:
    with closing(Bundled(tmp_path)) as tools:
        yield tools


def layout(generator: random.Random, cluster: int) -> str:
    """Options of an image with clusters of that size."""
    chosen = [f"cluster_size={cluster}", f"compression_type={generator.choice(['zlib', 'zstd'])}"]
    chosen.append(f"refcount_bits={generator.choice([1, 2, 8, 16, 16, 64])}")
    if cluster >= SMALLEST_EXTENDED and generator.random() < 0.4:
        chosen.append("extended_l2=on")
    return ",".join(chosen)


def disk(generator: random.Random) -> bytes:
    """Pieces that compress well, hardly, only over some distance, or not at all, and zeroes."""
    whole = bytearray()
    for _ in range(generator.randrange(2, 10)):
        length, period = generator.randrange(1, 90 * KiB), generator.randrange(1, 9 * KiB)
        noise = generator.randbytes(length)
        again = (noise[:period] * (length // period + 1))[:length]
        whole += generator.choice([bytes(length), again, bytes(byte & 0x33 for byte in noise), noise])
    return bytes(whole).ljust(-(-len(whole) // 512) * 512, b"\1")


class Life:
    """One image, and what it has to hold."""

    def __init__(self, generator: random.Random, image: Path, content: bytes, cluster: int) -> None:
        self._random = generator
        self._image = image
        self._cluster = cluster
        self.content = content

    def go_on(self, hand: Hand) -> None:
        """A few steps of one hand. QEMU's is a process for each: see test_nothing_is_put_beside_what_is_gone."""
        free = self._free_clusters()
        steps: list[Step] = []
        for _ in range(self._random.randrange(1, 5)):
            step = self._step(free)
            steps.append(step)
            if step.verb == "resize":
                break
            free -= set(range(step.offset // self._cluster, (step.offset + step.length - 1) // self._cluster + 1))
        for some in [steps] if hand == "engine" else [[step] for step in steps]:
            self.content = do(hand, self._image, self.content, some)

    def _free_clusters(self) -> set[int]:
        """The whole clusters without a place in the file: only these can be compressed."""
        size = self._cluster
        free: set[int] = set()
        for extent in json.loads(qemu_img("map", "--output=json", "-f", "qcow2", self._image)):
            if not extent["data"] and "offset" not in extent:
                free |= set(range(-(-extent["start"] // size), (extent["start"] + extent["length"]) // size))
        return free

    def _step(self, free: set[int]) -> Step:
        verb, size = self._random.choice(VERBS), len(self.content)
        pattern = self._random.randrange(1, 256)
        if verb == "compress" and free:
            offset = self._random.choice(sorted(free)) * self._cluster
            return Step(verb=verb, offset=offset, length=self._cluster, pattern=pattern)
        if verb == "resize":
            whole = self._random.randrange(size // self._cluster + 1) * self._cluster
            larger = size + self._random.randrange(1, 400) * 512
            return Step(verb=verb, length=self._random.choice([whole or larger, larger]))
        if verb == "discard" and size >= self._cluster:
            first = self._random.randrange(size // self._cluster)
            count = self._random.randrange(1, size // self._cluster - first + 1)
            return Step(verb=verb, offset=first * self._cluster, length=count * self._cluster)
        offset = self._random.randrange(size // 512) * 512
        length = min(self._random.randrange(1, 200) * 512, size - offset)
        if verb == "zero":
            return Step(verb=verb, offset=offset, length=length)
        return Step(verb="write", offset=offset, length=length, pattern=pattern)


@needs_qemu
def test_compressed_images_at_random(
    tmp_path: Path, bundled: Bundled, first_seed: int, repetitions: Callable[[int], int]
) -> None:
    for seed in range(first_seed, first_seed + repetitions(IMAGES)):
        print(f"seed {seed}")
        live(random.Random(seed), tmp_path / f"{seed}.qcow2", bundled)


def live(generator: random.Random, image: Path, bundled: Bundled) -> None:
    """One image, from its compression to its last turn."""
    cluster = generator.choice(CLUSTER_SIZES)
    options, content = layout(generator, cluster), disk(generator)
    raw = image.with_suffix(".raw")
    raw.write_bytes(content)
    words = ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, str(raw), str(image)]
    if generator.random() < 0.7:
        made = bundled.run("img", words, image.parent, RELEASE)
        assert made.status == 0, made
    else:
        qemu_img(*words)
    life = Life(generator, image, content, cluster)
    for _ in range(TURNS):
        expect_alike(image, life.content, bundled)
        life.go_on(generator.choice(HANDS))
    expect_alike(image, life.content, bundled)
    expect_strict(image, life.content)
    if is_installed() and "extended_l2" not in options:
        with closing(StrictReader()) as reader:
            reader.expect(image, life.content)
    image.unlink()
    raw.unlink()
