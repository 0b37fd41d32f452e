"""A week of increments goes to one server: each reads the dirty clusters only, and the server always has yesterday."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-11", "BMP-03", "NBD-01", "SIZE-01"], groups=["nbd", "target", "bitmap", "incremental"])
def run(t: Case) -> None:
    size = 4 * MiB + 1536
    disk = t.drive("disk0", size=size)
    disk.write(0x11, offset=0, length=size)
    remote = t.recording_target("remote0", size=size)
    marks = disk.add_bitmap("b0", granularity=4 * KiB)

    t.step("sunday: all of it")
    job = t.blockdev_backup(disk, remote, sync="full", bitmap=marks, bitmap_mode="on-success")
    job.wait().expect_completed().expect(len=4 * MiB + 64 * KiB)
    remote.expect_written_once()
    remote.expect_identical(disk)

    t.step("monday: one sector, two neighbours and the short end")
    remote.forget()
    disk.write(0x22, offset=512, length=512)
    disk.write(0x33, offset=128 * KiB - 512, length=1024)
    disk.write(0x44, offset=size - 512, length=512)
    job = t.blockdev_backup(disk, remote, sync="incremental", bitmap=marks)
    job.wait().expect_completed().expect(len=4 * 64 * KiB, offset=4 * 64 * KiB)
    remote.expect_written_once((0, 192 * KiB), (4 * MiB, 1536))
    remote.expect_identical(disk)

    t.step("tuesday: nothing")
    remote.forget()
    job = t.blockdev_backup(disk, remote, sync="incremental", bitmap=marks)
    job.wait().expect_completed().expect(len=0, offset=0)
    remote.expect_untouched()

    t.step("wednesday: zeroes, which are not sent as data")
    sent = len(remote.received("write"))
    disk.write_zeroes(offset=MiB, length=128 * KiB)
    job = t.blockdev_backup(disk, remote, sync="incremental", bitmap=marks)
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)
    remote.expect_written_once((MiB, 128 * KiB))
    t.expect("writes of data since monday", len(remote.received("write")) - sent, 0)
    remote.expect_identical(disk)
    marks.expect(count=0, busy=False)
