"""The target of a blockdev-backup is a device's id or a node's name, and is never created."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-06", "ARG-02"], groups=["arg", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    by_id = t.drive("target0", size=MiB)
    by_name = t.node("target1", size=MiB)
    disk.write(0x11, offset=64 * KiB, length=128 * KiB)
    before = disk.content

    t.step("a device's id")
    t.blockdev_backup(disk, by_id).wait().expect_completed().expect(len=MiB, offset=MiB)

    t.step("a node's name")
    t.blockdev_backup(disk, by_name).wait().expect_completed().expect(len=MiB, offset=MiB)

    t.step("a file's name is neither, and what only creates files is no argument")
    t.expect_error("blockdev-backup", device="disk0", target="new.img", sync="full", error_class="GenericError")
    refused = {"device": "disk0", "target": "target1", "sync": "full"}
    t.expect_error("blockdev-backup", {**refused, "mode": "existing"}, error="Parameter 'mode' is unexpected")
    t.expect_error("blockdev-backup", {**refused, "format": "qcow2"}, error="Parameter 'format' is unexpected")
    t.expect("new.img exists", t.existing_image("new.img").exists(), False)

    t.step("both targets hold the disk")
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
    t.existing_image("target1.img").expect_identical(before)
