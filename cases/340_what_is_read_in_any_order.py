"""A source's server may answer reads in any order: each answer is that to its own request."""

from itertools import pairwise

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-01"], groups=["nbd", "source", "quick"], formats=["raw"])
def run(t: Case) -> None:
    sources = [
        t.recording_target(f"source{number}", size=4 * MiB, node=False, structured=structured)
        for number, structured in enumerate((True, False))
    ]
    disks = [t.drive_over(f"disk{number}", source) for number, source in enumerate(sources)]
    for disk, source, structured in zip(disks, sources, (True, False), strict=True):
        t.step("replies in chunks" if structured else "simple replies")
        for index in range(4):
            disk.write(0x11 * (index + 1), offset=index * MiB, length=MiB)
        quarters = [source.hold("read", offset=index * MiB, length=MiB) for index in range(4)]
        reads = [disk.aio_read(0x11 * (index + 1), offset=index * MiB, length=64 * KiB) for index in range(4)]
        for held in quarters:
            held.wait()
        for held in reversed(quarters):
            held.release()
        for read in reads:
            read.wait()
        firsts = [held.requests[0] for held in reversed(quarters)]
        for earlier, later in pairwise(firsts):
            t.expect_before(earlier.answered, later.answered)
