"""A backup to an NBD server is the backup of a file: drive-backup into a URL, blockdev-backup into a node."""

from backcheck import Case, KiB, MiB, case


@case(rules=["NBD-01", "NBD-06", "SIZE-05", "SIZE-06"], groups=["nbd", "target", "full"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 1536)
    disk.write(0x11, offset=0, length=MiB)
    disk.write(0x22, offset=4 * MiB + 512, length=1024)
    disk.write_zeroes(offset=512 * KiB, length=64 * KiB)
    before = disk.content
    remote = t.recording_target("remote0", size=disk.content.size, node=False)
    other = t.recording_target("target0", size=disk.content.size)

    t.step("drive-backup to a URL")
    job = t.drive_backup(disk, remote.url, mode="existing", format="raw", speed=64 * KiB)
    t.record_stderr()
    disk.write(0x33, offset=0, length=4 * KiB)
    disk.write(0x44, offset=3 * MiB, length=4 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB + 64 * KiB, offset=4 * MiB + 64 * KiB)
    remote.expect_identical(before)
    remote.expect_written_once()
    remote.expect_flushed()

    t.step("blockdev-backup to a node, with all the guest has done since")
    before = disk.content
    job = t.blockdev_backup(disk, other)
    t.record_stderr()
    job.wait().expect_completed().expect(len=4 * MiB + 64 * KiB, offset=4 * MiB + 64 * KiB)
    other.expect_identical(before)
    other.expect_written_once()
