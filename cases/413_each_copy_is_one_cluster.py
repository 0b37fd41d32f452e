"""A compressed copy reads one job cluster at a time, which is 64 KiB or the target's larger cluster."""

from backcheck import Case, KiB, MiB, case

TARGETS = {"4k": 64 * KiB, "64k": 64 * KiB, "2M": 2 * MiB}
"""Cluster size of the target -> job cluster."""


@case(rules=["CMP-02", "SIZE-01"], groups=["nbd", "compress", "quick"])
def run(t: Case) -> None:
    server = t.recording_target("source0", size=4 * MiB + 512 * KiB, node=False)
    disk = t.drive_over("disk0", server)
    disk.write(0x11, offset=0, length=4 * MiB + 512 * KiB)
    before = disk.content
    for name in TARGETS:
        t.image(f"target{name}.img", size=disk.image.size, format="qcow2", options={"cluster_size": name})

    for name, cluster in TARGETS.items():
        t.step(f"clusters of {name}: each read is one copy, the last is what is left")
        server.forget()
        first = len(server.requests)
        target = t.existing_image(f"target{name}.img", format="qcow2", content=before)
        job = t.drive_backup(disk, target, mode="existing", format="qcow2", compress=True)
        job.wait().expect_completed()
        server.expect_read_once()
        reads = {(item.offset % cluster, item.length) for item in server.received("read") if item.number >= first}
        t.expect(
            "reads",
            [list(read) for read in sorted(reads)],
            [[0, length] for length in sorted({cluster, (4 * MiB + 512 * KiB) % cluster} - {0})],
        )
        target.expect_identical(before)
        target.expect_clean()
