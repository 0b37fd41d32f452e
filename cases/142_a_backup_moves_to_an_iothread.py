"""Source or target of a running backup moved to an iothread takes the other along, and the backup goes on."""

from backcheck import Case, KiB, MiB, case


@case(rules=["GRAPH-11", "QUIT-07"], groups=["graph", "iothread", "quick"])
def run(t: Case) -> None:
    source = t.node("source0", size=4 * MiB)
    target = t.node("target0", size=4 * MiB)
    source.image.write(0x11, offset=0, length=4 * MiB)
    t.start("-object", "iothread,id=thread0")
    job = t.blockdev_backup(source, target, speed=64 * KiB)

    t.step("to the thread by the source, back by the target, and again")
    t.qmp("x-blockdev-set-iothread", node_name="source0", iothread="thread0")
    t.qmp("x-blockdev-set-iothread", node_name="target0", iothread=None)
    t.qmp("x-blockdev-set-iothread", node_name="target0", iothread="thread0")
    t.expect_error("x-blockdev-set-iothread", node_name="source0", iothread="thread1")
    t.expect_error("x-blockdev-set-iothread", node_name="nope", iothread="thread0")
    t.qmp("x-blockdev-set-iothread", node_name="source0", iothread=None)

    t.step("the backup ends as if nothing had been")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.shutdown()
    target.expect_identical(source.content)
