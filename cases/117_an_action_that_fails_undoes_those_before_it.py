"""A transaction whose third action fails starts no job: what was prepared is undone, but for the files that it made."""

from backcheck import Action, Case, KiB, MiB, case


@case(rules=["TXN-01", "TXN-03", "TXN-04", "EVT-12", "ERR-34"], groups=["transaction", "error", "quick"])
def run(t: Case) -> None:
    disks = [t.drive("disk0", size=MiB), t.drive("disk1", size=MiB), t.drive("disk2", size=MiB)]
    owed = disks[0].add_bitmap("b0")
    for disk in disks:
        disk.write(0x11, offset=0, length=128 * KiB)
    before = [disk.content for disk in disks]
    first = t.drive_backup_action(disks[0], "target0.img", sync="incremental", bitmap=owed, auto_dismiss=False)
    second = t.drive_backup_action(disks[1], "target1.img", auto_dismiss=False, auto_finalize=False)
    third = t.drive_backup_action(disks[2], "target2.img")

    t.step("the jobs end without having been")
    text = "Transaction aborted using Abort action"
    t.expect_transaction_error(first, second, Action("abort"), third, error=text)
    t.expect("jobs", t.ask_list("query-jobs"), [])
    owed.expect(count=128 * KiB, busy=False)
    for disk in disks:
        t.expect(f"node of {disk.id}", t.inserted(disk)["node-name"], disk.node_name)

    t.step("what was reached has left its file, what was not has left none")
    exists = [t.existing_image(f"target{number}.img").exists() for number in range(3)]
    t.expect("files", exists, [True, True, False])
    for number in range(2):
        t.existing_image(f"target{number}.img").expect_clean()

    t.step("in a group it is the same")
    fourth = t.drive_backup_action("nope", "target3.img")
    t.expect_transaction_error(first, fourth, third, grouped=True)
    t.expect("jobs", t.ask_list("query-jobs"), [])
    t.expect("target3.img exists", t.existing_image("target3.img").exists(), False)
    owed.expect(count=128 * KiB, busy=False)

    t.step("the same without the abort, under the same ids")
    jobs = t.transaction(first, second, third)
    t.expect("ids", [job.id for job in jobs], ["job0", "job1", "job2"])
    jobs[0].wait().expect_completed().expect(len=128 * KiB)
    jobs[1].wait().finalize().wait().expect_completed().expect(len=MiB)
    jobs[2].wait().expect_completed()
    for job in jobs[:2]:
        job.dismiss()
    owed.expect(count=0, busy=False)
    for job, content in zip(jobs, before, strict=True):
        job.target.expect_identical(content)
