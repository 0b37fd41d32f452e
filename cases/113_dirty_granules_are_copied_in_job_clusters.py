"""An incremental backup copies what its bitmap has, rounded out to granules and to job clusters, and nothing beyond."""

from backcheck import Case, KiB, MiB, case
from backcheck.story.contents import Content

SIZE = 5 * MiB + 512
COPIED: tuple[tuple[int, int, int, tuple[tuple[int, int], ...]], ...] = (
    (512, 512, 192 * KiB, ((960 * KiB, 1088 * KiB), (5 * MiB, SIZE))),
    (4 * KiB, 64 * KiB, 192 * KiB, ((960 * KiB, 1088 * KiB), (5 * MiB, SIZE))),
    (512, 2 * MiB, 4 * MiB, ((0, 2 * MiB), (4 * MiB, SIZE))),
    (1 * MiB, 64 * KiB, 2 * MiB + 64 * KiB, ((0, 2 * MiB), (5 * MiB, SIZE))),
    (1 * MiB, 2 * MiB, 4 * MiB, ((0, 2 * MiB), (4 * MiB, SIZE))),
    (4 * MiB, 64 * KiB, 5 * MiB + 64 * KiB, ((0, SIZE),)),
)
"""Granularity, cluster size of the target, the job's len, and what is copied (start, end)."""


@case(rules=["SYNC-11", "SIZE-01", "SIZE-03", "SIZE-04"], groups=["bitmap", "size", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=SIZE)
    disk.write(0x11, offset=0, length=SIZE)
    bitmaps = [disk.add_bitmap(f"b{number}", granularity=row[0]) for number, row in enumerate(COPIED)]
    disk.write(0x22, offset=1 * MiB - 512, length=1 * KiB)
    disk.write(0x22, offset=5 * MiB + 511, length=1)
    for number, (granularity, cluster_size, length, ranges) in enumerate(COPIED):
        t.step(f"granularity {granularity}, clusters of {cluster_size} bytes")
        options = {"cluster_size": str(cluster_size)}
        target = t.image(f"target{number}", size=SIZE, format="qcow2", options=options)
        owed = bitmaps[number]
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", sync="incremental", bitmap=owed)
        job.wait().expect_completed().expect(len=length, offset=length)
        owed.expect(count=0, granularity=granularity)
        t.expect("others that are still dirty", [other.count > 0 for other in bitmaps[number + 1 :]].count(False), 0)
        wanted = Content(size=SIZE)
        for start, end in ranges:
            wanted = wanted.written(0x11, start, end - start)
        wanted = wanted.written(0x22, 1 * MiB - 512, 1 * KiB).written(0x22, SIZE - 1, 1)
        target.expect_identical(wanted)
