"""A streamOptimized vmdk takes the backup of a busy guest: each grain whole and once, whoever copies it first."""

from backcheck import Case, KiB, MiB, case

SIZE = 4 * MiB + 1536
JOB_SIZE = 4 * MiB + 64 * KiB


@case(
    rules=["CMP-12", "CMP-14", "CMP-02", "CBW-01", "CBW-02"],
    groups=["compress", "full", "cbw", "target"],
    requires=["driver:vmdk"],
)
def run(t: Case) -> None:
    source = t.image("disk0.img", size=SIZE)
    before = t.image("before.img", size=SIZE)
    for image in (source, before):
        image.write(0x11, length=3 * MiB)
        image.write(0x44, offset=4 * MiB, length=1536)
    disk = t.drive("disk0", image=source)
    options = {"subformat": "streamOptimized"}

    t.step("with compress: parts of a grain, twice in one, across two, the last one")
    first = t.image("first.vmdk", size=SIZE, format="vmdk", options=options)
    job = t.drive_backup(disk, first, mode="existing", format="vmdk", compress=True, speed=64 * KiB)
    disk.write(0x22, offset=2 * MiB + 4 * KiB, length=4 * KiB)
    disk.write(0x33, offset=2 * MiB + 6 * KiB, length=4 * KiB)
    disk.write(0x22, offset=3 * MiB - 4 * KiB, length=8 * KiB)
    disk.write_zeroes(offset=2 * MiB + 512 * KiB, length=64 * KiB)
    disk.write(0x22, offset=4 * MiB + 512, length=512)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=JOB_SIZE, offset=JOB_SIZE)

    t.step("without: compressed all the same")
    second = t.image("second.vmdk", size=SIZE, format="vmdk", options=options)
    job = t.drive_backup(disk, second, mode="existing", format="vmdk", compress=False)
    job.wait().expect_completed().expect(len=JOB_SIZE, offset=JOB_SIZE)
    t.shutdown()

    t.step("what is in them")
    for target, content in ((first, before), (second, source)):
        compared = t.img("compare", "-f", "vmdk", "-F", t.format, target.name, content.name)
        t.expect(f"compare {target.name}", compared.status, 0)
        t.expect(f"check {target.name}", t.img("check", "-f", "vmdk", target.name).status, 0)
        target.record_map()
        t.expect(f"{target.name} is small", target.path.stat().st_size < MiB, True)
