"""Where a target cannot lie over its backing file the backup is refused, and what it would have spoiled is kept."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["ERR-13", "ERR-14", "ERR-19", "TGT-03"],
    groups=["error", "target", "quick"],
    not_on={"qemu<6.0": "what is refused there freezes the drive's later jobs (BUG-01)"},
)
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=MiB, length=64 * KiB)
    disk = t.drive("disk0", image=overlay)
    raw = t.drive("disk1", size=MiB, format="raw")
    before = disk.content
    started = {"job-id": "job9", "device": "disk0"}

    t.step("a format that has no backing files is found out before anything is created")
    for sync in ("top", "none"):
        wanted = {**started, "sync": sync, "target": "new.raw", "format": "raw"}
        t.expect_error("drive-backup", wanted, error="Backing file not supported for file format 'raw'")
    wanted = {"job-id": "job9", "device": "disk1", "sync": "none", "target": "new.raw"}
    t.expect_error("drive-backup", wanted, error="Backing file not supported for file format 'raw'")
    t.expect("new.raw exists", t.existing_image("new.raw").exists(), False)

    t.step("so is a target that is called like its backing file")
    same = "Error: Trying to create an image with the same filename as the backing file"
    for sync, target in (("top", "base.img"), ("none", "overlay.img")):
        t.expect_error("drive-backup", {**started, "sync": sync, "target": target}, error=same)

    t.step("an existing raw file cannot take the source as its backing file, and is left as it is")
    old = t.image("old.raw", size=2 * MiB, format="raw")
    old.write(0x77)
    wanted = {**started, "sync": "none", "mode": "existing", "target": "old.raw", "format": "raw"}
    t.expect_error("drive-backup", wanted)
    old.expect_identical(old.content)

    t.step("the disks are as they were, and free")
    job = t.drive_backup(raw, "full.raw", sync="top")
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    t.drive_backup(disk, "top.img", sync="top").wait().expect_completed().expect(len=64 * KiB)
    t.shutdown()
    base.expect_identical(base.content)
    overlay.expect_identical(before)
