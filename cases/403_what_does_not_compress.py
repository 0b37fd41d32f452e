"""A cluster that compression would not make shorter is stored as a normal one, among compressed ones."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CMP-05", "CMP-14"], groups=["compress", "full", "quick"])
def run(t: Case) -> None:
    source = t.image("disk0.img", size=4 * MiB)
    source.write(0x11, length=3 * MiB)
    for offset in (64 * KiB, 192 * KiB, 2 * MiB + 64 * KiB, 3 * MiB):
        source.write_noise(offset=offset, length=64 * KiB)
    disk = t.drive("disk0", image=source)
    before = disk.content

    t.step("copied in the background, and before a guest's write")
    job = t.drive_backup(disk, "target.img", format="qcow2", compress=True, speed=64 * KiB)
    disk.write(0x22, offset=2 * MiB + 60 * KiB, length=8 * KiB)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB, error=None)

    t.step("noise is in normal clusters at the start of a host cluster, all else is compressed")
    job.target.expect_identical(before)
    job.target.expect_clean()
    stored = job.target.stored()
    noise = [cluster for cluster in stored if not cluster.compressed]
    places: list[int] = [cluster.guest_offset for cluster in noise]
    t.expect("noise", places, [64 * KiB, 192 * KiB, 2 * MiB + 64 * KiB, 3 * MiB])
    t.expect("aligned", [cluster.host_offset % (64 * KiB) for cluster in noise], [0] * 4)
    t.expect_state("target.img", job.target.check(), allocated_clusters=49, compressed_clusters=45)

    t.step("all of a disk of noise")
    t.shutdown()
    noisy = t.image("noisy.img", size=MiB, format="raw")
    noisy.write_noise(length=MiB, period=MiB)
    disk = t.drive("disk1", image=noisy)
    t.start()
    job = t.drive_backup(disk, "plain.img", format="qcow2", compress=True)
    job.wait().expect_completed()
    job.target.expect_identical(noisy)
    job.target.expect_clean()
    t.expect_state("plain.img", job.target.check(), allocated_clusters=16)
