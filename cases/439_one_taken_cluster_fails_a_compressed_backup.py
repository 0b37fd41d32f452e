"""A compressed backup fails at the one cluster that its target has, wherever that lies, and leaves it as it was."""

from backcheck import Case, KiB, MiB, between, case

CLUSTER = 64 * KiB
TAKEN = (0, 1, 7, 15, 16, 63)


@case(rules=["CMP-07", "CMP-08", "POL-02"], groups=["compress", "error", "target", "full"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    for taken in TAKEN:
        t.step(f"of 64 clusters, number {taken}")
        target = t.image(f"target{taken}.img", size=4 * MiB)
        target.write(0x55, offset=taken * CLUSTER, length=CLUSTER)
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.event("BLOCK_JOB_ERROR", operation="write", action="report")
        job.wait().expect(error="Input/output error", len=4 * MiB, offset=between(0, 63 * CLUSTER))
        read = t.io("-r", "-f", "qcow2", "-c", f"read -P 0x55 {taken * CLUSTER} {CLUSTER}", target.name)
        t.expect("still there", (read.status, "failed" in read.stdout), (0, False))
        target.expect_clean()
