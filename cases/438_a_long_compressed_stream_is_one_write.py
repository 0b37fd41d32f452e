"""A compressed stream reaches the target as one write, also where it has many sectors and a border in its middle."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-14", "CMP-02", "CMP-05"], groups=["nbd", "cbw", "compress"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write_noise(offset=0, length=2 * MiB, period=3 * KiB)
    source.write_noise(offset=2 * MiB, length=256 * KiB)
    source.write_noise(offset=3 * MiB, length=MiB, period=2 * KiB)
    disk = t.drive("disk0", image=source)
    for name in ("4k", "64k"):
        t.step(f"clusters of {name}: the guest writes over what is copied and what is not, over noise and over nothing")
        before = disk.content
        target = t.recording_target(f"to{name}", size=4 * MiB, format="qcow2", options={"cluster_size": name})
        job = t.backup(disk, target, speed=64 * KiB, compress=True)
        for offset in (0, 2 * MiB - 4 * KiB, 2 * MiB + 100 * KiB, 2 * MiB + 512 * KiB, 4 * MiB - 512):
            disk.write(0x33, offset=offset, length=512)
        job.set_speed(0)
        job.wait().expect_completed()
        t.qmp("blockdev-del", node_name=target.name)
        stored = [cluster for cluster in target.expect_stored_once() if cluster.compressed]
        t.expect("longer than a sector", sum(cluster.length > 1024 for cluster in stored) > 40, True)
        borders = [c for c in stored if c.host_offset // 4096 < (c.host_offset + c.length - 1) // 4096]
        t.expect("across a border", len(borders) > 20, True)
        target.expect_identical(before)
        target.save().expect_clean()
