"""drive_backup without -f is sync=top: the top layer over its backing file, or the whole of a disk that has none."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-02", "SYNC-04", "SYNC-06", "SYNC-08", "ERR-13", "ERR-34"], groups=["hmp", "top", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11)
    upper = t.drive("disk0", image=t.image("upper.img", backing=base))
    alone = t.drive("disk1", size=4 * MiB)
    upper.write(0x22, offset=MiB + 4 * KiB, length=4 * KiB)
    alone.write(0x33, offset=0, length=64 * KiB)

    t.step("with a backing file: one cluster is copied, and the target has the same file below it")
    t.hmp_job("drive_backup disk0 target.img", "disk0").wait().expect_completed().expect(len=64 * KiB)
    target = t.existing_image("target.img")
    target.expect_identical(upper.content)
    target.record_map()
    t.expect("backing file", target.info()["backing-filename"], "base.img")

    t.step("without one: the whole disk")
    t.hmp_job("drive_backup disk1 whole.img", "disk1").wait().expect_completed().expect(len=4 * MiB)
    whole = t.existing_image("whole.img")
    whole.expect_identical(alone.content)
    t.expect("backing file", whole.info().get("backing-filename"), None)

    t.step("into a format that has no backing files: refused, and there is no file")
    said = t.hmp("drive_backup disk0 flat.img raw")
    t.expect("answer", said, "Error: Backing file not supported for file format 'raw'\r\n")
    t.expect("flat.img is there", t.existing_image("flat.img").exists(), False)
    t.expect("jobs", t.hmp("info block-jobs"), "No active jobs\r\n")
