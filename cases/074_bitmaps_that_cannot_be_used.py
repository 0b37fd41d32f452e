"""A bitmap that is in use or inconsistent cannot be used, nor one where it would mean nothing."""

from backcheck import Case, KiB, MiB, case

NO_OUTPUT = "sync mode 'none' does not produce meaningful bitmap outputs"
IN_USE = "Bitmap 'b0' is currently in use by another operation and cannot be used"
INCONSISTENT = "Bitmap 'b1' is inconsistent and cannot be used"


@case(rules=["ERR-23", "ERR-24"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.image.add_bitmap("b1")
    target, other = t.node("target0", size=MiB), t.node("target1", size=MiB)
    owed = disk.add_bitmap("b0")
    disk.write(0x11, offset=0, length=4 * KiB)
    wanted = {"job-id": "job9", "device": "disk0-node", "target": "target1", "bitmap": "b0", "bitmap-mode": "never"}

    t.step("where it would mean nothing")
    for mode in ("on-success", "never", "always"):
        t.expect_error("blockdev-backup", {**wanted, "sync": "none", "bitmap-mode": mode}, error=NO_OUTPUT)
    for sync in ("full", "top"):
        error = f"Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '{sync}'"
        t.expect_error("blockdev-backup", {**wanted, "sync": sync}, error=error)
    owed.expect(count=64 * KiB, busy=False)

    t.step("in use: told before that, and until the job is finalized")
    job = t.blockdev_backup(disk, target, sync="bitmap", bitmap="b0", bitmap_mode="never", auto_finalize=False)
    job.wait()
    for sync in ("bitmap", "full", "none"):
        t.expect_error("blockdev-backup", {**wanted, "sync": sync}, error=IN_USE)
    job.finalize().wait().expect_completed().expect(len=64 * KiB)
    t.blockdev_backup("disk0-node", other, sync="incremental", bitmap="b0").wait().expect_completed()

    t.step("inconsistent, after a kill")
    t.kill()
    for sync in ("incremental", "bitmap", "none"):
        mode = "on-success" if sync == "incremental" else "never"
        again = {**wanted, "sync": sync, "bitmap": "b1", "bitmap-mode": mode}
        t.expect_error("blockdev-backup", again, error=INCONSISTENT)
    t.bitmap(disk, "b1").expect(inconsistent=True, busy=False)
