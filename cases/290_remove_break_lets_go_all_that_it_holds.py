"""A break holds one request; remove_break lets all go that are held under its tag, and takes the break back."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-03", "CBW-11"], groups=["hmp", "race", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB, breakpoints=True)
    disk.write(0x11, offset=0, length=MiB)

    def order(command: str) -> None:
        t.expect(command, t.hmp(f'qemu-io disk0 "{command}"'), "")

    def wait(tag: str) -> None:
        t.ask("human-monitor-command", {"command-line": f'qemu-io disk0 "wait_break {tag}"'})

    t.step("two requests are held under one tag, a third passes them")
    order("break write_aio here")
    first = disk.aio_write(0x22, offset=0, length=64 * KiB)
    wait("here")
    first.expect_waiting()
    order("break write_aio here")
    second = disk.aio_write(0x33, offset=128 * KiB, length=64 * KiB)
    second.expect_waiting()
    third = disk.aio_write(0x44, offset=256 * KiB, length=64 * KiB)
    third.wait()
    first.expect_waiting()
    second.expect_waiting()

    t.step("remove_break lets both go, and the break that nothing has met yet is gone")
    order("break write_aio here")
    order("remove_break here")
    first.wait()
    second.wait()
    disk.write(0x55, offset=512 * KiB, length=64 * KiB)

    t.step("nothing is left of it: the disk can be backed up")
    job = t.drive_backup(disk, "target.img")
    job.wait().expect_completed()
    job.target.expect_identical(disk)
