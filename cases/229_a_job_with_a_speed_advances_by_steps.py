"""A job with a speed advances by whole steps, one after another."""

from backcheck import Case, Job, KiB, MiB, case


def steps(t: Case, job: Job, count: int) -> list[int]:
    """The first offsets that the job is seen at."""
    seen: list[int] = []

    def look() -> bool:
        offset = job.offset()
        if offset and offset not in seen:
            seen.append(offset)
        return len(seen) == count

    t.poll(look, f"{count} steps")
    return seen


@case(rules=["SPD-04", "SPD-03"], groups=["speed"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=16 * MiB)
    disk.image.write(0x11)
    step = 64 * KiB if t.release < (6, 0) else MiB

    t.step("every offset is a multiple of the step")
    job = t.drive_backup(disk, speed=2 * MiB)
    seen = steps(t, job, 3)
    t.expect("parts of a step", [offset % step for offset in seen], [0, 0, 0])
    t.expect("order", sorted(seen) == seen, True)

    t.step("unlimited, it is done at once")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=16 * MiB, speed=0)
    job.target.expect_identical(disk)
