"""Each cluster is written to the target once: in the background, or before a guest's write, never both."""

from backcheck import Case, KiB, MiB, case

WRITES = [(3 * MiB + 60 * KiB, 8 * KiB), (3 * MiB, 4 * KiB), (3 * MiB + 512 * KiB, 192 * KiB), (4 * MiB - 512, 512)]


@case(rules=["CBW-01", "CBW-02", "CBW-03", "CMP-14"], groups=["nbd", "cbw", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)
    job = t.backup(disk, target, speed=64 * KiB)

    t.step("the guest overwrites what the backup has not reached, and some of it again")
    for offset, length in WRITES:
        disk.write(0x22, offset=offset, length=length)
    old = [(item.offset, item.length) for item in target.received("write") if item.offset >= 3 * MiB]
    t.expect("clusters", sum(length for _, length in old), 6 * 64 * KiB)
    for offset, length in WRITES:
        disk.write(0x33, offset=offset, length=length)

    t.step("the rest is copied in the background")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    target.expect_written_once()
    target.expect_identical(before)
    target.record_written()
