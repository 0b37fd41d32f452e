"""Deflate looks back 4 KiB and no farther: what comes again after 8 KiB is not compressed, after 2 KiB it is."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-17", "CMP-05"], groups=["compress", "full", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write_noise(offset=0, length=512 * KiB, period=2 * KiB)
    source.write_noise(offset=MiB, length=512 * KiB, period=8 * KiB)
    source.write_noise(offset=2 * MiB, length=512 * KiB, period=3 * KiB)
    source.write_noise(offset=3 * MiB, length=512 * KiB, period=16 * KiB)
    disk = t.drive("disk0", image=source)

    t.step("clusters of 64 KiB")
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(disk)
    job.target.expect_clean()
    compressed: list[int] = [cluster.guest_offset for cluster in job.target.stored() if cluster.compressed]
    t.expect("compressed", compressed, [*range(0, 512 * KiB, 64 * KiB), *range(2 * MiB, 2 * MiB + 512 * KiB, 64 * KiB)])

    t.step("clusters of 2 MiB have the same window; where the noise ends there is something to compress")
    large = t.image("large.img", size=4 * MiB, options={"cluster_size": "2M"})
    job = t.drive_backup(disk, large, mode="existing", format="qcow2", compress=True)
    job.wait().expect_completed()
    large.expect_identical(disk)
    large.expect_clean()
    t.expect("compressed", [cluster.compressed for cluster in large.stored()], [True, True])
    t.expect("as long as the noise", all(c.length > 512 * KiB for c in large.stored()), True)
