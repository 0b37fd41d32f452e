"""Copies of 64 KiB fit compressed clusters of any size: several small ones each, or a part of none."""

from backcheck import Case, JsonObject, KiB, MiB, case

TARGETS = {
    "512": (512, 2048 + 128),
    "4k": (4 * KiB, 256 + 16),
    "64k": (64 * KiB, 16 + 1),
    "2M": (2 * MiB, 2),
}
"""Cluster size -> in bytes, and how many clusters have data: of the first MiB, and of 64 KiB around 4 KiB."""


@case(rules=["CMP-04", "CMP-02", "SIZE-01"], groups=["compress", "full", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=MiB)
    disk.write(0x22, offset=3 * MiB + 512 * KiB, length=4 * KiB)
    before = disk.content

    for name, (size, clusters) in TARGETS.items():
        t.step(f"clusters of {name}")
        target = t.image(f"target{name}.img", size=4 * MiB, format="qcow2", options={"cluster_size": name})
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
        target.expect_identical(before)
        target.expect_clean()
        t.expect(f"clusters with data in {name}", len([c for c in target.stored() if c.compressed]), clusters)
        checked: JsonObject = target.check()
        t.expect("compressed clusters by img check", checked["compressed-clusters"], clusters)
        t.expect("size of a cluster", target.info()["cluster-size"], size)
