"""Two bitmaps of one disk make two chains of incremental backups, and neither knows of the other's."""

from backcheck import Case, Drive, Image, KiB, case
from backcheck.story.bitmaps import Bitmap

SIZE = 1_000_000
PIECE = 64 * KiB


@case(rules=["BMP-03", "SYNC-11", "SIZE-10"], groups=["bitmap", "chain", "quick"], formats=["qcow2", "raw"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=SIZE)
    disk.write(0x11, offset=0, length=SIZE // 512 * 512)
    hourly = disk.add_bitmap("hourly", granularity=4 * KiB)
    daily = disk.add_bitmap("daily", granularity=64 * KiB)
    start = disk.content
    full = t.drive_backup(disk, "full.img", format="qcow2").wait().target

    t.step("two hours, each on the one before")
    disk.write(0x22, offset=PIECE - 512, length=1 * KiB)
    first = backed_up(t, disk, hourly, t.image("hour1.img", format="qcow2", backing=full), clusters=2)
    disk.write(0x33, offset=5 * PIECE, length=PIECE)
    disk.write(0x33, offset=SIZE // 512 * 512, length=512)
    second = backed_up(t, disk, hourly, t.image("hour2.img", format="qcow2", backing=first), clusters=2)
    noon = disk.content

    t.step("a day on the full backup: it has both hours, and takes nothing from the next one")
    daily.expect(count=4 * PIECE)
    disk.write(0x44, offset=0, length=512)
    hourly.expect(count=4 * KiB)
    day = backed_up(t, disk, daily, t.image("day1.img", format="qcow2", backing=full), clusters=4)
    hourly.expect(count=4 * KiB)
    third = backed_up(t, disk, hourly, t.image("hour3.img", format="qcow2", backing=second), clusters=1)

    t.step("each chain is whole, whatever came after it")
    full.expect_identical(start)
    second.expect_identical(noon)
    for image in (day, third):
        image.expect_identical(disk.content)
        image.expect_clean()


def backed_up(t: Case, disk: Drive, bitmap: Bitmap, target: Image, *, clusters: int) -> Image:
    """An incremental backup onto this overlay, which copies so many clusters and leaves nothing owed."""
    job = t.drive_backup(disk, target, mode="existing", format="qcow2", sync="incremental", bitmap=bitmap)
    job.wait().expect_completed().expect(len=clusters * PIECE, offset=clusters * PIECE)
    target.expect_identical(disk.content)
    bitmap.expect(count=0, busy=False)
    return target
