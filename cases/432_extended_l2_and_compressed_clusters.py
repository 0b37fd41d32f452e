"""With extended L2 entries a cluster is compressed whole, and a guest's write takes it apart into subclusters."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-04", "CMP-03", "CMP-07"], groups=["compress", "qcow2", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=MiB)
    disk.write(0x22, offset=2 * MiB, length=4 * KiB)
    before = disk.content

    for size, clusters in (("16k", 64 + 4), ("64k", 17), ("2M", 2)):
        t.step(f"clusters of {size}")
        options = {"cluster_size": size, "extended_l2": "on"}
        target = t.image(f"target{size}.img", size=4 * MiB, options=options)
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.wait().expect_completed()
        target.expect_identical(before)
        target.expect_clean()
        t.expect_state(target.name, target.check(), compressed_clusters=clusters)

    t.step("subclusters that are there or zero: the whole cluster has its place or has not")
    for name, made, error in (
        ("part", "write -P 0x55 64k 4k", "Input/output error"),
        ("zero", "write -z -u 64k 4k", None),
    ):
        target = t.image(f"{name}.img", size=4 * MiB, options={"extended_l2": "on"})
        t.expect(name, t.io("-f", "qcow2", "-c", made, target.name).status, 0)
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.wait().expect(error=error, offset=between(64 * KiB, 4 * MiB))
        target.expect_clean()

    t.step("a guest writes into compressed clusters")
    t.shutdown()
    image = t.existing_image("target64k.img", content=before)
    image.write(0x33, offset=2 * KiB, length=2 * KiB)
    image.write(0x33, offset=126 * KiB, length=4 * KiB)
    image.write_zeroes(offset=256 * KiB, length=2 * KiB)
    image.expect_identical(image)
    image.expect_clean()
    t.expect_state(image.name, image.check(), allocated_clusters=17, compressed_clusters=13)
