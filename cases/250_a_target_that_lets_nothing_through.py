"""A throttled target makes job and guest wait; new limits wake nobody who waits, but whatever drains does."""

from backcheck import Case, JsonObject, KiB, MiB, case


@case(rules=["THR-03", "CBW-11", "CBW-01"], groups=["throttle", "target", "cbw", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.image.write(0x11)
    before = disk.content
    target = t.image("target0.img", size=8 * MiB, format="raw")
    layer: JsonObject = {"driver": "raw", "file": {"driver": "file", "filename": target.name}}
    t.node("throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": layer})
    t.start("-object", "throttle-group,id=tg0,x-bps-write=1")

    t.step("one write goes, the next would take a day")
    job = t.blockdev_backup(disk, "throttled", speed=1)
    first = job.wait_offset()
    job.set_speed(0)
    request = disk.aio_write(0x22, offset=7 * MiB, length=4 * KiB)
    request.expect_waiting()

    t.step("no limits any more, which nobody who waits is told")
    t.qmp("qom-set", path="tg0", property="limits", value={"bps-write": 0})
    request.expect_waiting()
    t.expect("offset", job.offset(), first)
    t.expect("status", job.query_job()["status"], "running")

    t.step("a transaction of nothing drains: all goes on, unlimited")
    t.qmp("transaction", actions=[])
    request.wait()
    job.wait().expect_completed().expect(len=8 * MiB)
    disk.read(0x22, offset=7 * MiB, length=4 * KiB)
    t.shutdown()
    target.expect_identical(before)
