"""The disks that are compressed here, and the layouts of the images that they are compressed into."""

import random

from backcheck.sizes import KiB, MiB

LAYOUTS: dict[str, tuple[str, int]] = {
    "64k": ("", 64 * KiB),
    "512": ("cluster_size=512", 512),
    "4k": ("cluster_size=4k", 4 * KiB),
    "2M": ("cluster_size=2M", 2 * MiB),
    "extended": ("extended_l2=on", 64 * KiB),
    "extended-16k-zstd": ("extended_l2=on,cluster_size=16k,compression_type=zstd", 16 * KiB),
    "zstd": ("compression_type=zstd", 64 * KiB),
    "refcount-2": ("refcount_bits=2,cluster_size=8k", 8 * KiB),
}
"""Name -> (options of an image, its cluster size)."""

TEXT_A, TEXT_B, ZERO, NOISE, NEAR, FAR, TEXT_C, TEXT_D, TAIL = range(9)
"""The parts of a disk."""
PART_SIZE = 64 * KiB
TAIL_SIZE = 5 * 512
"""Of the last part, less than most clusters."""


def make_disk(part_size: int = PART_SIZE) -> bytes:
    """Text, zeroes and noise; noise that comes again 3 KiB behind itself, and 6 KiB, which no window of 4 KiB spans."""
    generator = random.Random(6)
    near, far = generator.randbytes(3 * KiB), generator.randbytes(6 * KiB)
    parts = {
        TEXT_A: _text(generator),
        TEXT_B: _text(generator),
        ZERO: b"",
        NOISE: generator.randbytes(part_size),
        NEAR: (near * (part_size // len(near) + 1))[:part_size],
        FAR: (far * (part_size // len(far) + 1))[:part_size],
        TEXT_C: _text(generator),
        TEXT_D: _text(generator),
    }
    return b"".join(parts[number].ljust(part_size, b"\0") for number in range(TAIL)) + _text(generator)[:TAIL_SIZE]


def _text(generator: random.Random) -> bytes:
    """Lines that compress well."""
    return b"".join(b"%d bottles of beer on the wall\n" % generator.randrange(10**9) for _ in range(500))
