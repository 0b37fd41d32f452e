"""The device of a backup is a backend's id or a node's name, never the id of a guest device."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-04", "ERR-08"], groups=["arg", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-blk-pci,id=front,drive=disk0")
    disk.write(0x11, offset=0, length=128 * KiB)
    before = disk.content

    t.step("by the id of its backend")
    job = t.drive_backup(disk, "by-id.img")
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    job.target.expect_identical(before)

    t.step("by the name of its node")
    job = t.drive_backup("disk0-node", "by-node-name.img")
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    job.target.expect_identical(before)

    t.step("the guest device's id is no device here, and nothing is created for it")
    t.expect_error("drive-backup", device="front", target="by-qdev.img", sync="full", error_class="GenericError")
    t.expect_error("drive-backup", device="/machine/peripheral/front", target="by-qdev.img", sync="full")
    t.expect("by-qdev.img exists", t.existing_image("by-qdev.img").exists(), False)
