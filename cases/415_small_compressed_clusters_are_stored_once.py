"""With clusters of 1 to 64 KiB each compressed stream is written once and whole, whoever had it copied."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-14", "CMP-04", "CMP-02"], groups=["nbd", "cbw", "compress"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=2 * MiB)
    disk.write(0x12, offset=3 * MiB, length=MiB)
    for name in ("1k", "4k", "64k"):
        before = disk.content
        target = t.recording_target(f"to{name}", size=4 * MiB, format="qcow2", options={"cluster_size": name})
        job = t.backup(disk, target, speed=64 * KiB, compress=True)

        t.step(f"clusters of {name}: the guest writes over what is copied, over what is not, and over nothing")
        for offset in (0, 2 * MiB - 4 * KiB, 2 * MiB + 512 * KiB, 4 * MiB - 512):
            disk.write(0x33, offset=offset, length=512)
            disk.write(0x12, offset=offset, length=512)
        job.set_speed(0)
        job.wait().expect_completed()
        t.qmp("blockdev-del", node_name=target.name)
        stored = target.expect_stored_once()
        t.expect("compressed", all(cluster.compressed for cluster in stored), True)
        target.expect_identical(before)
        target.save().expect_clean()
