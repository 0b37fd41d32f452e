"""A source in an iothread takes its target there; a target that a device holds elsewhere is refused, and stays free."""

from backcheck import Case, KiB, MiB, case


@case(rules=["QUIT-07", "DEV-05"], groups=["iothread", "device", "quick"])
def run(t: Case) -> None:
    source, target = t.node("source0", size=4 * MiB), t.node("target0", size=4 * MiB)
    t.node("held0", size=4 * MiB)
    source.image.write(0x11, offset=0, length=4 * MiB)
    machine = "-machine pc -accel tcg -object iothread,id=thread0 -object iothread,id=thread1"
    near = "-device virtio-scsi-pci,id=scsi0,iothread=thread0 -device scsi-hd,bus=scsi0.0,drive=source0,id=front0"
    here = "-device virtio-scsi-pci,id=scsi1 -device scsi-hd,bus=scsi1.0,drive=held0,id=front1,share-rw=on"
    t.start(*f"{machine} {near} {here}".split())
    stays = "Cannot change iothread of active block backend"

    t.step("a disk works in the thread of its controller, and its node stays there")
    t.expect_error("x-blockdev-set-iothread", node_name="source0", iothread="thread1", force=True, error=stays)
    t.expect_error("x-blockdev-set-iothread", node_name="source0", iothread=None, force=True, error=stays)
    t.qmp("x-blockdev-set-iothread", node_name="source0", iothread="thread0", force=True)

    t.step("a target in use in another thread cannot follow")
    backup = {"device": "source0", "target": "held0", "sync": "full", "job-id": "job9"}
    t.expect_error("blockdev-backup", backup, error=stays)
    t.expect("jobs", t.ask_list("query-jobs"), [])

    t.step("one that nobody uses does, and stays with its job")
    t.qmp("x-blockdev-set-iothread", node_name="target0", iothread="thread1")
    job = t.blockdev_backup(source, target, speed=64 * KiB)
    t.expect_error("x-blockdev-set-iothread", node_name="target0", iothread="thread1", error=stays)
    t.qmp("x-blockdev-set-iothread", node_name="target0", iothread="thread0")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB, offset=4 * MiB)
    t.qmp("x-blockdev-set-iothread", node_name="target0", iothread=None)
    t.shutdown()
    target.expect_identical(source.content)
