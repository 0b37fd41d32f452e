"""With a reconnect delay a job waits for its server, sends again what had no answer, and succeeds."""

from backcheck import Case, KiB, MiB, case


@case(rules=["NBD-08"], groups=["nbd", "reconnect", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=4 * MiB, reconnect_delay=3600)

    t.step("the server leaves at the first write, and comes back with what it had")
    gone = target.disconnect_at("write")
    job = t.backup(disk, target, speed=64 * KiB)
    gone.wait()
    target.come_back()
    job.wait_offset()
    lost = gone.requests[0]
    again = [item for item in target.received("write") if (item.offset, item.length) == (lost.offset, lost.length)]
    t.expect("connections", sorted({item.connection for item in again}), [0, 1])

    t.step("a guest's write waits for the server too")
    gone = target.disconnect_at("write", offset=3 * MiB)
    request = disk.aio_write(0x22, offset=3 * MiB, length=4 * KiB)
    gone.wait()
    request.expect_waiting()
    target.come_back()
    request.wait()

    t.step("nothing is lost, and nothing is written twice")
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(before)
