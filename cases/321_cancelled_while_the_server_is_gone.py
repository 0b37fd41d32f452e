"""A job that waits for a server to come back is cancelled by force at once, and the guest is not kept waiting."""

from backcheck import Case, KiB, MiB, between, case


@case(
    rules=["NBD-08", "JOB-06", "CBW-07"],
    groups=["nbd", "target", "reconnect", "job"],
    not_on={"qemu<6.0": "a cancelled job waits until the reconnect-delay is over (NBD-08)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.image.write(0x11)
    remote = t.recording_target("remote0", size=8 * MiB, reconnect_delay=3600)

    t.step("gone between two jobs, and back: it is asked again")
    t.blockdev_backup(disk, remote).wait().expect_completed()
    disk.write(0x44, offset=0, length=MiB)
    remote.leave()
    t.poll(lambda: not remote.connected, "the server to be gone")
    remote.come_back()
    job = t.blockdev_backup(disk, remote)
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB, error=None)
    remote.expect_identical(disk)

    t.step("the server is gone for good, and the guest's write waits for it")
    remote.disconnect_at("write", offset=4 * MiB)
    job = t.blockdev_backup(disk, remote)
    t.poll(lambda: not remote.connected, "the server to be gone")
    request = disk.aio_write(0x22, offset=7 * MiB, length=4 * KiB)
    request.expect_waiting()
    t.expect("status", job.query_job()["status"], "running")

    t.step("cancelled by force")
    job.cancel("block-job", force=True)
    job.wait().expect_cancelled().expect(len=8 * MiB, offset=between(0, 7 * MiB), error=None)
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("its target can go, and the guest goes on")
    request.wait(expect="Input/output error")
    t.qmp("blockdev-del", node_name="remote0")
    disk.write(0x33, offset=7 * MiB, length=4 * KiB)
