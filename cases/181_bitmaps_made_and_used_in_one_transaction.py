"""A transaction makes bitmaps, merges and clears them and starts the backups that use them, all at one moment."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["BMP-19", "TXN-01", "TXN-04"], groups=["bitmap", "transaction", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    since_full, later, both = (t.bitmap(disk, name) for name in ("since-full", "later", "both"))

    t.step("a bitmap that begins with a full backup, and one that is used as soon as it is there: it has nothing")
    full, nothing = t.transaction(
        disk.add_bitmap_action("since-full", granularity=64 * KiB),
        t.drive_backup_action(disk.node_name, "full.img"),
        disk.add_bitmap_action("later", granularity=64 * KiB),
        t.drive_backup_action(disk.node_name, "nothing.img", sync="incremental", bitmap="later"),
    )
    nothing.wait().expect_completed().expect(len=0, offset=0)
    full.wait().expect_completed().expect(len=4 * MiB)
    full.target.expect_identical(disk.content)
    since_full.expect(count=0, recording=True)

    t.step("a checkpoint: from now on another bitmap records, what both owe is backed up once and kept")
    disk.write(0x22, offset=0, length=64 * KiB)
    since_full.disable()
    disk.write(0x33, offset=1 * MiB, length=64 * KiB)
    later.expect(count=128 * KiB)
    since_full.expect(count=64 * KiB)
    target = t.image("both.img", size=4 * MiB, backing=full.target)
    (job,) = t.transaction(
        disk.add_bitmap_action("both", granularity=64 * KiB, disabled=True),
        both.merge_action(since_full, later),
        later.action("clear"),
        since_full.action("enable"),
        t.drive_backup_action(
            disk, target, mode="existing", format="qcow2", sync="bitmap", bitmap="both", bitmap_mode="never"
        ),
    )
    job.wait().expect_completed().expect(len=128 * KiB)
    target.expect_identical(disk.content)
    later.expect(count=0, recording=True)
    both.expect(count=128 * KiB, recording=False)
    disk.write(0x44, offset=2 * MiB, length=64 * KiB)
    since_full.expect(count=128 * KiB, recording=True)

    t.step("aborted, none of it has been: bits, recording and names are as before")
    t.expect_transaction_error(
        since_full.action("clear"),
        since_full.action("disable"),
        both.action("enable"),
        later.merge_action(both),
        both.action("remove"),
        disk.add_bitmap_action("new"),
        Action("abort"),
        error="Transaction aborted using Abort action",
    )
    since_full.expect(count=128 * KiB, recording=True)
    both.expect(count=128 * KiB, recording=False)
    later.expect(count=64 * KiB, recording=True)
    t.expect("new is there", t.bitmap(disk, "new").exists(), False)
