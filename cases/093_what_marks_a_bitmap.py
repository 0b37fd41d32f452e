"""A bitmap counts whole granules of whatever a write, a zero write or a discard touched, and of nothing else."""

import errno

from backcheck import Case, FailOnce, KiB, MiB, case


@case(rules=["BMP-20"], groups=["bitmap", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB, fault=FailOnce("write", errno.EIO), discard="unmap")
    dirty = disk.add_bitmap("b0", granularity=4 * KiB)
    dirty.expect(count=0, granularity=4 * KiB, recording=True, busy=False, persistent=False)

    t.step("a write that fails marks what it might have changed")
    disk.write(0x11, offset=512, length=1 * KiB, expect="Input/output error")
    dirty.expect(count=4 * KiB)
    dirty.clear().expect(count=0)

    t.step("part of a granule is a granule; two bytes on an edge are two granules; marked twice is marked once")
    disk.write(0x11, offset=512, length=1 * KiB)
    dirty.expect(count=4 * KiB)
    disk.write(0x22, offset=8 * KiB - 1, length=2)
    dirty.expect(count=12 * KiB)
    disk.write(0x33, offset=0, length=12 * KiB)
    dirty.expect(count=12 * KiB)

    t.step("zero writes and discards are changes, also where nothing was")
    disk.write_zeroes(offset=64 * KiB, length=4 * KiB)
    disk.write_zeroes(offset=128 * KiB, length=64 * KiB, unmap=True)
    dirty.expect(count=80 * KiB)
    disk.discard(offset=256 * KiB, length=64 * KiB)
    disk.discard(offset=512 * KiB + 512, length=512)
    dirty.expect(count=148 * KiB)

    t.step("reading, flushing, writing nothing and writing past the end change nothing")
    disk.read(0, offset=1 * MiB, length=64 * KiB)
    disk.flush()
    disk.write(0x44, offset=2 * MiB, length=0)
    disk.write(0x44, offset=4 * MiB, length=512, expect="Input/output error")
    disk.write(0x44, offset=4 * MiB - 512, length=1 * KiB, expect="Input/output error")
    dirty.expect(count=148 * KiB)

    t.step("the last granule of the disk")
    disk.write(0x55, offset=4 * MiB - 512, length=512)
    dirty.expect(count=152 * KiB)
