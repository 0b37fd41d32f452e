"""Two bitmaps of one size and granularity have the same hash exactly when the same granules are dirty."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-25"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk, twin = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB, format="raw")
    here, there = (drive.add_bitmap("b0", granularity=64 * KiB) for drive in (disk, twin))
    here.expect_same_bits(there)
    empty = here.sha256()

    t.step("other writes, the same granules")
    disk.write(0x11, offset=0, length=192 * KiB)
    twin.write(0x22, offset=128 * KiB, length=1)
    t.expect("hashes are equal", here.sha256() == there.sha256(), False)
    twin.write_zeroes(offset=1, length=64 * KiB)
    here.expect_same_bits(there).expect(count=192 * KiB)

    t.step("as many, but others")
    disk.write(0x11, offset=1 * MiB, length=1)
    twin.write(0x22, offset=1 * MiB + 64 * KiB, length=1)
    t.expect("counts", here.count, there.count)
    t.expect("hashes are equal", here.sha256() == there.sha256(), False)

    t.step("a merge and a clear are as good as writes")
    sums = disk.add_bitmap("sum", granularity=64 * KiB, disabled=True)
    sums.merge(here, there)
    disk.write(0x33, offset=1 * MiB, length=128 * KiB)
    here.expect_same_bits(sums)
    for bitmap in (here, sums):
        bitmap.clear()
    t.expect("hash of a cleared bitmap", (here.sha256(), sums.sha256()), (empty, empty))

    t.step("the hash itself, of granules 0, 17 and 63")
    for granule in (0, 17, 63):
        disk.write(0x44, offset=granule * 64 * KiB, length=512)
    answer = t.qmp("x-debug-block-dirty-bitmap-sha256", {"node": "disk0-node", "name": "b0"})
    t.expect("sha256", answer, {"sha256": here.sha256()})
