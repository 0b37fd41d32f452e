"""A device gets another node, or keeps the one that it has: no such node, one in use, or one in another thread."""

from backcheck import Case, KiB, MiB, case


@case(rules=["DEV-01"], groups=["device", "error", "quick"])
def run(t: Case) -> None:
    disk, other = t.drive("disk0", size=MiB), t.node("other0", size=MiB)
    taken, far = t.node("taken0", size=MiB), t.node("far0", size=MiB)
    machine = "-machine pc -accel tcg -object iothread,id=thread0 -device virtio-scsi-pci,id=scsi0"
    fronts = [f"-device scsi-hd,bus=scsi0.0,drive={drive},id=front{n}" for n, drive in enumerate(("disk0", "taken0"))]
    t.start(*" ".join((machine, *fronts)).split())
    t.qmp("x-blockdev-set-iothread", node_name="far0", iothread="thread0")

    t.step("refused")
    for value in ("nope", "disk0", "taken0", "far0", "", 3):
        t.expect_error("qom-set", path="front0", property="drive", value=value)
    t.expect_error("qom-set", path="front0", property="nope", value="other0")
    t.expect_error("qom-set", path="front0", property="share-rw", value=True)
    nowhere = "Device '/machine/peripheral/nope' not found"
    path = "/machine/peripheral/nope"
    t.expect_error("qom-set", path=path, property="drive", value="other0", error=nowhere, error_class="DeviceNotFound")
    disk.write(0x11, offset=0, length=64 * KiB)
    t.expect_state("drive", t.inserted(disk), node_name="disk0-node")

    t.step("taken")
    t.exchange("qom-set", path="/machine/peripheral/front0", property="drive", value="other0")
    t.qmp("qom-get", path="front0", property="drive")
    t.record("drive", t.inserted(disk), keys=["node-name"])
    t.hmp('qemu-io -d front0 "write -P 0x22 64k 64k"')
    t.shutdown()
    for node in (taken, far):
        node.image.expect_identical(node.content)
    other.image.expect_clean()
