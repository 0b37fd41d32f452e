"""While a backup runs its source is neither resized nor written around the filter; reading is free."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-16", "GRAPH-04", "GRAPH-05", "PERM-01", "PERM-02"], groups=["cbw", "graph", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.drive("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    job = t.blockdev_backup(disk, target, auto_finalize=False)
    job.wait()

    t.step("resized")
    for device in ("disk0", "target0"):
        for size in (4 * MiB, 8 * MiB):
            t.expect_error("block_resize", device=device, size=size)
    t.expect_error("block_resize", node_name="disk0-node", size=8 * MiB)

    t.step("written by its node's name, and read")
    t.hmp('qemu-io disk0-node "write -P 0x22 3M 64k"')
    t.hmp('qemu-io disk0-node "read -P 0x11 3M 64k"')
    disk.read(0x11, offset=3 * MiB, length=64 * KiB)

    t.step("free again once the job is over")
    job.finalize().wait().expect_completed()
    t.hmp('qemu-io disk0-node "write -P 0x22 3M 64k"')
    t.qmp("block_resize", node_name="disk0-node", size=8 * MiB)
    t.shutdown()
    t.existing_image("target0.img").expect_identical(before)
