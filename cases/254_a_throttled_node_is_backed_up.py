"""A throttle node is a source: its format has to be named, its limits of reads hold the job, those of writes do not."""

from backcheck import Case, JsonObject, MiB, case

ERROR = "Format driver 'throttle' does not support image creation"


@case(rules=["TGT-06", "THR-06", "THR-03", "ARG-05"], groups=["throttle", "target", "race"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    image = t.image("source.img", size=8 * MiB)
    image.write(0x11)
    layer: JsonObject = {"driver": t.format, "file": {"driver": "file", "filename": "source.img"}}
    t.node("throttled", tree={"driver": "throttle", "throttle-group": "tg0", "file": layer})
    t.start("-object", "throttle-group,id=tg0,x-bps-write=1")

    t.step("it reads as much as it likes")
    job = t.drive_backup("throttled", "written.img", format="qcow2")
    job.wait().expect_completed().expect(len=8 * MiB)

    t.step("reads are limited while it sleeps: awake, it reads once more and waits")
    job = t.drive_backup("throttled", "target.img", format="raw", speed=1)
    slept_at = job.wait_asleep()
    t.qmp("qom-set", path="tg0", property="limits", value={"bps-read": 1})
    job.set_speed(0)
    waits_at = job.wait_offset(above=slept_at)
    t.expect("offset", job.offset(), waits_at)

    t.step("they are not: drained, it goes on")
    t.qmp("qom-set", path="tg0", property="limits", value={"bps-read": 0})
    t.qmp("transaction", actions=[])
    job.wait().expect_completed().expect(len=8 * MiB)

    t.step("a target's format is that of the source, unless it is given")
    start = {"job-id": "refused", "device": "throttled", "target": "refused.img", "sync": "full"}
    t.expect_error("drive-backup", start, error=ERROR)
    t.expect("left", t.existing_image("refused.img").exists(), False)

    t.shutdown()
    for name, format in (("written.img", "qcow2"), ("target.img", "raw")):
        t.existing_image(name, format=format).expect_identical(image)
