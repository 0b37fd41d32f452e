"""A backup takes no block-job-change: where a verb could be meant its type does not, elsewhere its state does not."""

import errno

from backcheck import Case, FailAlways, Job, MiB, between, case


def begin(t: Case, state: str) -> list[Job]:
    """New jobs, the first of which is in that state."""
    if state == "idle":
        return [t.blockdev_backup("disk0", "target0", sync="none")]
    if state == "error-paused":
        job = t.blockdev_backup("disk0", "broken", on_target_error="stop")
        job.stopped("write")
        return [job]
    if state == "waiting":
        actions = (t.blockdev_backup_action("disk1", "target1"), t.blockdev_backup_action("disk0", "target0", speed=1))
        group = t.transaction(*actions, grouped=True)
        group[0].reach("waiting")
        return group
    speed, finalize, dismiss = MiB * (state == "paused"), state != "pending", state != "concluded"
    job = t.blockdev_backup("disk0", "target0", speed=speed, auto_finalize=finalize, auto_dismiss=dismiss)
    if state == "paused":
        job.pause().reach("paused")
    else:
        job.wait()
    return [job]


@case(rules=["JOB-08", "JOB-01", "JOB-02"], groups=["job", "release"])
def run(t: Case) -> None:
    for number in range(2):
        disk = t.drive(f"disk{number}", size=2 * MiB)
        disk.image.write(0x11)
        t.node(f"target{number}", tree={"driver": "null-co", "size": 2 * MiB})
    t.node("broken", size=2 * MiB, fault=FailAlways("write", errno.EIO))
    for state in ("idle", "paused", "error-paused", "waiting", "pending", "concluded"):
        t.step(state)
        jobs = begin(t, state)
        job = jobs[0]
        refused = t.exchange("block-job-change", {"id": job.id, "type": "mirror", "copy-mode": "background"})
        if refused.error_class != "CommandNotFound":
            prohibited = f"Job '{job.id}' in state '{state}' cannot accept command verb 'change'"
            is_working = state in ("idle", "paused", "error-paused")
            words = "Job type does not support change" if is_working else prohibited
            t.expect(f"{state}: change", refused.description, words)
        if state == "concluded":
            job.dismiss()
        else:
            job.cancel()
        for each in jobs:
            each.reach("null")
            if state != "concluded":
                each.expect_cancelled().expect(error=None, offset=between(0, 2 * MiB))
