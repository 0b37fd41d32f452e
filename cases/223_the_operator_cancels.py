"""Cancelled in any state a backup leaves nothing behind: no filter, the guest goes on, the next backup is whole."""

import errno

from backcheck import Case, Drive, FailOnce, Job, KiB, MiB, between, case

STATES = ("running", "paused", "error-paused", "pending", "waiting")


def begin(t: Case, disks: list[Drive], state: str) -> list[Job]:
    """New jobs of disk0, or of both disks, the first of which is in that state."""
    name = f"{state}.img"
    if state == "error-paused":
        job = t.blockdev_backup(disks[0], "short", on_target_error="stop", filter_node_name="filter")
        job.stopped("write")
    elif state == "waiting":
        first = t.drive_backup_action(disks[0], name, filter_node_name="filter")
        jobs = t.transaction(first, t.drive_backup_action(disks[1], "slow.img", speed=1), grouped=True)
        jobs[0].reach("waiting")
        return jobs
    else:
        speed = {"running": 1, "paused": MiB}.get(state, 0)
        job = t.drive_backup(disks[0], name, speed=speed, auto_finalize=state != "pending", filter_node_name="filter")
        if state == "paused":
            job.pause().reach("paused")
        elif state == "pending":
            job.wait()
    return [job]


@case(rules=["EVT-06", "EVT-10", "JOB-06", "JOB-07", "TXN-10", "FLT-03", "POL-10"], groups=["job", "story"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB, discard="unmap") for number in range(2)]
    for disk in disks:
        disk.image.write(0x11)
    t.node("short", size=4 * MiB, fault=FailOnce("write", errno.ENOSPC))
    for pattern, state in enumerate(STATES, 0x20):
        t.step(f"{state}: the guest writes, and the operator cancels")
        jobs = begin(t, disks, state)
        t.expect("root", t.inserted(disks[0])["node-name"], "filter")
        disks[0].write(pattern, offset=3 * MiB, length=MiB)
        jobs[0].cancel("block-job", force=True)
        for job, copied in zip(jobs, (MiB, 64 * KiB), strict=False):
            job.reach("null")
            job.expect_cancelled().expect(error=None, len=4 * MiB, offset=between(copied, 4 * MiB))

        t.step(f"{state}: nothing of it is left")
        t.expect("jobs", t.ask_list("query-jobs"), [])
        t.expect("root", t.inserted(disks[0])["node-name"], "disk0-node")
        disks[0].discard(offset=3 * MiB, length=MiB)
        disks[0].write(pattern, offset=3 * MiB, length=MiB)
        job = t.drive_backup(disks[0], "next.img").wait().expect_completed()
        job.target.expect_identical(disks[0].content)
    t.shutdown()
    for name in ("running.img", "paused.img", "pending.img", "waiting.img", "slow.img", "short.img"):
        t.existing_image(name).expect_clean()
