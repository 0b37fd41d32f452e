"""An error that stops one of a group leaves all to the operator, who can cancel them all by one that is done."""

import errno

from backcheck import Case, FailAlways, MiB, case


@case(rules=["TXN-10", "POL-04", "POL-10", "JOB-06", "BMP-05"], groups=["transaction", "error", "job"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(2)]
    owed = [disk.add_bitmap("b0") for disk in disks]
    broken = t.node("broken", size=4 * MiB, format="raw", fault=FailAlways("write", errno.ENOSPC, offset=3 * MiB))
    for disk in disks:
        disk.write(0x11, offset=3 * MiB, length=MiB)

    for number, family in enumerate(("block-job", "job")):
        t.step(f"one is done, the other has stopped; {family}-cancel of member {number}")
        jobs = t.transaction(
            t.drive_backup_action(disks[0], f"target{number}.img", sync="incremental", bitmap=owed[0]),
            t.blockdev_backup_action(disks[1], broken, sync="incremental", bitmap=owed[1], on_target_error="enospc"),
            grouped=True,
        )
        jobs[1].stopped("write")
        jobs[0].reach("waiting")
        jobs[1].expect_refused("cancel", "block-job")
        jobs[number].cancel("block-job" if family == "block-job" else "job")
        for job in jobs:
            job.reach("null")
            job.expect_cancelled().expect(len=MiB, error=None)
        jobs[0].expect(offset=MiB)
        jobs[1].expect(offset=0)
        for bitmap in owed:
            bitmap.expect(count=MiB, busy=False, recording=True)
        jobs[0].target.expect_clean()
