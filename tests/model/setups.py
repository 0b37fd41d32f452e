"""What a random program begins with: drives of one image or a chain, of many sizes and clusters."""

from hypothesis import strategies as st

from tests.model.disks import SECTOR, KiB, MiB
from tests.model.world import DiskSetup, Layer, Setup

SIZES = (MiB, MiB, MiB + 3 * SECTOR, 1_000_000, 2 * MiB, 64 * KiB + SECTOR, 1)
CLUSTERS = (None, None, 512, 4 * KiB, 2 * MiB)
BASE_PATTERN = 0xF0
"""What images hold at first, above what guests write."""


@st.composite
def layers(draw: st.DrawFn, *, below: bool, fill: bool) -> Layer:
    """An image of a chain; one with something below it is qcow2."""
    format = draw(st.sampled_from(["qcow2"] if below else ["qcow2", "raw"]))
    size = draw(st.sampled_from(SIZES))
    extended = format == "qcow2" and draw(st.integers(0, 5)) == 5
    cluster = draw(st.sampled_from([16 * KiB, 128 * KiB] if extended else CLUSTERS)) if format == "qcow2" else None
    return Layer(
        format=format,
        size=size,
        cluster=cluster,
        extended_l2=extended,
        fill=(BASE_PATTERN, 0, -(-size // SECTOR) * SECTOR) if fill else None,
    )


@st.composite
def disk_setups(draw: st.DrawFn, *, simple: bool) -> DiskSetup:
    """A drive with a chain of one to four images."""
    depth = 0 if simple else draw(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]))
    below = [draw(layers(below=level > 0, fill=True)) for level in range(depth)]
    top = draw(layers(below=depth > 0, fill=False))
    return DiskSetup(layers=(*below, top), unmap=draw(st.booleans()))


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    """One drive or two, perhaps one more that can hold requests."""
    disks = [draw(disk_setups(simple=False))]
    if draw(st.integers(0, 3)) == 3:
        disks.append(draw(disk_setups(simple=True)))
    return Setup(disks=tuple(disks), held_target=draw(st.integers(0, 3)) == 3)
