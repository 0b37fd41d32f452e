"""The target's format is the source's driver by default, and is probed where the target exists."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-13", "TGT-06", "TGT-14"], groups=["arg", "target", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    before = disk.content
    other = "raw" if t.format == "qcow2" else "qcow2"

    t.step("made anew: the source's format")
    job = t.drive_backup(disk, "target.img")
    job.wait().expect_completed()
    t.expect("format", job.target.info()["format"], t.format)
    job.target.expect_identical(before)

    t.step("made anew: the one that is asked for")
    job = t.drive_backup(disk, "other.img", format=other)
    job.wait().expect_completed()
    t.expect("format", t.existing_image("other.img", format=other).info()["format"], other)

    t.step("existing: what the file says, not what the source is")
    for format_name in ("qcow2", "raw"):
        target = t.image(f"existing-{format_name}.img", size=MiB, format=format_name)
        t.drive_backup(disk, target.name, mode="existing").wait().expect_completed()
        target.expect_identical(before)
        t.expect("format", target.info()["format"], format_name)
    t.record_stderr()

    t.step("a filter is no format that can be created")
    t.qmp("blockdev-add", driver="blkdebug", node_name="filter", image="disk0-node")
    t.expect_error(
        "drive-backup",
        {"device": "filter", "target": "x.img", "sync": "full", "job-id": "job9"},
        error="Format driver 'blkdebug' does not support image creation",
    )
