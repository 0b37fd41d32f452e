"""block_set_io_throttle sets limits for the guest, which info block shows, and which do not slow a backup down."""

from backcheck import Case, MiB, case


@case(rules=["HMP-03", "CBW-01"], groups=["hmp", "throttle", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content

    t.step("limits")
    t.expect("answer", t.hmp("block_set_io_throttle disk0 64*1024 0 0 0 500 600"), "")
    said = t.hmp("info block disk0")
    t.expect("limits", "bps=65536 bps_rd=0 bps_wr=0" in said and "iops=0 iops_rd=500 iops_wr=600" in said, True)

    t.step("a backup is no guest: it is not limited")
    job = t.drive_backup(disk, "target.img", job_id=None, auto_finalize=False)
    job.wait()
    t.hmp("info block-jobs")
    disk.write(0x22, offset=0, length=512)
    job.finalize().wait().expect_completed().expect(len=4 * MiB, speed=0)
    job.target.expect_identical(before)

    t.step("no limits: no line about them")
    t.expect("answer", t.hmp("block_set_io_throttle disk0 0 0 0 0 0 0"), "")
    t.expect("throttling", "throttling" in t.hmp("info block disk0"), False)
