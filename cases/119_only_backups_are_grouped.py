"""A grouped transaction takes backups only; with any other action it is refused and nothing is done."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-05", "TXN-06"], groups=["transaction", "error", "release", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    owed = disk.add_bitmap("b0")
    disk.write(0x11, offset=0, length=64 * KiB)
    snapshot = {"device": "disk0", "snapshot-file": "overlay.img", "snapshot-node-name": "overlay0"}
    others = {
        "block-dirty-bitmap-add": disk.add_bitmap_action("b1"),
        "block-dirty-bitmap-clear": owed.action("clear"),
        "block-dirty-bitmap-disable": owed.action("disable"),
        "blockdev-snapshot-sync": Action("blockdev-snapshot-sync", snapshot),
        "abort": Action("abort"),
    }
    for number, (name, other) in enumerate(others.items()):
        t.step(f"a backup, then {name}")
        target = f"target{number}.img"
        t.expect_transaction_error(t.drive_backup_action(disk, target), other, grouped=True)
        t.record("target", {"made": t.existing_image(target).exists()})

    t.step("before a backup, or with none")
    t.expect_transaction_error(owed.action("clear"), t.drive_backup_action(disk, "last.img"), grouped=True)
    t.expect("last.img exists", t.existing_image("last.img").exists(), False)
    t.expect_transaction_error(owed.action("clear"), grouped=True)

    t.step("nothing was done")
    owed.expect(count=64 * KiB, recording=True, busy=False)
    t.expect("b1 exists", t.bitmap(disk, "b1").exists(), False)
    t.expect("overlay.img exists", t.existing_image("overlay.img").exists(), False)
    t.expect("node of disk0", t.inserted(disk)["node-name"], "disk0-node")
    t.expect("jobs", t.ask_list("query-jobs"), [])
