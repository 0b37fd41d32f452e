"""qemu-io prints results on standard output, and replies with errors of names; a node is as good as a drive."""

from backcheck import Case, MiB, case


@case(rules=["HMP-03", "HMP-04", "PERM-05"], groups=["hmp", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    target = t.node("target0", size=4 * MiB)
    disk.write(0x11, offset=0, length=4 * MiB)

    t.step("a drive and its node are the same disk")
    t.expect("answer", t.hmp('qemu-io disk0 "read -P 0x11 1M 64k"'), "")
    t.expect("answer", t.hmp('qemu-io disk0-node "read -P 0x11 1M 64k"'), "")
    t.expect("answer", t.hmp('qemu-io disk0 "read -P 0x22 1M 64k"'), "")

    t.step("nothing of that name, no command, too many words")
    for rest in ('nope "read"', '-d disk0 "read"', "", "disk0", "disk0 read 0 512", '-x disk0 "read"'):
        t.hmp(f"qemu-io {rest}")

    t.step("a command that there is not, none, one with wrong words")
    for command in ("nosuch", "", "read", "read x 512", "write 0", "read 8M 512", "read -q 0 512"):
        t.hmp(f'qemu-io disk0 "{command}"')
    t.record_stderr()

    t.step("during a job the target can be written: it is the operator's fault")
    job = t.blockdev_backup(disk, target, auto_finalize=False)
    job.wait()
    t.hmp('qemu-io target0 "write -P 0x77 2M 64k"')
    t.hmp('qemu-io target0 "read -P 0x77 2M 64k"')
    job.finalize().wait().expect_completed()
