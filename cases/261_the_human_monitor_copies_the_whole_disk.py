"""drive_backup -f copies the whole disk, whatever lies below it; the job is called as its drive."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["HMP-02", "HMP-03", "SYNC-02", "ARG-08", "ARG-13"],
    groups=["hmp", "full", "quick"],
    formats=["qcow2", "raw"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    base = t.image("base.img", size=3 * MiB, format="raw")
    base.write(0x11)
    upper = t.drive("disk1", image=t.image("upper.img", size=3 * MiB + 512, format="qcow2", backing=base))
    disk.write(0x22, offset=MiB, length=64 * KiB)
    upper.write(0x33, offset=512, length=512)

    t.step("no job-id, no speed, and the format is the drive's")
    job = t.hmp_job("drive_backup -f disk0 target.img", "disk0")
    t.expect_before(job.state("running"), job.reply)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, speed=0)
    t.existing_image("target.img").expect_identical(disk.content)

    t.step("the layers below come into one file, which needs none")
    job = t.hmp_job("drive_backup -f disk1 whole.img", "disk1")
    job.wait().expect_completed().expect(len=3 * MiB + 64 * KiB)
    whole = t.existing_image("whole.img", format="qcow2")
    whole.expect_identical(upper.content)
    t.expect("backing file", whole.info().get("backing-filename"), None)

    t.step("in a format that is named, of a node that is named: the job is still called as the drive")
    job = t.hmp_job("drive_backup -f disk1-node flat.img raw", "disk1")
    job.wait().expect_completed()
    t.existing_image("flat.img", format="raw").expect_identical(upper.content)
