"""Each verb is taken in its states only; elsewhere the refusal names job, state and verb."""

from backcheck import Case, Job, KiB, MiB, case

VERBS = ("cancel", "pause", "resume", "set-speed", "complete", "finalize", "dismiss")
BLOCK_JOB_VERBS = ("complete", "finalize", "dismiss")


def expect_refusals(job: Job, *verbs: str) -> None:
    """Both families refuse these verbs."""
    for verb in verbs:
        if verb == "set-speed":
            job.expect_refused("set-speed", "block-job", {"speed": 0})
        else:
            job.expect_refused(verb)
    for verb in BLOCK_JOB_VERBS:
        if verb in verbs:
            job.expect_refused(verb, "block-job")


@case(rules=["JOB-01", "JOB-02", "JOB-04", "JOB-09", "SPD-02"], groups=["job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    t.step("running")
    job = t.drive_backup(disk, "target.img", speed=512 * KiB, auto_finalize=False, auto_dismiss=False)
    expect_refusals(job, "resume", "complete", "finalize", "dismiss")

    t.step("paused")
    job.pause()
    job.reach("paused")
    expect_refusals(job, "pause", "complete", "finalize", "dismiss")

    t.step("pending")
    job.set_speed(0)
    job.resume()
    job.wait()
    expect_refusals(job, "pause", "resume", "set-speed", "complete", "dismiss")

    t.step("concluded")
    job.finalize().wait()
    expect_refusals(job, *(verb for verb in VERBS if verb != "dismiss"))

    t.step("gone")
    job.dismiss()
    expect_refusals(job, *VERBS)
