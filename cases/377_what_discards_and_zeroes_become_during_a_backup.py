"""During a backup a guest's discard reaches nothing, and what it zeroes with unmap keeps its place on the disk."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CBW-04", "CBW-05"], groups=["nbd", "cbw", "discard", "quick"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=4 * MiB, node=False)
    disk = t.drive_over("disk0", source, discard="unmap")
    disk.write(0x11, offset=0, length=4 * MiB)
    disk.discard(offset=0, length=64 * KiB)
    disk.write_zeroes(offset=64 * KiB, length=64 * KiB, unmap=True)
    source.expect_identical(disk.content.only((128 * KiB, 4 * MiB)))
    source.record_requests("trim", "write-zeroes")
    target = t.recording_target("target0", size=4 * MiB)

    t.step("a backup runs")
    job = t.backup(disk, target, speed=64 * KiB)
    source.forget()
    target.forget()
    disk.discard(offset=3 * MiB, length=64 * KiB)
    disk.read(0x11, offset=3 * MiB, length=64 * KiB)
    target.expect_untouched((2 * MiB, 2 * MiB))
    disk.write_zeroes(offset=2 * MiB, length=64 * KiB, unmap=True)
    target.expect_written_once((2 * MiB, 64 * KiB), elsewhere=True)
    source.record_requests("trim", "write-zeroes")

    t.step("it is over")
    job.cancel().wait().expect_cancelled().expect(offset=between(128 * KiB, 4 * MiB))
    source.forget()
    disk.discard(offset=3 * MiB, length=64 * KiB)
    source.record_requests("trim", "write-zeroes")
