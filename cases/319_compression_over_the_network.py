"""Compressed clusters need a format that has them: raw over NBD is refused, qcow2 inside an export is not."""

from backcheck import Case, MiB, case


@case(rules=["NBD-07", "CMP-01", "NBD-06"], groups=["nbd", "target", "compress"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=2 * MiB)
    before = disk.content
    remote = t.recording_target("remote0", size=4 * MiB)
    inside = t.recording_target("inside0", size=4 * MiB, format="qcow2")

    t.step("raw: no byte is sent")
    refused = "Compression is not supported for this drive "
    backup = {"job-id": "job0", "device": "disk0", "sync": "full", "compress": True}
    t.expect_error("blockdev-backup", {**backup, "target": "remote0"}, error=refused)
    t.expect_error("drive-backup", {**backup, "target": remote.url, "mode": "existing", "format": "raw"}, error=refused)
    remote.expect_untouched()

    t.step("qcow2")
    t.record_stderr()
    inside.forget()
    job = t.blockdev_backup(disk, inside, compress=True)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.expect("lines on stderr", t.record_stderr(), [])
    t.shutdown()
    sent = sum(request.length for request in inside.received("write"))
    t.expect("less was sent than the disk holds", sent < MiB, True)
    inside.expect_identical(before)
