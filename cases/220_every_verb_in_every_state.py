"""Every verb of both families in every state that can be held: taken, or refused with the words of the table."""

import errno
from collections.abc import Mapping

from backcheck import Case, FailAlways, Job, JsonObject, MiB, between, case
from backcheck.story.jobs import Family

VERBS: tuple[tuple[str, Family, JsonObject], ...] = (
    ("pause", "job", {}),
    ("pause", "block-job", {}),
    ("resume", "job", {}),
    ("resume", "block-job", {}),
    ("set-speed", "block-job", {"speed": 1}),
    ("complete", "job", {}),
    ("complete", "block-job", {}),
    ("finalize", "job", {}),
    ("finalize", "block-job", {}),
    ("dismiss", "job", {}),
    ("dismiss", "block-job", {}),
    ("cancel", "block-job", {}),
    ("cancel", "block-job", {"force": True}),
    ("cancel", "job", {}),
)
TAKEN: Mapping[str, tuple[str, ...]] = {
    "idle": ("pause", "set-speed", "cancel"),
    "running": ("pause", "set-speed", "cancel"),
    "paused": ("resume", "set-speed", "cancel"),
    "error-paused": ("resume", "set-speed", "cancel"),
    "waiting": ("cancel",),
    "pending": ("finalize", "cancel"),
    "concluded": ("dismiss",),
}
STATUS = {"idle": "running", "error-paused": "paused"}


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
    speed = {"running": 1, "paused": MiB}.get(state, 0)
    finalize, dismiss = state != "pending", state != "concluded"
    job = t.blockdev_backup("disk0", "target0", speed=speed, auto_finalize=finalize, auto_dismiss=dismiss)
    if state == "running":
        job.wait_asleep()
    if state == "paused":
        job.pause().reach("paused")
    if state in ("pending", "concluded"):
        job.wait()
    return [job]


def refusal(job: Job, state: str, verb: str, more: JsonObject) -> str:
    """What a verb that the state does not take is answered."""
    if verb == "resume":
        return "Can't resume a job that was not paused"
    if state in ("paused", "error-paused") and verb == "pause":
        return "Job is already paused"
    if verb == "cancel" and state != "concluded":
        return f"The block job for device '{job.id}' is currently paused"
    return f"Job '{job.id}' in state '{STATUS.get(state, state)}' cannot accept command verb '{verb}'"


def after(jobs: list[Job], state: str, verb: str) -> None:
    """What a verb that was taken has done; then the jobs end."""
    job = jobs[0]
    if verb in ("pause", "resume"):
        job.expect_query(paused=verb == "pause" or state == "error-paused")
    if verb == "set-speed":
        job.expect_query(speed=1)
    if verb in ("pause", "resume", "set-speed"):
        job.cancel()
    for each in jobs:
        each.reach("null")
        if verb not in ("finalize", "dismiss"):
            each.expect_cancelled().expect(error=None, offset=between(0, 2 * MiB))


@case(rules=["JOB-01", "JOB-02", "JOB-04", "JOB-05", "JOB-06", "JOB-09", "SPD-02", "POL-10"], groups=["job"])
def run(t: Case) -> None:
    for number in range(2):
        disk = t.drive(f"disk{number}", size=2 * MiB)
        disk.image.write(0x11)
        t.node(f"target{number}", tree={"driver": "null-co", "size": 2 * MiB})
    t.node("broken", size=2 * MiB, fault=FailAlways("write", errno.EIO))
    for state, taken in TAKEN.items():
        jobs: list[Job] = []
        for verb, family, more in VERBS:
            t.step(f"{state}: {family}-{verb}{' force' if more.get('force') else ''}")
            jobs = jobs or begin(t, state)
            forced = family == "job" or "force" in more or "paused" not in state
            if verb in taken and (verb != "cancel" or forced):
                jobs[0].verb(verb, family, more)
                if verb == "resume" and state == "error-paused":
                    jobs[0].stopped("write")
                after(jobs, state, verb)
                jobs = []
            else:
                refused = jobs[0].expect_refused(verb, family, more)
                t.expect(f"{state}: {verb}", refused.description, refusal(jobs[0], state, verb, more))
    for job in jobs:
        job.dismiss()
