"""A well-formed backup or transaction drains all disks, even when it fails: an idle job rests before the reply."""

from backcheck import Case, JsonObject, MiB, Moment, case

BACKUP: JsonObject = {"job-id": "job9", "device": "nope", "target": "target.img", "sync": "full"}
WELL_FORMED: dict[str, tuple[str, JsonObject]] = {
    "a drive-backup of nothing": ("drive-backup", BACKUP),
    "a blockdev-backup of nothing": ("blockdev-backup", BACKUP),
    "a transaction that is aborted": ("transaction", {"actions": [{"type": "abort", "data": {}}]}),
    "an empty transaction": ("transaction", {"actions": []}),
}


@case(rules=["ERR-35", "EVT-02", "EVT-13"], groups=["error", "event", "quick"], keep_pairs=True)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.node("target0", size=MiB)
    job = t.blockdev_backup(disk, target, sync="none")
    job.reach("paused")
    job.reach("running")
    # Before 6.0 a job that is idle comes to no point where it could rest.
    rests = t.release >= (6, 0)

    for title, (command, arguments) in WELL_FORMED.items():
        t.step(title)
        exchange = t.exchange(command, arguments)
        if rests:
            reply = Moment(at=exchange.reply_at, what=f"the reply to {command}")
            t.expect_before(job.reach("paused"), reply)
            t.expect_before(job.reach("running"), reply)

    t.step("what the schema refuses drains nothing: the job rests when it is told to")
    t.expect_error("drive-backup", {**BACKUP, "sync": "foo"})
    t.expect_error("transaction", {"actions": [{"type": "foo", "data": {}}]})
    job.pause()
    if rests:
        job.reach("paused")

    t.step("the end")
    job.cancel().wait().expect_cancelled().expect(len=MiB, offset=0)
