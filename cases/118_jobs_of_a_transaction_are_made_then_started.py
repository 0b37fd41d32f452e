"""All jobs of a transaction are created, in its order, before any of them starts; each goes its own way then."""

from backcheck import Case, MiB, case


@case(rules=["TXN-02", "TXN-16", "EVT-02"], groups=["transaction", "release", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=MiB) for number in range(3)]
    for disk in disks:
        disk.write(0x11, offset=0, length=MiB)

    t.step("three at once")
    jobs = t.transaction(*(t.drive_backup_action(disk, f"target-{disk.id}.img") for disk in disks))
    created = [job.state("created") for job in jobs]
    started = [job.state("running") for job in jobs]
    for earlier, later in ((0, 1), (1, 2)):
        t.expect_before(created[earlier], created[later])
    for moment in started:
        t.expect_before(created[2], moment)
        t.expect_before(moment, jobs[0].reply)
    order = sorted(range(3), key=lambda number: started[number].at)
    t.record("starts", {"order": " ".join(jobs[number].id for number in order)})
    for job in jobs:
        job.wait().expect_completed().expect(len=MiB, offset=MiB)

    t.step("one alone, as a command and as an action: the same is told")
    t.drive_backup(disks[0], "command.img").wait().expect_completed()
    (job,) = t.transaction(t.drive_backup_action(disks[0], "action.img"), grouped=False)
    job.wait().expect_completed()
    for name in ("target-disk0.img", "command.img", "action.img"):
        t.existing_image(name).expect_identical(disks[0].content)
