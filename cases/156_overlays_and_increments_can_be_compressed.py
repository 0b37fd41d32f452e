"""top and incremental compress what they copy, zeroes apart, and cannot copy over what is compressed already."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["CMP-03", "CMP-07", "CMP-08", "CMP-14", "POL-09", "SYNC-06", "SYNC-11"], groups=["compress", "top", "bitmap"]
)
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=64 * KiB, length=960 * KiB)
    overlay.write_zeroes(offset=3 * MiB, length=64 * KiB)
    disk = t.drive("disk0", image=overlay)
    owed = disk.add_bitmap("b0")

    t.step("top")
    disk.write(0x33, offset=2 * MiB, length=4 * KiB)
    before = disk.content
    top = t.drive_backup(disk, "top.img", sync="top", compress=True)
    top.wait().expect_completed().expect(len=MiB + 64 * KiB)
    top.target.expect_identical(before)
    top.target.expect_clean()

    t.step("incremental into it fails where it has data, and keeps all marks; what was in flight is done (not in 5.2)")
    disk.write_zeroes(offset=3 * MiB, length=64 * KiB)
    job = t.drive_backup(
        disk, top.target, sync="incremental", bitmap="b0", compress=True, mode="existing", format="qcow2"
    )
    finished = 0 if t.release < (6, 0) else 64 * KiB
    job.wait().expect(error="Input/output error", len=128 * KiB, offset=finished)
    owed.expect(count=128 * KiB, busy=False)

    t.step("into a new one it does not")
    disk.write(0x44, offset=0, length=4 * KiB)
    before = disk.content
    new = t.image("new.img", backing=top.target)
    job = t.drive_backup(disk, new, sync="incremental", bitmap="b0", compress=True, mode="existing", format="qcow2")
    job.wait().expect_completed().expect(len=192 * KiB)
    owed.expect(count=0, busy=False)
    new.expect_identical(before)
    new.expect_clean()
