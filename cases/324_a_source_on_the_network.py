"""A guest's disk on an NBD server is backed up as any other: its zeroes stay zeroes, and the past is copied first."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-01", "SYNC-02", "CBW-01"], groups=["nbd", "source", "full"])
def run(t: Case) -> None:
    remote = t.recording_target("remote0", size=8 * MiB, node=False)
    disk = t.drive_over("disk0", remote)
    disk.write(0x11, offset=MiB, length=MiB)
    disk.write(0x22, offset=8 * MiB - 512, length=512)
    before = disk.content

    t.step("full, while the guest writes")
    remote.forget()
    job = t.drive_backup(disk, "target.img", format="qcow2", speed=64 * KiB)
    disk.write(0x33, offset=6 * MiB + 512, length=512)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB)
    job.target.expect_identical(before)
    job.target.record_map()
    remote.expect_identical(disk)

    t.step("incremental, to another server")
    marks = disk.add_bitmap("b0", granularity=64 * KiB)
    disk.write(0x44, offset=2 * MiB, length=4 * KiB)
    disk.write(0x55, offset=5 * MiB + 32 * KiB, length=64 * KiB)
    other = t.recording_target("other0", size=8 * MiB)
    job = t.blockdev_backup(disk, other, sync="incremental", bitmap=marks)
    job.wait().expect_completed().expect(len=192 * KiB, offset=192 * KiB)
    other.expect_written_once((2 * MiB, 64 * KiB), (5 * MiB, 128 * KiB))
    other.expect_identical(disk.content.only((2 * MiB, 64 * KiB), (5 * MiB, 128 * KiB)))
    marks.expect(count=0)
