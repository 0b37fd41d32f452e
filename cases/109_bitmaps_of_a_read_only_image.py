"""Bitmaps of an image opened read-only can be read, and backed up with `never`; no change to them is kept."""

from backcheck import Case, KiB, MiB, case

READ_ONLY = "Bitmap 'b0' is readonly and cannot be modified"
SETTLING = (
    {"sync": "incremental"},
    {"sync": "bitmap", "bitmap-mode": "on-success"},
    {"sync": "bitmap", "bitmap-mode": "always"},
    {"sync": "full", "bitmap-mode": "on-success"},
    {"sync": "full", "bitmap-mode": "always"},
)
"""Backups that would write the bitmap in the end."""


@case(rules=["BMP-16", "BMP-29", "ERR-29"], groups=["bitmap", "error", "quick"])
def run(t: Case) -> None:
    image = t.image("disk0.img", size=4 * MiB)
    image.add_bitmap("b0", granularity=64 * KiB)
    image.add_bitmap("b1", granularity=4 * KiB, enabled=False)
    image.write(0x11, offset=1 * MiB, length=128 * KiB)
    disk = t.drive("disk0", image=image, read_only="on")
    owed, off = t.bitmap(disk, "b0"), t.bitmap(disk, "b1")
    owed.expect(count=128 * KiB, granularity=64 * KiB, recording=True, persistent=True, busy=False)
    off.expect(count=0, granularity=4 * KiB, recording=False, persistent=True)

    t.step("its bits cannot be changed; it can be merged from, and a new one lives as long as the machine")
    owed.expect_refused("clear", error=READ_ONLY)
    owed.expect_refused("remove")
    scratch = disk.add_bitmap("scratch", granularity=64 * KiB, disabled=True)
    owed.expect_refused("merge", scratch, error=READ_ONLY)
    scratch.merge(owed).expect_same_bits(owed).expect(count=128 * KiB, persistent=False)
    owed.disable().expect(recording=False)
    off.enable().expect(recording=True)

    t.step("a backup that would settle it is refused")
    for arguments in SETTLING:
        start = {"job-id": "job0", "device": "disk0", "target": "refused.img", "bitmap": "b0", **arguments}
        t.expect_error("drive-backup", start, error=READ_ONLY)
        owed.expect(count=128 * KiB, busy=False)

    t.step("with never it is an input like any other")
    job = t.drive_backup(disk, "t0.img", sync="bitmap", bitmap="b0", bitmap_mode="never")
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)
    owed.expect(count=128 * KiB, busy=False)
    job.target.expect_identical(image)

    t.step("the next machine finds what the image had")
    t.restart()
    owed.expect(count=128 * KiB, recording=True)
    off.expect(count=0, recording=False)
    t.expect("scratch is there", scratch.exists(), False)
