"""Once a job says that it is paused it has nothing under way and asks its target for nothing, but for the guest."""

from backcheck import Case, KiB, MiB, case


@case(rules=["JOB-16", "JOB-17", "CBW-13"], groups=["nbd", "pause", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB)
    disk.write(0x11, offset=0, length=8 * MiB)
    before = disk.content
    target = t.recording_target("target0", size=8 * MiB)

    t.step("it is paused while a write is under way")
    held = target.hold("write")
    job = t.backup(disk, target, speed=64 * KiB)
    first = held.wait()
    job.pause()
    held.release()
    paused = job.reach("paused")
    t.expect_before(first.answered, paused)

    t.step("nothing reaches the target but what a guest overwrites")
    target.forget()
    job.set_speed(0)
    disk.write(0x22, offset=7 * MiB + 60 * KiB, length=8 * KiB)
    target.expect_written_once((7 * MiB, 128 * KiB))

    t.step("it goes on where it was")
    copied = first.length
    job.resume().wait().expect_completed()
    target.expect_written_once((copied, 8 * MiB - copied))
    target.expect_identical(before)
