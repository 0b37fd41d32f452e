"""In a group a job that is ready waits for the others; only then its bitmap is settled and its disk let go."""

from backcheck import Case, KiB, MiB, case


@case(rules=["TXN-07", "BMP-09", "FLT-03"], groups=["transaction", "bitmap", "quick"])
def run(t: Case) -> None:
    quick, slow = t.drive("disk0", size=MiB), t.drive("disk1", size=4 * MiB)
    owed = [disk.add_bitmap("b0") for disk in (quick, slow)]
    for disk in (quick, slow):
        disk.write(0x11, offset=0, length=disk.content.size)
    before = [disk.content for disk in (quick, slow)]

    t.step("the first has copied all, and waits")
    jobs = t.transaction(
        t.drive_backup_action(
            quick, "target0.img", bitmap=owed[0], bitmap_mode="on-success", filter_node_name="filter0"
        ),
        t.drive_backup_action(slow, "target1.img", bitmap=owed[1], bitmap_mode="on-success", speed=64 * KiB),
        grouped=True,
    )
    jobs[0].reach("waiting")
    jobs[0].expect_query(status="waiting", offset=MiB, busy=False)
    for verb in ("finalize", "pause", "dismiss", "complete"):
        jobs[0].expect_refused(verb)

    t.step("its disk and bitmap are still in use")
    owed[0].expect(count=MiB, busy=True)
    quick.write(0x22, offset=0, length=4 * KiB)
    t.expect("node of disk0", t.inserted(quick)["node-name"], "filter0")

    t.step("the last one is ready too: all end")
    jobs[1].set_speed(0)
    for job, disk in zip(jobs, (quick, slow), strict=True):
        job.wait().expect_completed().expect(len=disk.content.size)
    t.expect_before(jobs[1].state("pending"), jobs[0].event("BLOCK_JOB_COMPLETED"))
    t.expect_before(jobs[0].state("pending"), jobs[1].event("BLOCK_JOB_COMPLETED"))
    t.expect_before(jobs[1].state("pending"), jobs[0].state("pending"))
    owed[0].expect(count=64 * KiB, busy=False)
    owed[1].expect(count=0, busy=False)
    for job, content in zip(jobs, before, strict=True):
        job.target.expect_identical(content)
