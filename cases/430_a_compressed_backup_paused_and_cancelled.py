"""Paused, a compressed backup still copies before the guest's writes; cancelled, it leaves whole clusters behind."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["CMP-14", "JOB-17", "CBW-13"], groups=["compress", "cbw", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, "target.img", compress=True, speed=64 * KiB)

    t.step("paused")
    job.pause()
    job.reach("paused")
    copied = job.offset()
    disk.write(0x22, offset=4 * MiB - 512, length=512)
    disk.write(0x33, offset=3 * MiB + 60 * KiB, length=8 * KiB)
    t.expect("three clusters", job.offset() - copied, 192 * KiB)
    job.resume()
    job.reach("running")

    t.step("cancelled")
    job.cancel().wait().expect_cancelled().expect(len=4 * MiB, offset=between(192 * KiB, 4 * MiB))
    job.target.expect_clean()
    places = [cluster.guest_offset for cluster in job.target.stored()]
    for offset in (3 * MiB, 3 * MiB + 64 * KiB, 4 * MiB - 64 * KiB):
        t.expect(f"{offset} is there", offset in places, True)

    t.step("its clusters are good, but no second job may use them")
    t.shutdown()
    left = t.existing_image("target.img", content=disk.content)
    kept = [(cluster.guest_offset, 64 * KiB) for cluster in left.stored()]
    whole = t.image("whole.img", size=4 * MiB)
    whole.write(0x11)
    left.expect_identical(whole.content.only(*kept))
    t.start()
    job = t.drive_backup(disk, left, mode="existing", format="qcow2", compress=True)
    job.wait().expect(error="Input/output error", offset=between(0, 4 * MiB - 192 * KiB))
    left.expect_clean()
