"""What a job tells at quit: one that sleeps or idles is drained first, a paused one runs, a pending one neither."""

from backcheck import Case, MiB, between, case


@case(rules=["QUIT-03", "QUIT-01", "QUIT-04"], groups=["quit", "event"], keep_pairs=True)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=2 * MiB)
    disk.image.write(0x11)
    t.node("target0", tree={"driver": "null-co", "size": 2 * MiB})
    for state in ("asleep", "idle", "paused", "pending"):
        t.step(f"{state}: until it is")
        if state == "idle":
            job = t.blockdev_backup(disk, "target0", sync="none")
        else:
            speed = {"asleep": 1, "paused": MiB}.get(state, 0)
            job = t.blockdev_backup(disk, "target0", speed=speed, auto_finalize=state != "pending")
        job.reach("paused")
        job.reach("running")
        if state == "asleep":
            job.wait_asleep()
        elif state == "paused":
            job.pause().reach("paused")
        elif state == "pending":
            job.wait()

        t.step(f"{state}: quit")
        t.quit()
        job.expect_cancelled().expect(error=None, offset=between(0, 2 * MiB))
        t.start()
