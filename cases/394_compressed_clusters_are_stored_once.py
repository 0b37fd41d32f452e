"""A compressed cluster is written once and whole, in the background or before a guest's write."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-02", "CMP-03", "CMP-14"], groups=["nbd", "cbw", "compress", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=3 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, format="qcow2")
    job = t.backup(disk, target, speed=64 * KiB, compress=True)

    t.step("the guest writes over data and over nothing, twice")
    for offset in (2 * MiB + 60 * KiB, 2 * MiB + 512 * KiB, 3 * MiB + 512 * KiB):
        disk.write(0x33, offset=offset, length=8 * KiB)
        disk.write(0x44, offset=offset, length=8 * KiB)
    job.set_speed(0)
    job.wait().expect_completed()

    t.step("each L2 entry names a compressed range that was written once and whole")
    t.shutdown()
    stored = target.expect_stored_once()
    t.expect("clusters", [cluster.guest_offset for cluster in stored], [*range(0, 3 * MiB, 64 * KiB)])
    t.expect("compressed", all(cluster.compressed for cluster in stored), True)
    target.expect_identical(before)
    target.save().expect_clean()
