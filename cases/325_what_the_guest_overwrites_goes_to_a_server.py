"""Without background copy only what the guest overwrites reaches the server: old data, whole clusters, each once."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-09", "SYNC-10", "CBW-01", "CBW-02", "NBD-06"], groups=["nbd", "target", "none", "cbw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 512)
    disk.write(0x11, offset=0, length=2 * MiB)
    disk.write(0x22, offset=4 * MiB, length=512)
    before = disk.content
    remote = t.recording_target("remote0", size=4 * MiB + 512)
    job = t.blockdev_backup(disk, remote, sync="none")
    remote.expect_untouched()

    t.step("one cluster, and not again")
    disk.write(0x33, offset=MiB + 4 * KiB, length=4 * KiB)
    disk.write(0x44, offset=MiB + 8 * KiB, length=4 * KiB)
    remote.expect_written_once((MiB, 64 * KiB))

    t.step("what it zeroes, what was empty, and the short one at the end")
    disk.write_zeroes(offset=512 * KiB, length=128 * KiB)
    disk.write(0x55, offset=3 * MiB, length=512)
    disk.write(0x66, offset=4 * MiB, length=512)
    copied = [(512 * KiB, 128 * KiB), (MiB, 64 * KiB), (3 * MiB, 64 * KiB), (4 * MiB, 512)]
    remote.expect_written_once(*copied)
    remote.expect_identical(before.only(*copied))
    remote.record_written()
    job.expect_query(status="running", offset=5 * 64 * KiB)

    t.step("it ends by being cancelled")
    job.cancel()
    job.wait().expect_cancelled().expect(len=4 * MiB + 64 * KiB, offset=5 * 64 * KiB)
    remote.expect_written_once(*copied)
