"""A guest's write waits while its cluster is being copied in the background, and then is not copied again."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-11"], groups=["cbw", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.drive("target0", size=MiB, format="raw", breakpoints=True)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content

    t.step("the background's write to the target is held")
    held = target.hold("write_aio")
    job = t.blockdev_backup(disk, target)
    held.wait()
    request = disk.aio_write(0x22, offset=4 * KiB, length=4 * KiB)
    request.expect_waiting()

    t.step("it is let go: so is the guest")
    held.release()
    request.wait()
    job.wait().expect_completed().expect(len=MiB, offset=MiB)
    disk.read(0x22, offset=4 * KiB, length=4 * KiB)
    t.shutdown()
    t.existing_image("target0.img", format="raw").expect_identical(before)
