"""With discard-source the source lets go of what is copied, if it takes discards at all."""

from backcheck import Case, MiB, case


@case(
    rules=["FLT-08"],
    groups=["discard", "release", "quick"],
    requires=["argument:drive-backup.discard-source"],
)
def run(t: Case) -> None:
    discarding = t.drive("disk0", size=4 * MiB, discard="unmap")
    keeping = t.drive("disk1", size=4 * MiB)
    for disk in (discarding, keeping):
        disk.write(0x11, offset=0, length=2 * MiB)

        t.step(f"{disk.id} is copied")
        before = disk.content
        job = t.drive_backup(disk, f"target-{disk.id}.img", discard_source=True)
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, error=None)
        job.target.expect_identical(before)

    t.step("what is left of them")
    discarding.read(0x00, offset=0, length=4 * MiB)
    keeping.read(0x11, offset=0, length=2 * MiB)
