"""A guest's requests reach a server in the blocks that it told; an answer with less than was asked for is none."""

from backcheck import Case, KiB, MiB, case

SMALLEST = 4 * KiB


@case(rules=["NBD-10", "NBD-11"], groups=["nbd", "source", "size", "quick"], formats=["raw"])
def run(t: Case) -> None:
    source = t.recording_target("source0", size=4 * MiB, node=False, block_sizes=(SMALLEST, 64 * KiB, MiB))
    disk = t.drive_over("disk0", source)
    disk.write(0x11, offset=0, length=2 * MiB)

    t.step("parts of blocks are read, changed and written")
    disk.write(0x22, offset=512, length=512)
    disk.write(0x33, offset=MiB - 512, length=1024)
    disk.write_zeroes(offset=64 * KiB + 512, length=2 * SMALLEST)
    disk.read(0x11, offset=1024, length=512)
    disk.read(0x22, offset=512, length=512)
    for request in source.received("read", "change"):
        if request.offset % SMALLEST or request.length % SMALLEST:
            t.expect(f"offset and length of {request}", "not whole blocks", "whole blocks")
    source.expect_identical(disk)

    t.step("less data than was asked for")
    source.lie("read", "short")
    job = t.drive_backup(disk, "target.img").wait().expect(error="Input/output error")
    job.event("BLOCK_JOB_ERROR", operation="read", action="report")
