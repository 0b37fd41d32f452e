"""A disk that was made compressed is read, overwritten in parts and whole, made zero and discarded by a guest."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-14", "CMP-05", "CMP-18"], groups=["compress", "qcow2", "quick"])
def run(t: Case) -> None:
    source = t.image("source.img", size=4 * MiB)
    source.write(0x11)
    source.write_noise(offset=MiB, length=128 * KiB, period=2 * KiB)
    t.expect("convert -c", t.img("convert", "-c", "-f", "qcow2", "-O", "qcow2", "source.img", "disk0.img").status, 0)
    image = t.existing_image("disk0.img", format="qcow2", content=source.content)
    t.expect_state("disk0.img", image.check(), allocated_clusters=64, compressed_clusters=64)
    disk = t.drive("disk0", image=image, discard="unmap")

    t.step("parts of clusters, over the end of one, whole ones")
    disk.read(0x11, offset=0, length=MiB)
    disk.write(0x22, offset=512, length=512)
    disk.write(0x33, offset=124 * KiB, length=8 * KiB)
    disk.write(0x44, offset=256 * KiB, length=128 * KiB)
    disk.read(0x11, offset=1024, length=63 * KiB)
    disk.read(0x33, offset=124 * KiB, length=8 * KiB)

    t.step("zeroes and discards, of parts and of whole clusters")
    disk.write_zeroes(offset=512 * KiB, length=64 * KiB, unmap=True)
    disk.write_zeroes(offset=640 * KiB + 4 * KiB, length=4 * KiB)
    disk.discard(offset=768 * KiB, length=64 * KiB)
    disk.discard(offset=896 * KiB, length=32 * KiB)
    disk.read(0x11, offset=896 * KiB, length=32 * KiB)
    disk.read(0, offset=768 * KiB, length=64 * KiB)

    t.step("a backup of it, compressed again")
    job = t.drive_backup(disk, "target.img", compress=True)
    job.wait().expect_completed()
    after = disk.content.written(0, 768 * KiB, 64 * KiB)
    job.target.expect_identical(after)
    t.expect_state("target.img", job.target.check(), compressed_clusters=62)

    t.step("what is left of the compressed disk")
    t.shutdown()
    image.expect_identical(after)
    image.expect_clean()
    t.expect_state("disk0.img", image.check(), allocated_clusters=62, compressed_clusters=56)
