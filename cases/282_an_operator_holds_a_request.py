"""qemu-io's break, wait_break, resume and remove_break hold a guest's write, over which a backup starts and ends."""

from backcheck import Case, KiB, MiB, case


@case(rules=["CBW-11", "HMP-03"], groups=["hmp", "race", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=MiB)
    target = t.drive("target0", size=MiB, format="raw", breakpoints=True)
    disk.write(0x11, offset=0, length=MiB)
    before = disk.content

    t.step("a break that was removed holds nothing")
    t.expect("answer", t.hmp('qemu-io target0 "break write_aio never"'), "")
    t.expect("answer", t.hmp('qemu-io target0 "remove_break never"'), "")
    t.hmp('qemu-io target0 "write -q 0 4k"')

    t.step("the job's write is held, and the guest's that waits for it")
    t.expect("answer", t.hmp('qemu-io target0 "break write_aio here"'), "")
    job = t.blockdev_backup(disk, target)
    t.ask("human-monitor-command", {"command-line": 'qemu-io target0 "wait_break here"'})
    request = disk.aio_write(0x22, offset=512, length=64 * KiB)
    request.expect_waiting()

    t.step("it is let go")
    t.expect("answer", t.hmp('qemu-io target0 "resume here"'), "")
    request.wait()
    job.wait().expect_completed()

    t.step("what holds nothing")
    t.hmp('qemu-io target0 "resume here"')
    t.hmp('qemu-io target0 "remove_break here"')
    t.hmp('qemu-io target0 "break nosuch tag"')
    t.hmp('qemu-io disk0 "break write_aio tag"')
    t.record_stderr()
    t.shutdown()
    t.existing_image("target0.img", format="raw").expect_identical(before)
