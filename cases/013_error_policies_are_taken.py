"""Both error policies take report, ignore, enospc, stop and auto; without an error they make no difference."""

from backcheck import Case, KiB, MiB, case


@case(rules=["ARG-16", "POL-13"], groups=["arg", "error", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    disk.write(0x11, offset=0, length=128 * KiB)
    before = disk.content
    for policy in ("report", "ignore", "enospc", "stop", "auto"):
        t.step(f"{policy}, for the source and for the target")
        job = t.drive_backup(disk, f"{policy}.img", on_source_error=policy, on_target_error=policy)
        job.wait().expect_completed().expect(len=MiB, offset=MiB)
        job.target.expect_identical(before)

    t.step("what a guest device has besides is no policy of a job")
    for policy in ("retry", "break-snapshot"):
        t.expect_error("drive-backup", device="disk0", target="no.img", sync="full", on_source_error=policy)
