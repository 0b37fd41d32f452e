"""Merging adds what the sources have, whatever their granularity and node, or does nothing at all."""

from backcheck import Case, KiB, MiB, case


@case(rules=["BMP-24"], groups=["bitmap", "quick"])
def run(t: Case) -> None:
    disk, other = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)
    larger = t.drive("disk2", size=8 * MiB)
    fine = disk.add_bitmap("fine", granularity=4 * KiB)
    coarse = disk.add_bitmap("coarse", granularity=64 * KiB, disabled=True)
    sums = {size: disk.add_bitmap(f"sum{size}", granularity=size, disabled=True) for size in (4 * KiB, 1 * MiB)}
    elsewhere = other.add_bitmap("elsewhere", granularity=16 * KiB)
    too_large = larger.add_bitmap("larger", granularity=4 * KiB)
    for offset in (0, 60 * KiB, 64 * KiB, 3 * MiB):
        disk.write(0x11, offset=offset, length=1)
    other.write(0x22, offset=2 * MiB - 1, length=2)
    fine.expect(count=16 * KiB)
    elsewhere.expect(count=32 * KiB)

    t.step("into a coarser one: every granule it touches; a disabled one can be merged into")
    coarse.merge(fine).expect(count=192 * KiB, recording=False)
    fine.expect(count=16 * KiB, recording=True)

    t.step("into a finer one: all that the coarse granules cover; the source may be disabled, several are one")
    sums[4 * KiB].merge(coarse, elsewhere).expect(count=224 * KiB)
    sums[1 * MiB].merge(fine, {"node": "disk1-node", "name": "elsewhere"}).expect(count=4 * MiB)

    t.step("what was there stays; into itself and once more changes nothing")
    sums[4 * KiB].merge(fine, "fine", sums[4 * KiB]).expect(count=224 * KiB)
    coarse.merge("coarse").expect(count=192 * KiB)

    t.step("if one source cannot be merged none is")
    coarse.clear()
    coarse.expect_refused("merge", fine, "nope", error="Dirty bitmap 'nope' not found")
    coarse.expect_refused("merge", fine, {"node": "nope", "name": "fine"}, error="Node 'nope' not found")
    coarse.expect_refused("merge", fine, too_large)
    coarse.expect_refused("merge", fine, elsewhere, {"node": "disk1-node"})
    coarse.expect(count=0)
    coarse.merge(fine).expect(count=192 * KiB)
