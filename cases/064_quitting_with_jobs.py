"""quit cancels every job, whatever its state, and leaves images that are whole."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["QUIT-01", "QUIT-04", "QUIT-05"], groups=["quit", "job", "quick"])
def run(t: Case) -> None:
    running, paused, pending, concluded = (t.drive(f"disk{number}", size=4 * MiB) for number in range(4))
    for disk in (running, paused, pending, concluded):
        disk.write(0x11, offset=0, length=4 * MiB)
    jobs = [
        t.drive_backup(concluded, "target3.img", auto_dismiss=False),
        t.drive_backup(pending, "target2.img", auto_finalize=False),
        t.drive_backup(paused, "target1.img", speed=512 * KiB),
        t.drive_backup(running, "target0.img", speed=64 * KiB),
    ]
    jobs[0].wait()
    jobs[1].wait()
    jobs[2].pause()
    jobs[2].reach("paused")

    t.step("quit")
    t.quit()
    jobs[1].expect_cancelled().expect(offset=4 * MiB)
    for job in jobs[2:]:
        job.expect_cancelled().expect(offset=between(64 * KiB, 3 * MiB))
    for disk in (running, paused, pending, concluded):
        disk.image.expect_clean()
    for number in range(4):
        t.existing_image(f"target{number}.img").expect_clean()
