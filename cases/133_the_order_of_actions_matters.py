"""Each action sees what those before it have done, and a bitmap that one of them uses is in use for the next."""

from backcheck import Case, KiB, MiB, case

BUSY = "Bitmap 'b0' is currently in use by another operation and cannot be used"


@case(rules=["TXN-01", "BMP-19", "BMP-10", "BMP-11"], groups=["transaction", "bitmap", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    owed = disk.add_bitmap("b0")
    disk.write(0x11, offset=0, length=128 * KiB)
    backup = t.drive_backup_action(disk, "target.img", sync="incremental", bitmap="b0")

    t.step("a bitmap is used as soon as it is added: there is nothing to copy")
    new = t.bitmap(disk, "new")
    action = t.drive_backup_action(disk, "new.img", sync="incremental", bitmap="new", auto_finalize=False)
    (job,) = t.transaction(disk.add_bitmap_action("new"), action)
    disk.write(0x22, offset=MiB, length=64 * KiB)
    job.wait().finalize().wait().expect_completed().expect(len=0, offset=0)
    new.expect(count=64 * KiB, busy=False)

    t.step("what a backup uses is neither cleared nor disabled, removed, or merged after it")
    owed.expect(count=192 * KiB)
    for later in (owed.action("clear"), owed.action("disable"), owed.action("remove"), new.merge_action(owed)):
        t.expect_transaction_error(backup, later, error=BUSY)
    t.expect_transaction_error(backup, owed.merge_action(new), error=BUSY)
    t.expect_transaction_error(backup, disk.add_bitmap_action("b0"), error="Bitmap already exists: b0")
    owed.expect(count=192 * KiB, busy=False)

    t.step("what is removed is gone for what follows")
    t.expect_transaction_error(owed.action("remove"), owed.action("clear"), error=BUSY)
    t.expect_transaction_error(owed.action("remove"), backup)
    owed.expect(count=192 * KiB, busy=False)

    t.step("merged before it, more is copied; cleared before it, nothing")
    (job,) = t.transaction(
        new.merge_action(owed), t.drive_backup_action(disk, "merged.img", sync="incremental", bitmap=new)
    )
    job.wait().expect_completed().expect(len=192 * KiB)
    (job,) = t.transaction(owed.action("clear"), backup)
    job.wait().expect_completed().expect(len=0, offset=0)
    owed.expect(count=0, busy=False)
    new.expect(count=0, busy=False)
