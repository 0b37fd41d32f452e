"""Cancelling one member of a group, whether it runs, waits or is pending, cancels them all."""

from backcheck import Case, Job, KiB, MiB, between, case


@case(rules=["TXN-10", "BMP-05"], groups=["transaction", "job", "quick"])
def run(t: Case) -> None:
    quick, slow = t.drive("disk0", size=4 * MiB), t.drive("disk1", size=4 * MiB)
    owed = [disk.add_bitmap("b0") for disk in (quick, slow)]
    for disk in (quick, slow):
        disk.write(0x11, offset=0, length=4 * MiB)

    def start(speed: int, auto_finalize: bool = True) -> list[Job]:
        return t.transaction(
            t.drive_backup_action(quick, "target0.img", sync="incremental", bitmap=owed[0]),
            t.drive_backup_action(
                slow, "target1.img", sync="incremental", bitmap=owed[1], speed=speed, auto_finalize=auto_finalize
            ),
            grouped=True,
        )

    def expect_all_cancelled(jobs: list[Job]) -> None:
        for job in jobs:
            job.reach("null")
            job.expect_cancelled().expect(error=None)
        jobs[0].expect(offset=4 * MiB)
        jobs[1].expect(offset=between(64 * KiB, 4 * MiB))
        for bitmap in owed:
            bitmap.expect(count=4 * MiB, busy=False)
        t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("the one that runs, while the other waits")
    jobs = start(64 * KiB)
    jobs[0].reach("waiting")
    jobs[1].cancel()
    expect_all_cancelled(jobs)

    t.step("the one that waits, while the other runs")
    jobs = start(64 * KiB)
    jobs[0].reach("waiting")
    jobs[0].cancel("block-job")
    expect_all_cancelled(jobs)

    t.step("the one that waits, while the other is paused")
    jobs = start(64 * KiB)
    jobs[1].pause()
    jobs[1].reach("paused")
    jobs[0].reach("waiting")
    jobs[0].cancel()
    expect_all_cancelled(jobs)

    t.step("one that is pending, as all are")
    jobs = start(0, auto_finalize=False)
    jobs[0].reach("pending")
    jobs[1].reach("pending")
    jobs[0].cancel()
    expect_all_cancelled(jobs)
