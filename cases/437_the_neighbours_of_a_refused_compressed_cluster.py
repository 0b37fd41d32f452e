"""A compressed write of several clusters, one of which is taken, fails; the others are stored all the same."""

from backcheck import Case, KiB, MiB, case

CLUSTER = 64 * KiB
TAKEN_OF_THREE = {"first": (0,), "middle": (1,), "last": (2,), "first and last": (0, 2)}


@case(rules=["CMP-07", "CMP-04", "POL-02"], groups=["compress", "error", "tool", "target"])
def run(t: Case) -> None:
    for which, taken in TAKEN_OF_THREE.items():
        t.step(f"three clusters, taken: {which}")
        image = t.image(f"{which.replace(' ', '-')}.img", size=MiB)
        for number in taken:
            image.write(0x55, offset=(4 + number) * CLUSTER, length=CLUSTER)
        done = t.io("-f", "qcow2", "-c", "write -c -P 0x11 256k 192k", image.name)
        t.expect("write", done.stdout.strip() or done.stderr.strip(), "write failed: Input/output error")
        for number in sorted({0, 1, 2}.difference(taken)):
            image.note_write(0x11, (4 + number) * CLUSTER, CLUSTER)
        image.expect_identical(image)
        image.expect_clean()
        t.expect_state(image.name, image.check(), allocated_clusters=3, compressed_clusters=3 - len(taken))

    t.step("a backup's request of eight clusters, the third taken")
    source = t.image("disk0.img", size=64 * KiB)
    source.write(0x11)
    disk = t.drive("disk0", image=source)
    target = t.image("target.img", size=64 * KiB, options={"cluster_size": "8k"})
    target.write(0x55, offset=16 * KiB, length=8 * KiB)
    job = t.drive_backup(disk, target, mode="existing", compress=True)
    job.event("BLOCK_JOB_ERROR", operation="write", action="report")
    job.wait().expect(error="Input/output error", len=64 * KiB, offset=0)
    target.note_write(0x11, 0, 16 * KiB)
    target.note_write(0x11, 24 * KiB, 40 * KiB)
    target.expect_identical(target)
    target.expect_clean()
    t.expect_state("target.img", target.check(), allocated_clusters=8, compressed_clusters=7)
