"""quit, typed at a human monitor, ends the machine as QMP's does: jobs are cancelled, and the program is told."""

from backcheck import Case, KiB, MiB, case


@case(rules=["QUIT-01", "QUIT-05", "HMP-10"], groups=["hmp", "quit", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    other = t.drive("disk1", size=MiB)
    human = t.human_monitor("operator")
    disk.write(0x11, offset=0, length=4 * MiB)
    before = other.content

    t.step("one job has ended and is kept, one runs")
    kept = t.drive_backup(other, "kept.img", auto_dismiss=False)
    kept.wait().expect_completed()
    t.drive_backup(disk, "target.img", speed=64 * KiB, job_id=None)
    human.run("block_job_pause nope")

    t.step("quit")
    t.quit(human)
    kept.target.expect_identical(before)
    kept.target.expect_clean()
    t.existing_image("target.img").expect_clean()
