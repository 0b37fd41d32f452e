"""Compressed clusters share a host cluster as often as its reference count can count; each is counted."""

from backcheck import Case, KiB, MiB, case

SHARED = {1: 16, 2: 6, 4: 2, 16: 1}
"""Bits of a reference count -> host clusters for 16 streams that would fit into one."""


@case(rules=["CMP-18", "CMP-14"], groups=["compress", "full", "qcow2", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content

    for bits, clusters in SHARED.items():
        t.step(f"reference counts of {bits} bits")
        options = {"refcount_bits": str(bits)}
        target = t.image(f"target{bits}.img", size=4 * MiB, format="qcow2", options=options)
        t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True).wait().expect_completed()
        target.expect_identical(before)
        target.expect_clean()
        places = {cluster.host_offset // (64 * KiB) for cluster in target.stored()}
        t.expect("host clusters", len(places), clusters)
        t.record(f"target{bits}.img", target.check(), keys=["compressed-clusters", "image-end-offset"])

    t.step("a cluster that is written again gives its share up, and the last share the host cluster")
    image = t.existing_image("target16.img", content=before)
    for length in (64 * KiB, 512 * KiB, MiB):
        image.write(0x22, offset=0, length=length)
        image.expect_identical(image)
        image.expect_clean()
        t.record("target16.img", image.check(), keys=["allocated-clusters", "compressed-clusters"])
