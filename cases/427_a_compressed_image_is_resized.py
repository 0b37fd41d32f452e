"""A compressed image grows and shrinks; what it gives up is counted, and what comes again is zero."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-06", "CMP-18", "SIZE-01"], groups=["compress", "qcow2", "tool"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB - 60 * KiB)
    source.write(0x11)
    disk = t.drive("disk0", image=source)
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()
    image = job.target
    image.expect_identical(source)

    t.step("grown by a tool: what the last cluster was filled up with is zero")
    image = t.existing_image("target.img", content=source.content)
    t.expect("grown", t.img("resize", "-f", "qcow2", image.name, str(6 * MiB)).status, 0)
    image.note_resize(6 * MiB)
    image.expect_identical(image)
    t.expect_state("target.img", image.check(), allocated_clusters=64, compressed_clusters=64)

    t.step("shrunk in the middle of a cluster, which stays")
    for size, left in ((2 * MiB + 4 * KiB, 33), (64 * KiB, 1)):
        t.expect("shrunk", t.img("resize", "--shrink", "-f", "qcow2", image.name, str(size)).status, 0)
        image.note_resize(size)
        image.expect_identical(image)
        image.expect_clean()
        t.expect_state("target.img", image.check(), allocated_clusters=left, compressed_clusters=left)

    t.step("grown again under a guest: nothing comes back")
    t.shutdown()
    again = t.drive("disk1", image=image)
    t.start()
    again.resize(4 * MiB)
    again.read(0x11, offset=0, length=64 * KiB)
    again.read(0, offset=64 * KiB, length=MiB)
    again.write(0x22, offset=MiB, length=4 * KiB)
    job = t.drive_backup(again, "second.img", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(again)
    t.shutdown()
    image.expect_clean()
    t.expect_state("target.img", image.check(), allocated_clusters=2, compressed_clusters=1)
