"""The last part of a disk is filled up with zeroes to a whole compressed cluster, which a larger disk then shows."""

from backcheck import Case, KiB, MiB, case

SIZES = (MiB + 512, MiB + 64 * KiB - 512)


@case(rules=["CMP-06", "CMP-04", "SIZE-01"], groups=["compress", "full", "quick"])
def run(t: Case) -> None:
    for size in SIZES:
        source = t.image(f"source{size}.img", size=size)
        source.write(0x11)
        t.drive(f"disk{size}", image=source)

    for size in SIZES:
        for cluster_size in ("4k", "64k", "2M"):
            t.step(f"{size} bytes in clusters of {cluster_size}")
            name = f"target{size}-{cluster_size}.img"
            target = t.image(name, size=size, format="qcow2", options={"cluster_size": cluster_size})
            disk = f"disk{size}"
            job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
            job.wait().expect_completed()
            target.note_write(0x11, 0, size)
            target.expect_identical(target)
            target.expect_clean()
            t.expect("all is compressed", all(cluster.compressed for cluster in target.stored()), True)

            resized = t.img("resize", "-f", "qcow2", name, str(4 * MiB))
            t.expect("resized", resized.status, 0)
            target.note_resize(4 * MiB)
            target.expect_identical(target)
            target.expect_clean()
