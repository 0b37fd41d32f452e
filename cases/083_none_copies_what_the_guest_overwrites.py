"""sync=none copies nothing but the old data of what the guest overwrites, until it is cancelled."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-09", "SYNC-10", "TGT-08", "CBW-04"], groups=["sync", "none", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB + 512, discard="unmap")
    disk.write(0x11, offset=0, length=4 * MiB + 512)
    before = disk.content

    t.step("it waits for the guest")
    job = t.drive_backup(disk, "target.img", sync="none", format="qcow2")
    job.expect_query(status="running", busy=False, ready=False, len=4 * MiB + 64 * KiB, offset=0)

    t.step("each cluster is copied once, and the last one up to its end")
    for offset, length, copied in (
        (64 * KiB + 512, 512, 64),
        (64 * KiB, 64 * KiB, 64),
        (MiB - 512, KiB, 192),
        (4 * MiB, 512, 256),
    ):
        disk.write(0x22, offset=offset, length=length)
        t.expect("offset", job.offset(), copied * KiB)

    t.step("before zeroes too; reading and discarding copy nothing")
    disk.write_zeroes(offset=2 * MiB, length=68 * KiB, unmap=True)
    disk.read(0x11, offset=3 * MiB, length=128 * KiB)
    disk.discard(offset=3 * MiB, length=128 * KiB)
    disk.read(0x11, offset=3 * MiB, length=128 * KiB)
    job.expect_query(busy=False, len=4 * MiB + 64 * KiB, offset=384 * KiB)

    t.step("it ends by being cancelled only")
    job.expect_refused("complete", "block-job")
    job.cancel("block-job").wait().expect_cancelled().expect(len=4 * MiB + 64 * KiB, offset=384 * KiB, error=None)

    t.step("over the disk as it is now, the target is the disk as it was")
    now = disk.content
    t.shutdown()
    disk.expect_identical(now)
    job.target.expect_identical(before)
    job.target.expect_clean()
    info = job.target.info()
    named = [info["backing-filename"], info["backing-filename-format"]]
    t.expect("backing of target.img", named, ["disk0.img", t.format])
    job.target.record_map()
