"""sync=none sends the old data of what the guest overwrites, and nothing by itself."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-09", "SYNC-10", "CBW-01", "CBW-02"], groups=["nbd", "none", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=2 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB)
    job = t.backup(disk, target, sync="none")

    t.step("the guest writes over data and over nothing")
    disk.write(0x22, offset=MiB - 512, length=KiB)
    disk.write_zeroes(offset=512 * KiB, length=4 * KiB)
    disk.write(0x33, offset=3 * MiB, length=64 * KiB)
    disk.write(0x44, offset=MiB, length=4 * KiB)
    sent = [(512 * KiB, 64 * KiB), (MiB - 64 * KiB, 128 * KiB), (3 * MiB, 64 * KiB)]
    target.expect_written_once(*sent)
    target.record_written()
    job.expect_query(offset=256 * KiB, len=4 * MiB)

    t.step("it is cancelled")
    job.cancel().wait().expect_cancelled()
    disk.write(0x55, offset=0, length=4 * MiB)
    target.expect_written_once(*sent)
    target.expect_identical(before.only(*sent))
