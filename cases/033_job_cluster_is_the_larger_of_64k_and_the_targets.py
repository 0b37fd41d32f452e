"""A backup copies in clusters of 64 KiB, or of its target's size where those are larger; the source's do not count."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["SIZE-01", "CBW-01", "CBW-03"], groups=["size", "cbw", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=8 * MiB, options={"cluster_size": "1M"})
    disk.write(0x11, offset=0, length=8 * MiB)

    for cluster_size, copied in (("4k", 64 * KiB), ("64k", 64 * KiB), ("512k", 512 * KiB), ("2M", 2 * MiB)):
        t.step(f"a target with clusters of {cluster_size}: one guest write of 4 KiB copies {copied} bytes")
        target = t.node(f"target-{cluster_size}", size=8 * MiB, options={"cluster_size": cluster_size})
        job = t.blockdev_backup(disk, target, speed=1)
        first = job.wait_offset()
        disk.write(0x22, offset=6 * MiB + 4 * KiB, length=4 * KiB)
        t.expect("copied before the write", job.offset() - first, copied)
        job.cancel()
        job.wait().expect_cancelled().expect(len=8 * MiB, offset=between(64 * KiB, 4 * MiB))
