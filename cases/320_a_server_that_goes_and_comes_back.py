"""With a reconnect-delay a backup waits for a server that is gone, and goes on when it is back; nothing is lost."""

from backcheck import Case, KiB, MiB, case


@case(rules=["NBD-08"], groups=["nbd", "target", "reconnect"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.image.write(0x11)
    before = disk.content
    remote = t.recording_target("remote0", size=8 * MiB, reconnect_delay=60)

    t.step("the server is gone in the middle of a write")
    remote.disconnect_at("write", offset=4 * MiB)
    job = t.blockdev_backup(disk, remote)
    t.poll(lambda: not remote.connected, "the server to be gone")
    t.expect("status", job.query_job()["status"], "running")
    request = disk.aio_write(0x22, offset=7 * MiB, length=4 * KiB)
    request.expect_waiting()

    t.step("it is back")
    remote.come_back()
    request.wait()
    job.wait().expect_completed().expect(len=8 * MiB, offset=8 * MiB, error=None)
    remote.expect_identical(before)
    disk.read(0x22, offset=7 * MiB, length=4 * KiB)
