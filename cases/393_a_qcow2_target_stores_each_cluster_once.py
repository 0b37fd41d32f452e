"""A qcow2 target stores the data of each cluster once, whatever the guest writes meanwhile."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-01", "CBW-02", "CMP-14", "SYNC-14"], groups=["nbd", "cbw", "qcow2", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=3 * MiB)
    disk.write(0x22, offset=3 * MiB + 512 * KiB, length=64 * KiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, format="qcow2")
    job = t.backup(disk, target, speed=64 * KiB)

    t.step("the guest writes over data and over nothing")
    for offset in (2 * MiB + 60 * KiB, 3 * MiB, 3 * MiB + 512 * KiB, 4 * MiB - 512):
        disk.write(0x33, offset=offset, length=512)
        disk.write(0x44, offset=offset, length=512)
    job.set_speed(0)
    job.wait().expect_completed()

    t.step("each L2 entry names a range that was written once and whole")
    t.shutdown()
    stored = target.expect_stored_once()
    t.expect(
        "clusters", [cluster.guest_offset for cluster in stored], [*range(0, 3 * MiB, 64 * KiB), 3 * MiB + 512 * KiB]
    )
    target.expect_identical(before)
    target.save().expect_clean()
