"""sync=full writes every cluster that the guest sees: a chain comes out flat, and nothing of the old target is left."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-01", "SYNC-02", "SYNC-16", "TGT-08"], groups=["sync", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11, offset=0, length=512 * KiB)
    middle = t.image("middle.img", size=3 * MiB, backing=base)
    middle.write(0x22, offset=256 * KiB, length=512 * KiB)
    middle.write_zeroes(offset=0, length=64 * KiB)
    top = t.image("top.img", size=4 * MiB, backing=middle, options={"cluster_size": "4k"})
    top.write(0x33, offset=640 * KiB, length=4 * KiB)
    old = t.image("old.img", size=4 * MiB)
    old.write(0x77, offset=0, length=4 * MiB)
    disk = t.drive("disk0", image=top)

    t.step("into a new file, which has no backing")
    job = t.drive_backup(disk, "new.img")
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    job.target.expect_identical(top.content)
    t.expect("backing of new.img", "backing-filename" in job.target.info(), False)
    job.target.record_map()

    t.step("over a full one")
    t.drive_backup(disk, "old.img", mode="existing").wait().expect_completed()
    old.expect_identical(top.content)
    old.expect_clean()
