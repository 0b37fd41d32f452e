"""drive-backup creates its target inside an NBD export too: raw where the size fits, qcow2 where there is room."""

from backcheck import Case, JsonObject, KiB, MiB, between, case


@case(rules=["NBD-02", "NBD-03", "TGT-02", "SIZE-09", "NBD-06"], groups=["nbd", "target", "full", "error"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.drive("disk1", size=4 * MiB)
    disk.write(0x11, offset=MiB, length=MiB)
    before = disk.content
    sizes = {"equal": 4 * MiB, "small": 4 * MiB - 512, "large": 4 * MiB + 512, "room": 6 * MiB}
    remote = {name: t.recording_target(name, size=size, node=False) for name, size in sizes.items()}

    t.step("raw: only of the very size")
    backup: JsonObject = {"device": "disk1", "job-id": "job0", "sync": "full", "format": "raw"}
    target: dict[str, JsonObject] = {name: {**backup, "target": remote[name].url} for name in sizes}
    t.expect_error("drive-backup", target["small"], error="Cannot grow NBD nodes")
    t.expect_error("drive-backup", target["large"], error="Source and target image have different sizes")
    t.expect_error("drive-backup", {**target["small"], "mode": "existing"})
    remote["small"].expect_untouched()
    remote["large"].record_written()
    job = t.drive_backup(disk, remote["equal"].url, format="raw")
    job.wait().expect_completed().expect(len=4 * MiB)
    remote["equal"].expect_identical(before)

    t.step("qcow2: its clusters lie in the export, which is larger")
    job = t.drive_backup(disk, remote["room"].url, format="qcow2")
    job.wait().expect_completed().expect(len=4 * MiB)
    t.record_stderr()
    remote["room"].save()
    image = t.existing_image("room.saved", format="qcow2")
    image.expect_identical(before)
    image.expect_clean()

    t.step("qcow2 without the room for it fails when it gets there")
    disk.write(0x22, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, remote["small"].url, format="qcow2")
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(len=4 * MiB, offset=between(0, 4 * MiB - 64 * KiB), error="No space left on device")
    disk.read(0x22, offset=0, length=4 * MiB)
