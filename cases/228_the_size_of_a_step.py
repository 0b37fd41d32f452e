"""max-chunk bounds what one step copies; a job that sleeps for its speed has copied whole steps only."""

from backcheck import Case, KiB, MiB, case

CHUNKS = (64 * KiB, 192 * KiB, MiB, 2 * MiB)


@case(rules=["SPD-05", "SPD-03", "SPD-04", "SIZE-11"], groups=["speed"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    t.step("its name is known since 6.0")
    if t.release < (6, 0):
        wanted = {"device": "disk0", "target": "target.img", "sync": "full", "x-perf": {"max-chunk": MiB}}
        t.expect_error("drive-backup", wanted, error="Parameter 'x-perf' is unexpected")
        return
    for chunk in CHUNKS:
        t.step(f"chunks of {chunk // KiB} KiB: one step, and no other for a speed that is hardly higher")
        job = t.drive_backup(disk, f"chunk{chunk}.img", speed=1, x_perf={"max-chunk": chunk})
        job.wait_asleep()
        job.expect_query(busy=False, offset=min(chunk, MiB))
        job.set_speed(2)
        job.wait_asleep()
        job.expect_query(offset=min(chunk, MiB), speed=2)
        job.set_speed(0)
        job.wait().expect_completed().expect(len=4 * MiB, speed=0)
        job.target.expect_identical(disk)
