"""How to damage images where it matters: in what one part of them says of another."""

import random
from dataclasses import dataclass
from typing import Literal

FLAGS = (0, 1, 1 << 62, 1 << 63, 3 << 62, 512, 1 << 55)
SMALL = (0, 1, 2, 3, 7, 8, 9, 16, 22, 63, 64, 104, 112, 255, 1024, 65535, 65536)
LARGE = (1 << 25, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, 1 << 56, (1 << 63) - 65536, 1 << 63, (1 << 64) - 1)
WIDTHS = (8, 8, 8, 4, 4, 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A sound image and where its tables are."""

    name: str
    format: str = "qcow2"
    order: Literal["big", "little"] = "big"
    """Of the bytes of its numbers."""
    data: bytes
    tables: tuple[tuple[int, int], ...]
    """Offset and length of each part that is no data of the guest, and of compressed clusters."""


def damaged(seed: Seed, generator: random.Random) -> bytes:
    """The image with one to five things wrong."""
    image = bytearray(seed.data)
    for _ in range(generator.choice([1, 1, 2, 3, 5])):
        generator.choice([_change_field] * 12 + [_copy_table, _cut_off, _flip])(image, seed, generator)
    return bytes(image)


def _change_field(image: bytearray, seed: Seed, generator: random.Random) -> None:
    """A field of a table gets a value that fits some other field, or none."""
    start, length = generator.choice(seed.tables)
    width = generator.choice(WIDTHS)
    used = min(length, generator.choice([64, 128, length]))
    at = start + generator.randrange(max(1, used // width)) * width
    old = int.from_bytes(image[at : at + width], seed.order)
    offset = generator.choice(seed.tables)[0]
    value = generator.choice(
        [
            generator.choice(SMALL),
            generator.choice(LARGE),
            old ^ generator.choice(FLAGS),
            old + generator.choice([1, -1, 512, 65536]),
            offset | generator.choice(FLAGS),
            len(image) + generator.choice([-512, 0, 1 << 16, 1 << 30]),
            generator.randrange(1 << 64),
        ]
    )
    image[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, seed.order)


def _copy_table(image: bytearray, seed: Seed, generator: random.Random) -> None:
    (source, length), (target, _) = generator.choice(seed.tables), generator.choice(seed.tables)
    part = bytes(image[source : source + min(length, 4096)])
    image[target : target + len(part)] = part


def _cut_off(image: bytearray, seed: Seed, generator: random.Random) -> None:
    start, length = generator.choice(seed.tables)
    del image[start + generator.randrange(length + 1) :]


def _flip(image: bytearray, seed: Seed, generator: random.Random) -> None:
    start, length = generator.choice(seed.tables)
    for _ in range(20):
        at = start + generator.randrange(length)
        if at < len(image):
            image[at] ^= 1 << generator.randrange(8)
