"""One member without auto-finalize makes the whole group wait; finalizing any member finalizes all."""

from backcheck import Case, MiB, case


@case(rules=["TXN-08"], groups=["transaction", "job", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=MiB) for number in range(3)]
    for disk in disks:
        disk.write(0x11, offset=0, length=MiB)

    t.step("all are pending, and only those that want to be finalized say so")
    first = t.transaction(
        *(
            t.drive_backup_action(disk, f"target-{disk.id}.img", auto_finalize=finalize)
            for disk, finalize in zip(disks, (False, True, False), strict=True)
        ),
        grouped=True,
    )
    for job in first:
        job.reach("pending")
        job.expect_query(status="pending")

    t.step("finalized by the one that does it by itself")
    first[1].finalize()
    for job in first:
        t.expect_before(job.event("BLOCK_JOB_COMPLETED"), first[1].verb_reply)
        job.expect_completed().expect(len=MiB)
        job.reach("null")
    first[0].expect_refused("finalize")

    t.step("those that stay until they are dismissed are finalized as well")
    second = t.transaction(
        t.drive_backup_action(disks[0], "last0.img", auto_finalize=False, auto_dismiss=False),
        t.drive_backup_action(disks[1], "last1.img", auto_finalize=False),
        grouped=True,
    )
    for job in second:
        job.wait()
    second[1].finalize("block-job")
    second[0].reach("concluded")
    second[0].expect_refused("finalize")
    second[0].dismiss().wait().expect_completed()
    second[1].reach("null")
    t.expect("jobs", t.ask_list("query-jobs"), [])
    for image in (*(job.target for job in first), *(job.target for job in second)):
        image.expect_identical(disks[0].content)
