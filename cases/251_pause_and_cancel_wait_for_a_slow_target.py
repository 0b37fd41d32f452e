"""Neither pause nor cancel reaches a job whose requests wait in a throttle group, before something drains."""

from backcheck import Case, JsonObject, MiB, between, case


@case(rules=["THR-03", "JOB-16"], groups=["throttle", "job", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.image.write(0x11)
    target = t.image("target0.img", size=8 * MiB, format="raw")
    layer: JsonObject = {"driver": "raw", "file": {"driver": "file", "filename": target.name}}
    t.node("throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": layer})
    t.start("-object", "throttle-group,id=tg0,x-bps-total=1")
    job = t.blockdev_backup(disk, "throttled")
    first = job.wait_offset()

    t.step("it is to pause: it still runs")
    job.pause()
    job.expect_query(status="running", paused=True, offset=between(first, first))

    t.step("it is to be cancelled: it still runs, and is not to pause any more")
    job.cancel()
    job.expect_query(status="running", paused=False, offset=between(first, first))
    job.expect_refused("resume")

    t.step("drained it ends")
    t.qmp("transaction", actions=[])
    job.wait().expect_cancelled().expect(len=8 * MiB, offset=between(first, 8 * MiB), error=None)
    t.expect("jobs", t.ask_list("query-jobs"), [])
