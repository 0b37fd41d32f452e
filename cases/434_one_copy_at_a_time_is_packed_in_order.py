"""Copied one after the other, compressed clusters lie one behind the other, and noise does not tear them apart."""

from itertools import pairwise

from backcheck import Case, KiB, MiB, case


@case(
    rules=["CMP-02", "CMP-05", "CMP-18"],
    groups=["compress", "full", "qcow2"],
    requires=["argument:drive-backup.x-perf"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=MiB)
    source.write_noise(offset=512 * KiB, length=64 * KiB)
    source.write_noise(offset=2 * MiB, length=2 * MiB, period=1536)
    disk = t.drive("disk0", image=source)
    job = t.drive_backup(disk, "target.img", compress=True, x_perf={"max-workers": 1})
    job.wait().expect_completed()

    t.step("one behind the other")
    job.target.expect_identical(disk)
    job.target.expect_clean()
    compressed = [cluster for cluster in job.target.stored() if cluster.compressed]
    t.expect("clusters", len(compressed), 15 + 32)
    gaps = [second.host_offset - first.host_offset - first.length for first, second in pairwise(compressed)]
    t.expect("in order", all(gap >= 0 for gap in gaps), True)
    t.expect("torn apart", sum(gap > 0 for gap in gaps) <= 1, True)

    t.step("guest clusters that share a host cluster leave no room between them")
    first = compressed[:8]
    t.expect("together", first[-1].host_offset + first[-1].length - first[0].host_offset, sum(c.length for c in first))
