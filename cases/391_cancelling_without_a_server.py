"""A job that waits for its server to come back is cancelled by force at once, and a guest's write goes on."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["NBD-08"],
    groups=["nbd", "reconnect", "cancel", "quick"],
    not_on={"qemu<6.0": "what waits for its server is not cancelled before the delay is over (NBD-08)"},
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    target = t.recording_target("target0", size=4 * MiB, reconnect_delay=3600)

    t.step("the server leaves for good")
    gone = target.disconnect_at("write")
    job = t.backup(disk, target, speed=64 * KiB)
    gone.wait()
    target.wait_turned_away()

    t.step("the job is cancelled, an hour before its delay is over")
    job.cancel("block-job", force=True)
    job.wait().expect_cancelled().expect(offset=0)
    disk.write(0x22, offset=0, length=4 * MiB)
    target.expect_untouched()
