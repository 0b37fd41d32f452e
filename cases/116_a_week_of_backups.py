"""A week: a full backup on Sunday, an incremental one each night, one night fails and the next makes up for it."""

import errno

from backcheck import Case, Drive, FailAlways, Image, Job, KiB, MiB, case

SIZE = 8 * MiB
DAYS = {
    "monday": ((0x11, 0, 512 * KiB), (0x12, 4 * MiB, 4 * KiB)),
    "tuesday": ((0x21, 256 * KiB, 512 * KiB), (0x22, 8 * MiB - 512, 512)),
    "wednesday": ((0x31, 1 * MiB, 256 * KiB), (0x32, 4 * MiB, 64 * KiB)),
    "thursday": ((0x41, 1 * MiB + 128 * KiB, 256 * KiB), (0x42, 6 * MiB + 1, 1)),
    "friday": ((0x51, 0, 64 * KiB), (0x52, 2 * MiB, 1 * MiB)),
    "saturday": ((0x61, 2 * MiB + 512 * KiB, 1 * MiB),),
}
"""What the guest writes each day: pattern, offset, length."""


@case(
    rules=["BMP-03", "BMP-05", "BMP-17", "BMP-19", "SYNC-11", "POL-07", "POL-14"], groups=["bitmap", "story", "chain"]
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=SIZE)
    disk.write(0x01, offset=0, length=SIZE)
    disk.write_zeroes(offset=5 * MiB, length=1 * MiB)
    nights = {"sunday": disk.content}

    t.step("sunday: the bitmap begins with the full backup")
    week = t.bitmap(disk, "week")
    (job,) = t.transaction(
        disk.add_bitmap_action("week", granularity=64 * KiB, persistent=True),
        t.drive_backup_action(disk, "sunday.img"),
    )
    chain = [job.wait().expect_completed().expect(len=SIZE).target]
    week.expect(count=0, recording=True, persistent=True, busy=False)

    for day, clusters in (("monday", 9), ("tuesday", 9)):
        t.step(f"{day}: what changed goes into an overlay of the night before")
        live(disk, day)
        nights[day] = disk.content
        job = start_incremental(t, disk, chain[-1], day).wait().expect_completed()
        chain.append(job.expect(len=clusters * 64 * KiB).target)
        week.expect(count=0)

    t.step("wednesday: the machine is restarted, and in the night there is no space left")
    live(disk, "wednesday")
    t.restart()
    week.expect(count=5 * 64 * KiB, recording=True, persistent=True)
    target = t.image("wednesday.img", backing=chain[-1])
    store = t.node("wednesday0", image=target, fault=FailAlways("write", errno.ENOSPC))
    failed = t.blockdev_backup(disk, store, sync="incremental", bitmap=week)
    failed.event("BLOCK_JOB_ERROR", operation="write", action="report")
    failed.wait().expect(error="No space left on device", len=5 * 64 * KiB)
    week.expect(count=5 * 64 * KiB, busy=False, recording=True)
    t.qmp("blockdev-del", node_name="wednesday0")

    t.step("thursday: the next night has two days, on an overlay of tuesday's")
    live(disk, "thursday")
    nights["thursday"] = disk.content
    job = start_incremental(t, disk, chain[-1], "thursday").wait().expect_completed()
    chain.append(job.expect(len=8 * 64 * KiB).target)
    week.expect(count=0)

    t.step("friday: the guest writes while the backup runs; that is saturday's")
    live(disk, "friday")
    nights["friday"] = disk.content
    job = start_incremental(t, disk, chain[-1], "friday", speed=64 * KiB)
    live(disk, "saturday")
    job.set_speed(0)
    chain.append(job.wait().expect_completed().expect(len=17 * 64 * KiB).target)
    week.expect(count=16 * 64 * KiB)

    t.step("saturday: a last one; the next machine will go on from here")
    nights["saturday"] = disk.content
    job = start_incremental(t, disk, chain[-1], "saturday").wait().expect_completed()
    chain.append(job.expect(len=16 * 64 * KiB).target)
    t.restart()
    week.expect(count=0, recording=True, persistent=True)
    t.shutdown()

    t.step("the chain has every night but wednesday")
    for image, night in zip(chain, nights.values(), strict=True):
        image.expect_identical(night)
        image.expect_clean()

    t.step("thursday is restored into a new image, and the whole week into sunday's")
    t.expect("img convert", t.img("convert", "-O", "raw", "thursday.img", "restored.img").status, 0)
    t.existing_image("restored.img", format="raw").expect_identical(nights["thursday"])
    for image in reversed(chain[1:]):
        t.expect(f"img commit {image.name}", t.img("commit", "-q", image.name).status, 0)
    chain[0].expect_identical(disk.content)


def live(disk: Drive, day: str) -> None:
    """The guest's day."""
    for pattern, offset, length in DAYS[day]:
        disk.write(pattern, offset=offset, length=length)


def start_incremental(t: Case, disk: Drive, last: Image, day: str, speed: int = 0) -> Job:
    """Starts the night's backup onto a new overlay of the last good one."""
    target = t.image(f"{day}.img", backing=last)
    return t.drive_backup(disk, target, mode="existing", format="qcow2", sync="incremental", bitmap="week", speed=speed)
