"""Compressed increments on compressed increments: each image of the chain is the disk of its day."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-11", "SYNC-12", "CMP-14", "CMP-06"], groups=["compress", "bitmap", "cbw"], formats=["qcow2"])
def run(t: Case) -> None:
    size = 4 * MiB + 4 * KiB
    disk = t.drive("disk0", size=size)
    owed = disk.add_bitmap("b0", granularity=4 * KiB)
    disk.write(0x11, offset=0, length=size)

    t.step("day 0: full; a guest writes meanwhile, also into the last part of the disk")
    days = [disk.content]
    owed.clear()
    last = t.drive_backup(disk, "day0.img", compress=True, speed=64 * KiB)
    disk.write(0x20, offset=4 * MiB - 4 * KiB, length=8 * KiB)
    last.set_speed(0)
    last.wait().expect_completed()
    images = [last.target]

    for day in (1, 2, 3):
        t.step(f"day {day}: what was written since")
        disk.write(0x20 + day, offset=day * 512 * KiB, length=4 * KiB)
        disk.write_zeroes(offset=3 * MiB + day * 64 * KiB, length=4 * KiB)
        days.append(disk.content)
        target = t.image(f"day{day}.img", size=size, backing=images[-1], options={"cluster_size": f"{2 << day}k"})
        job = t.drive_backup(
            disk, target, sync="incremental", bitmap=owed, mode="existing", format="qcow2", compress=True
        )
        job.wait().expect_completed()
        owed.expect(count=0)
        images.append(target)

    for day, image in enumerate(images):
        image.expect_identical(days[day])
        image.expect_clean()
        compressed = [cluster.compressed for cluster in image.stored()]
        t.expect(f"day {day} is compressed", all(compressed) and bool(compressed), True)
