"""info block-jobs has a line for each job, the newest first: how far it is, and its speed limit; nothing else."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-06", "HMP-07", "JOB-13", "SYNC-10"], groups=["hmp", "query", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(3)]

    def line(name: str, done: int, speed: int, size: int = 4 * MiB) -> str:
        return f"Type backup, device {name}: Completed {done} of {size} bytes, speed limit {speed} bytes/s\r\n"

    def expect_lines(*lines: str) -> None:
        t.expect("info block-jobs", t.hmp("info block-jobs"), "".join(lines) or "No active jobs\r\n")

    t.step("no job, one, and how far it is")
    expect_lines()
    first = t.drive_backup(disks[0], "target0.img", sync="none", job_id=None)
    expect_lines(line("disk0", 0, 0))
    disks[0].write(0x11, offset=64 * KiB - 512, length=KiB)
    expect_lines(line("disk0", 128 * KiB, 0))

    t.step("two, with ids of their own and a speed limit")
    second = t.drive_backup(disks[1], "target1.img", sync="none", job_id="a.job-1", speed=1)
    expect_lines(line("a.job-1", 0, 1), line("disk0", 128 * KiB, 0))

    t.step("paused, or told to go no faster than it does: no word of it but the limit")
    first.pause()
    second.set_speed(3 * MiB)
    expect_lines(line("a.job-1", 0, 3 * MiB), line("disk0", 128 * KiB, 0))

    t.step("pending and concluded jobs are told of as well")
    third = t.drive_backup(disks[2], "target2.img", auto_finalize=False, auto_dismiss=False)
    third.wait()
    expect_lines(line("job2", 4 * MiB, 0), line("a.job-1", 0, 3 * MiB), line("disk0", 128 * KiB, 0))
    third.finalize().wait()
    second.cancel().wait()
    first.cancel().wait()
    expect_lines(line("job2", 4 * MiB, 0))

    t.step("info jobs, info block-job: there are no such words")
    t.expect("info jobs", t.hmp("info jobs"), "unknown command: 'info jobs'\r\n")
    t.hmp("info block-job")
    t.hmp("info block-jobs disk0")
    third.dismiss().wait()
    expect_lines()
