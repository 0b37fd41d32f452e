"""Requests keep the block sizes that the server tells, and what it cannot do is done with what it can."""

from backcheck import Case, KiB, MiB, case

SMALLEST, LARGEST = 4 * KiB, 128 * KiB


@case(rules=["NBD-10", "SYNC-01", "CBW-01"], groups=["nbd", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=MiB, length=2 * MiB)
    before = disk.content

    t.step("a server of large blocks and small requests")
    target = t.recording_target("target0", size=4 * MiB, block_sizes=(SMALLEST, 64 * KiB, LARGEST))
    job = t.backup(disk, target, speed=64 * KiB)
    disk.write(0x22, offset=3 * MiB - 512, length=KiB)
    job.set_speed(0)
    job.wait().expect_completed()
    for request in target.received("read", "change"):
        if request.offset % SMALLEST or request.length % SMALLEST:
            t.expect(f"offset and length of {request}", "not whole blocks", "whole blocks")
    t.expect("long requests", [item.length for item in target.received("read", "write") if item.length > LARGEST], [])
    target.expect_written_once()
    target.expect_identical(before)

    t.step("a server that can only read and write")
    plain = t.recording_target(
        "target1",
        size=4 * MiB,
        without=("write-zeroes", "trim", "flush", "fua", "fast-zero", "df", "multi-conn"),
        structured=False,
        block_sizes=None,
    )
    t.backup(disk, plain).wait().expect_completed()
    t.expect("requests", sorted({request.operation for request in plain.requests}), ["write"])
    plain.expect_written_once()
    plain.expect_identical(disk)
