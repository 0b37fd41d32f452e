"""Areas that read as zeroes reach the target as requests to write zeroes, areas with data as data."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-02", "SYNC-14"], groups=["nbd", "zero", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=MiB, length=128 * KiB)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    disk.write(0x00, offset=3 * MiB, length=64 * KiB)
    disk.write_zeroes(offset=3 * MiB + 512 * KiB, length=64 * KiB)
    target = t.recording_target("target0", size=4 * MiB)
    t.backup(disk, target).wait().expect_completed()
    target.expect_written_once()
    target.expect_identical(disk)
    target.record_written()
