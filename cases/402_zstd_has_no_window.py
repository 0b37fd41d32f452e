"""A zstd target is compressed as zlib ones are, with clusters of any size; what comes again far away counts too."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-04", "CMP-05"], groups=["compress", "full", "quick"], requires=["zstd"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=2 * MiB)
    source.write_noise(offset=2 * MiB, length=256 * KiB, period=8 * KiB)
    source.write_noise(offset=3 * MiB, length=256 * KiB)
    disk = t.drive("disk0", image=source)
    before = disk.content

    t.step("clusters of 64 KiB: noise that comes again after 8 KiB is compressed, other noise is not")
    options = {"compression_type": "zstd"}
    target = t.image("target.img", size=4 * MiB, format="qcow2", options=options)
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True, speed=64 * KiB)
    disk.write(0x33, offset=3 * MiB + 4 * KiB, length=4 * KiB)
    job.set_speed(0)
    job.wait().expect_completed()
    target.expect_identical(before)
    target.expect_clean()
    t.expect_state("target.img", target.check(), allocated_clusters=40, compressed_clusters=36)

    for size, data in (("4k", 2 * 256 + 2 * 64 + 0), ("2M", 2)):
        t.step(f"clusters of {size}")
        before = disk.content
        name = f"target{size}.img"
        target = t.image(name, size=4 * MiB, format="qcow2", options={**options, "cluster_size": size})
        t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True).wait().expect_completed()
        target.expect_identical(before)
        target.expect_clean()
        t.record(name, target.check(), keys=["compressed-clusters"])
        t.expect("clusters with data", len(target.stored()) >= data, True)
