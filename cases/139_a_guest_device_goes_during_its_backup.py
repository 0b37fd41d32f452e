"""When a guest's device goes, the backup of a node of its own goes on, and that of a drive ends with it."""

from backcheck import Case, KiB, MiB, between, case


@case(
    rules=["JOB-19", "GRAPH-13"],
    groups=["graph", "job", "device"],
)
def run(t: Case) -> None:
    drive, node = t.drive("disk0", size=4 * MiB), t.node("node1", size=4 * MiB)
    node.image.write(0x22, offset=0, length=4 * MiB)
    fronts = [f"scsi-hd,bus=scsi0.0,id=front{number},drive={name}" for number, name in enumerate(("disk0", "node1"))]
    devices = [word for front in fronts for word in ("-device", front)]
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-scsi-pci,id=scsi0", *devices)
    drive.write(0x11, offset=0, length=4 * MiB)

    t.step("a disk of -blockdev")
    job = t.drive_backup(node, "node.img", speed=64 * KiB)
    t.qmp("device_del", id="front1")
    t.wait_event("DEVICE_DELETED")
    job.expect_query(status="running")
    job.set_speed(0)
    job.wait().expect_completed().expect(len=4 * MiB)
    job.target.expect_identical(node.content)

    t.step("a disk of -drive goes with its device, and its backup ends")
    job = t.drive_backup(drive, "drive.img", speed=64 * KiB)
    t.qmp("device_del", id="front0")
    t.wait_event("DEVICE_DELETED")
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    t.expect("drives", [info["device"] for info in t.ask_list("query-block") if info["device"]], [])
