"""Where no server listens, where it has no such export and where the export is for readers, no backup begins."""

from backcheck import Case, JsonObject, MiB, case


@case(rules=["NBD-04", "NBD-05", "ERR-16"], groups=["nbd", "target", "error"])
def run(t: Case) -> None:
    disk, other = (t.drive(name, size=4 * MiB) for name in ("disk0", "disk1"))
    disk.write(0x11, offset=0, length=4 * MiB)
    other.write(0x22, offset=0, length=4 * MiB)
    sealed = t.recording_target("sealed", size=4 * MiB, node=False, read_only=True)
    remote = t.recording_target("remote0", size=4 * MiB, node=False)
    backup: JsonObject = {"device": "disk0", "job-id": "job0", "sync": "full", "format": "raw"}

    def refused(target: str, error: str | None = None) -> None:
        t.expect_error("drive-backup", {**backup, "target": target})
        t.expect_error("drive-backup", {**backup, "target": target, "mode": "existing"}, error=error)

    t.step("no server")
    refused("nbd:unix:nowhere.sock", "Failed to connect to 'nowhere.sock': No such file or directory")
    refused("nbd+unix:///remote0?socket=nowhere.sock", "Failed to connect to 'nowhere.sock': No such file or directory")

    t.step("no such export")
    refused("nbd:unix:remote0.sock:exportname=nope", "Requested export not available")
    refused("nbd+unix:///?socket=remote0.sock", "Requested export not available")

    t.step("an export for readers")
    refused("nbd+unix:///sealed?socket=sealed.sock")
    sealed.expect_untouched()

    t.step("no address")
    for target in ("nbd:", "nbd:unix", "nbd://", "nbd+unix:///remote0", "nbd+nosuch://remote0"):
        t.expect_error("drive-backup", {**backup, "target": target, "mode": "existing"})

    t.step("nothing is left of it: another disk's backup takes the name of the job")
    t.expect("jobs", t.ask_list("query-jobs"), [])
    remote.expect_untouched()
    job = t.drive_backup(other, remote.url, mode="existing", format="raw", job_id="job0")
    job.wait().expect_completed().expect(len=4 * MiB)
    remote.expect_identical(other)
