"""A filter comes under a guest's device and leaves again while the guest goes on; meanwhile it saves old data."""

from backcheck import Case, KiB, MiB, case


@case(
    rules=["DEV-01", "FLT-04"],
    groups=["filter", "device", "quick"],
    requires=["driver:copy-before-write"],
)
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    disk.image.write(0x11, offset=0, length=4 * MiB)
    saved = t.node("saved0", size=4 * MiB)
    nothing = saved.content
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-blk-pci,id=front0,drive=disk0")
    disk.write(0x22, offset=0, length=64 * KiB)
    backend = "/machine/peripheral/front0/virtio-backend"

    t.step("the filter above the guest's node, the guest above the filter")
    t.qmp("blockdev-add", driver="copy-before-write", node_name="filter0", file="disk0-node", target="saved0")
    t.qmp("qom-set", path=backend, property="drive", value="filter0")
    t.expect_state("drive", t.inserted(disk), node_name="filter0", drv="copy-before-write")
    t.qmp("qom-get", path=backend, property="drive")
    t.expect_error("blockdev-del", node_name="filter0")
    disk.write(0x33, offset=MiB + 4 * KiB, length=64 * KiB)
    disk.read(0x11, offset=MiB, length=4 * KiB)

    t.step("and back")
    t.qmp("qom-set", path="front0", property="drive", value="disk0-node")
    t.expect_state("drive", t.inserted(disk), node_name="disk0-node")
    t.qmp("blockdev-del", node_name="filter0")
    disk.write(0x44, offset=2 * MiB, length=64 * KiB)

    t.step("what the guest overwrote meanwhile was saved, in whole clusters, and nothing else")
    t.shutdown()
    saved.expect_identical(nothing.written(0x11, offset=MiB, length=128 * KiB))
    disk.image.expect_identical(disk.content)
