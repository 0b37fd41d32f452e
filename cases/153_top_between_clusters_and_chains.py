"""sync=top guards and copies whole job clusters, of which the overlay has a part; the chain below may end in one."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-06", "CBW-14", "SYNC-01"], groups=["sync", "top", "cbw", "size"])
def run(t: Case) -> None:
    base = t.image("base.img", size=6 * MiB + 36 * KiB, format="raw")
    base.write(0x11)
    middle = t.image("middle.img", size=7 * MiB + 512, backing=base, options={"cluster_size": "512"})
    middle.write_zeroes(offset=6 * MiB + 8 * KiB, length=4 * KiB)
    middle.write(0x22, offset=7 * MiB, length=512)
    overlay = t.image("overlay.img", size=8 * MiB, backing=middle, options={"cluster_size": "4k"})
    overlay.write(0x33, offset=0, length=4 * MiB)
    overlay.write(0x44, offset=6 * MiB + 16 * KiB, length=4 * KiB)
    overlay.write(0x44, offset=7 * MiB + 4 * KiB, length=4 * KiB)
    overlay.write(0x44, offset=8 * MiB - 512, length=512)
    disk = t.drive("disk0", image=overlay)
    before = disk.content

    t.step("a write beside what the overlay has of a cluster copies all of that cluster")
    job = t.drive_backup(disk, "target.img", sync="top", speed=1)
    start = job.wait_offset()
    disk.write(0x55, offset=6 * MiB + 40 * KiB, length=4 * KiB)
    disk.write(0x55, offset=7 * MiB, length=512)
    t.expect("bytes copied for the guest", job.offset() - start, 128 * KiB)

    t.step("one in a cluster of which the overlay had nothing copies nothing, and is not in the target")
    disk.write(0x55, offset=6 * MiB + 64 * KiB, length=4 * KiB)
    disk.write(0x55, offset=5 * MiB, length=4 * KiB)
    t.expect("bytes copied for the guest", job.offset() - start, 128 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB + 192 * KiB)
    job.target.expect_identical(before)
    job.target.record_map()
