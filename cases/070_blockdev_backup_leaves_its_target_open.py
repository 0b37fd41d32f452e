"""blockdev-backup does not close its target at the end: it is the user's node, locked until it is deleted."""

from backcheck import Case, MiB, case


@case(rules=["TGT-18"], groups=["target", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content
    t.blockdev_backup(disk, target).wait().expect_completed()

    t.step("another process cannot have it yet")
    t.expect("image tool's exit status", t.img("info", "target0.img").status, 1)

    t.step("deleted, it is complete")
    t.qmp("blockdev-del", node_name="target0")
    t.expect("image tool's exit status", t.img("info", "target0.img").status, 0)
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
