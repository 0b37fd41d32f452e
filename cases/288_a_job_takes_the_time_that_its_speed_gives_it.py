"""However fast the disks are, a job takes at least as long as its speed says, whenever it got it."""

import time

from backcheck import Case, Job, KiB, MiB, case

SPEED = 4 * MiB
CHUNK_S = MiB / SPEED


def ends_no_sooner(t: Case, job: Job, began: float, seconds: float) -> None:
    """A loaded host can only make a job slower, so that a least time is safe to expect."""
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, speed=SPEED, error=None)
    t.expect("took long enough", time.monotonic() - began >= 0.95 * seconds, True)


@case(rules=["SPD-03", "SPD-04", "SPD-06"], groups=["speed"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    target = t.node("target0", tree={"driver": "null-co", "size": 4 * MiB})

    t.step("a speed from the start: the first of four chunks is free")
    began = time.monotonic()
    ends_no_sooner(t, t.blockdev_backup(disk, target, speed=SPEED), began, 3 * CHUNK_S)

    t.step("a speed given to a job that sleeps: it wakes with a new slice, the first chunk of which is free")
    job = t.blockdev_backup(disk, target, speed=1)
    job.wait_asleep()
    began = time.monotonic()
    job.set_speed(SPEED)
    ends_no_sooner(t, job, began, 2 * CHUNK_S)

    t.step("a speed given to a paused job")
    job = t.blockdev_backup(disk, target, speed=64 * KiB)
    job.wait_asleep()
    job.pause().reach("paused")
    job.set_speed(SPEED)
    began = time.monotonic()
    job.resume()
    ends_no_sooner(t, job, began, 2 * CHUNK_S)
