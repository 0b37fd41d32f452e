"""sync=top compresses what the overlay has, with what its clusters lack from below; the rest comes from the backing."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-06", "SYNC-08", "CMP-03", "CMP-14"], groups=["compress", "top", "cbw", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=3 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", size=4 * MiB, backing=base, options={"cluster_size": "4k"})
    overlay.write(0x22, offset=60 * KiB, length=8 * KiB)
    overlay.write(0x33, offset=2 * MiB + 4 * KiB, length=512)
    overlay.write_zeroes(offset=MiB, length=64 * KiB)
    overlay.write_noise(offset=3 * MiB - 64 * KiB, length=128 * KiB)
    disk = t.drive("disk0", image=overlay)
    before = disk.content

    t.step("a guest writes into a cluster of the overlay, and into one that it lacks")
    job = t.drive_backup(disk, "target.img", sync="top", compress=True, auto_finalize=False)
    job.wait()
    job.expect_query(status="pending")
    disk.write(0x44, offset=2 * MiB, length=4 * KiB)
    disk.write(0x44, offset=512 * KiB, length=4 * KiB)
    job.finalize()
    job.wait().expect_completed().expect(len=6 * 64 * KiB, offset=6 * 64 * KiB)

    t.step("three compressed clusters, two of noise, one of zeroes")
    job.target.expect_identical(before)
    job.target.expect_clean()
    t.expect_state("target.img", job.target.check(), allocated_clusters=5, compressed_clusters=3)
    job.target.record_map()
