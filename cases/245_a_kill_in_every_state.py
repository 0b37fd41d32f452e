"""SIGKILL leaves a source as it was flushed, whatever its job does, no lock, and a target that can be written anew."""

import errno

from backcheck import Case, FailAlways, KiB, MiB, case

STATES = ("running", "paused", "idle", "stopped", "pending", "concluded")
CORRUPT = 2


@case(rules=["QUIT-10"], groups=["quit", "kill", "story"])
def run(t: Case) -> None:
    disks = {state: t.drive(state, size=4 * MiB) for state in STATES}
    for disk in disks.values():
        disk.image.write(0x11)
    t.node("broken", size=4 * MiB, fault=FailAlways("write", errno.ENOSPC))
    targets = {state: t.existing_image(f"target-{state}.img") for state in STATES}
    targets["stopped"] = t.existing_image("broken.img")

    t.step("a job in every state")
    t.drive_backup(disks["running"], targets["running"], speed=64 * KiB)
    t.drive_backup(disks["paused"], targets["paused"], speed=MiB).pause().reach("paused")
    t.drive_backup(disks["idle"], targets["idle"], sync="none")
    t.blockdev_backup(disks["stopped"], "broken", on_target_error="stop").stopped("write")
    t.drive_backup(disks["pending"], targets["pending"], auto_finalize=False).wait()
    t.drive_backup(disks["concluded"], targets["concluded"], auto_dismiss=False).wait()
    for disk in disks.values():
        if disk.id != "stopped":
            disk.write(0x22, offset=MiB, length=64 * KiB)
        disk.flush()

    t.step("killed: no source has lost what was flushed, no target is corrupt")
    t.kill()
    for disk in disks.values():
        disk.image.expect_clean()
        disk.image.expect_identical(disk.content)
    for state, image in targets.items():
        status = t.img("check", "-f", image.format, image.name).status
        t.expect(f"{state}: img check", status == CORRUPT, False)

    t.step("the next machine backs all of them up, into the same files")
    t.qmp("blockdev-del", node_name="broken")
    t.expect("jobs", t.ask_list("query-jobs"), [])
    for state, disk in disks.items():
        job = t.drive_backup(disk, targets[state])
        job.wait().expect_completed().expect(len=4 * MiB)
        targets[state].expect_clean()
        targets[state].expect_identical(disk.content)
