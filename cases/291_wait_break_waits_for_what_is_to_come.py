"""wait_break of a break that nothing has met yet waits until something has; that is held then, until resume."""

from backcheck import Case, MiB, case


@case(rules=["HMP-03", "CBW-11"], groups=["hmp", "race"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11)
    target = t.drive("target0", size=4 * MiB, format="raw", breakpoints=True)

    def order(command: str) -> None:
        t.expect(command, t.hmp(f'qemu-io target0 "{command}"'), "")

    t.step("the job sleeps when the break is set, and is held when it goes on")
    job = t.blockdev_backup(disk, target, speed=2 * MiB)
    offset = job.wait_asleep()
    order("break write_aio here")
    order("wait_break here")

    t.step("let go, it goes on")
    order("resume here")
    job.wait_offset(above=offset)
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    t.existing_image("target0.img", format="raw").expect_identical(disk)
