"""What a transaction does to bitmaps that are stored in the image is undone in the image as well."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-01", "BMP-17"], groups=["transaction", "bitmap", "persistent", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    kept = disk.add_bitmap("kept", persistent=True)
    disk.write(0x11, offset=MiB, length=128 * KiB)
    bits = kept.sha256()

    t.step("cleared, removed, another one added: all of it fails")
    new = t.bitmap(disk, "new")
    t.expect_transaction_error(kept.action("clear"), disk.add_bitmap_action("new", persistent=True), Action("abort"))
    t.expect_transaction_error(kept.action("remove"), Action("abort"))
    kept.expect(count=128 * KiB, persistent=True, recording=True, busy=False)

    t.step("the image has what it had")
    t.restart()
    kept.expect(count=128 * KiB, persistent=True, recording=True, busy=False)
    t.expect("bits", kept.sha256(), bits)
    t.expect("new exists", new.exists(), False)

    t.step("the same succeeds: the image has only the other one")
    t.transaction(new.add_action(persistent=True, granularity=4 * KiB), new.merge_action(kept), kept.action("remove"))
    t.restart()
    new.expect(count=128 * KiB, granularity=4 * KiB, persistent=True, recording=True)
    t.expect("kept exists", kept.exists(), False)
    t.shutdown()
    disk.image.expect_clean()
