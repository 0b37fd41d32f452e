"""sync=top copies whole clusters of what the overlay holds, zeroes too, into a new overlay of the same backing file."""

from backcheck import Case, KiB, MiB, case


@case(rules=["SYNC-06", "SYNC-08", "TGT-08"], groups=["sync", "top", "quick"])
def run(t: Case) -> None:
    base = t.image("base.img", size=4 * MiB)
    base.write(0x11)
    overlay = t.image("overlay.img", backing=base, options={"cluster_size": "4k"})
    overlay.write(0x22, offset=MiB + 8 * KiB, length=4 * KiB)
    overlay.write(0x33, offset=3 * MiB - 4 * KiB, length=8 * KiB)
    overlay.write_zeroes(offset=2 * MiB, length=68 * KiB)
    disk = t.drive("disk0", image=overlay, discard="unmap")
    disk.discard(offset=3 * MiB + 512 * KiB, length=64 * KiB)
    disk.read(0x00, offset=3 * MiB + 512 * KiB, length=64 * KiB)
    overlay.note_write(0x00, 3 * MiB + 512 * KiB, 64 * KiB)
    before = disk.content

    t.step("six clusters of 64 KiB have something: one write, two of the next, two and one of zeroes")
    job = t.drive_backup(disk, "target.img", sync="top")
    job.wait().expect_completed().expect(len=6 * 64 * KiB, offset=6 * 64 * KiB)
    info = job.target.info()
    t.expect(
        "backing of target.img", [info["backing-filename"], info["backing-filename-format"]], ["base.img", "qcow2"]
    )
    job.target.record_map()
    job.target.expect_identical(before)
    job.target.expect_clean()

    t.step("an overlay that holds nothing gives one that holds nothing")
    empty = t.node("empty", image=t.image("empty.img", backing=base))
    job = t.drive_backup(empty, "empty-target.img", sync="top", format="qcow2")
    job.wait().expect_completed().expect(len=0, offset=0)

    t.step("flattened it is the disk, and put into its backing file it makes that the disk")
    t.shutdown()
    t.img("convert", "-f", "qcow2", "-O", "raw", "target.img", "flat.img")
    t.existing_image("flat.img", format="raw").expect_identical(before)
    t.img("commit", "-q", "-f", "qcow2", "target.img")
    base.expect_identical(before)
