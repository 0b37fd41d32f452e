"""A bitmap has a name that is new to its node; a persistent one needs an image that can store it."""

from backcheck import Case, KiB, MiB, case

LONGEST = 1023


@case(rules=["BMP-22"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=1 * MiB, format="qcow2")
    raw = t.drive("raw0", size=1 * MiB, format="raw")
    t.start("-drive", "if=none,id=empty0")

    t.step("any name will do, on each node anew")
    first = disk.add_bitmap("b0", granularity=4 * KiB)
    raw.add_bitmap("b0", granularity=8 * KiB)
    disk.add_bitmap("n" * LONGEST)
    disk.add_bitmap("a b/c#%")
    t.qmp("block-dirty-bitmap-add", {"node": "disk0", "name": "by-device"})
    t.bitmap(disk, "by-device").expect(count=0)

    t.step("but no name, one too long, and one that is there; granularity is looked at first")
    t.bitmap(disk, "").expect_refused("add", error="Bitmap name cannot be empty")
    t.bitmap(disk, "n" * (LONGEST + 1)).expect_refused("add")
    first.expect_refused("add", error="Bitmap already exists: b0")
    first.expect_refused("add", granularity=3, error="Granularity must be power of 2 and at least 512")
    first.expect(granularity=4 * KiB, count=0)

    t.step("where it cannot be")
    t.bitmap("nope", "b0").expect_refused("add")
    t.bitmap("empty0", "b0").expect_refused("add", error="Device 'empty0' has no medium")
    t.bitmap(raw, "p0").expect_refused(
        "add", persistent=True, error="Can't store persistent bitmaps to raw0: Operation not supported"
    )
    t.expect("p0 exists", t.bitmap(raw, "p0").exists(), False)

    t.step("what is not there cannot be named")
    for verb in ("remove", "clear", "enable", "disable"):
        t.bitmap(disk, "nope").expect_refused(verb, error="Dirty bitmap 'nope' not found")
        t.bitmap("nope", "b0").expect_refused(verb, error="Node 'nope' not found")
    t.bitmap(disk, "nope").expect_refused("merge", "b0", error="Dirty bitmap 'nope' not found")
    t.bitmap("empty0", "b0").expect_refused("clear", error="Node 'empty0' not found")
