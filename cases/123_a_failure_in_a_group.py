"""When a member of a group fails, all others are cancelled, even those that have copied all; each tells its reason."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, between, case


@case(rules=["TXN-09", "TXN-11", "JOB-12"], groups=["transaction", "error", "job", "quick"])
def run(t: Case) -> None:
    disks = [t.drive(f"disk{number}", size=4 * MiB) for number in range(3)]
    fault = FailAlways("write", errno.ENOSPC, offset=3 * MiB)
    broken = t.node("target0", size=4 * MiB, format="raw", fault=fault)
    for disk in disks:
        disk.write(0x11, offset=0, length=4 * MiB)
    before = disks[0].content

    for failing in range(3):
        t.step(f"one is done, one is slow, and {disks[failing].id} fails")
        jobs = t.transaction(
            *(
                t.backup_action(
                    disk,
                    broken if number == failing else f"copy{number}.img",
                    auto_dismiss=False,
                    speed=0 if number == (failing + 1) % 3 else 64 * KiB,
                )
                for number, disk in enumerate(disks)
            ),
            grouped=True,
        )
        done, slow = jobs[(failing + 1) % 3], jobs[(failing + 2) % 3]
        done.reach("waiting")
        jobs[failing].set_speed(0)
        for job in jobs:
            job.wait()
        moments = {f"{job.id} {status}": job.state(status).at for job in jobs for status in ("aborting", "concluded")}
        t.record("the group", {"told": ", ".join(sorted(moments, key=lambda told: moments[told]))})

        t.step(f"what is told after {disks[failing].id} failed")
        jobs[failing].expect(error="No space left on device", offset=3 * MiB)
        done.expect_cancelled().expect(offset=4 * MiB, error=None)
        slow.expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB), error=None)
        for job in jobs:
            error = "No space left on device" if job is jobs[failing] else "Operation canceled"
            t.expect_state(job.id, job.query_job(), status="concluded", error=error)
            job.dismiss().wait()
        done.target.expect_identical(before)
