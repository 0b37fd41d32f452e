"""A target may be written by others while the job runs, if they share it; nobody resizes it."""

from backcheck import Case, KiB, MiB, case


@case(rules=["PERM-03", "PERM-05"], groups=["permission", "graph", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    shared, unshared = t.node("shared0", size=4 * MiB), t.node("unshared0", size=4 * MiB)
    front = "virtio-blk-pci,id=front{number},drive={drive}"
    share = front.format(number=0, drive="shared0") + ",share-rw=on"
    keep = front.format(number=1, drive="unshared0")
    t.start("-machine", "pc", "-accel", "tcg", "-device", share, "-device", keep)
    disk.write(0x11, offset=0, length=4 * MiB)
    content = disk.content

    t.step("a guest device that does not share its disk keeps it from being a target")
    t.expect_error("blockdev-backup", device="disk0", target="unshared0", sync="full", job_id="job0")
    t.expect("node of disk0", t.inserted(disk)["node-name"], "disk0-node")

    t.step("one that shares it does not")
    job = t.blockdev_backup(disk, shared, job_id="job0", auto_finalize=False)
    job.wait()

    t.step("by its own name it is written, and not resized")
    t.hmp('qemu-io shared0 "write -P 0x33 1M 64k"')
    t.expect_error("block_resize", node_name="shared0", size=8 * MiB)

    t.step("what came last is there in the end")
    job.finalize().wait().expect_completed().expect(len=4 * MiB)
    t.shutdown()
    written = content.written(0x33, offset=MiB, length=64 * KiB)
    shared.expect_identical(written)
    unshared.image.expect_clean()
