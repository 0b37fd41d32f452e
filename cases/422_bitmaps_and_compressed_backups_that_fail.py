"""A compressed increment that fails leaves its bitmap as its mode says, and is made again into another target."""

from backcheck import Case, KiB, MiB, case

LEFT = {"on-success": 128 * KiB, "never": 128 * KiB, "always": 64 * KiB}
"""Bitmap mode -> what is owed after one of two clusters failed."""


@case(rules=["CMP-07", "CMP-08", "BMP-07", "SYNC-11"], groups=["compress", "bitmap", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    full = t.drive_backup(disk, "full.img", compress=True)
    full.wait().expect_completed()

    for mode in ("on-success", "never", "always"):
        t.step(f"{mode}: the second cluster is in the target already")
        owed = disk.add_bitmap(f"b-{mode}")
        disk.write(0x22, offset=MiB, length=4 * KiB)
        disk.write(0x33, offset=2 * MiB, length=4 * KiB)
        used = t.image(f"used-{mode}.img", backing=full.target)
        t.io("-f", "qcow2", "-c", "write -c -P 0x55 2M 64k", used.name)
        job = t.drive_backup(
            disk, used, sync="bitmap", bitmap=owed, bitmap_mode=mode, mode="existing", format="qcow2", compress=True
        )
        job.wait().expect(error="Input/output error", len=128 * KiB)
        owed.expect(count=LEFT[mode], busy=False, recording=True)

        t.step(f"{mode}: into a new one")
        new = t.image(f"new-{mode}.img", backing=full.target if mode != "always" else used)
        job = t.drive_backup(
            disk, new, sync="bitmap", bitmap=owed, bitmap_mode=mode, mode="existing", format="qcow2", compress=True
        )
        job.wait().expect_completed().expect(len=LEFT[mode])
        owed.expect(count=128 * KiB if mode == "never" else 0, busy=False)
        new.expect_identical(disk)
        new.expect_clean()
        owed.remove()
