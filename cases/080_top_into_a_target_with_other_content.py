"""sync=top into an existing target writes only what the overlay holds, and leaves the rest of the target as it was."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-07", "SYNC-06"], groups=["sync", "top", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=2 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base)
    overlay.write(0x22, offset=MiB + 4 * KiB, length=4 * KiB)
    overlay.write_zeroes(offset=512 * KiB, length=64 * KiB)
    disk = t.drive("disk0", image=overlay)

    for format in ("qcow2", "raw"):
        t.step(f"{format}")
        old = t.image(f"old-{format}.img", size=2 * MiB, format=format)
        old.write(0x77)
        wanted = old.content.written(0x00, 512 * KiB, 64 * KiB)
        wanted = wanted.written(0x11, MiB, 64 * KiB).written(0x22, MiB + 4 * KiB, 4 * KiB)
        job = t.drive_backup(disk, old, sync="top", mode="existing", format=format)
        job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB, error=None)
        old.expect_identical(wanted)
        old.expect_clean()

    t.step("a target over the same backing file becomes the disk")
    fresh = t.image("fresh.img", backing=base)
    job = t.drive_backup(disk, fresh, sync="top", mode="existing", format="qcow2")
    job.wait().expect_completed().expect(len=128 * KiB, offset=128 * KiB)
    fresh.expect_identical(disk.content)
