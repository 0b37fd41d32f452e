"""A disk is plugged in: its node is in use until it is pulled out, and what was refused leaves nothing behind."""

from backcheck import Case, KiB, MiB, case


@case(rules=["DEV-02"], groups=["device", "error", "quick"])
def run(t: Case) -> None:
    node, other = t.node("node0", size=MiB), t.node("node1", size=MiB)
    t.start("-machine", "pc", "-accel", "tcg")

    t.step("without a bus, a node, a name of its own, or with a property too many")
    disk = {"driver": "scsi-hd", "id": "front0", "drive": "node0"}
    t.expect_error("device_add", disk, error="No 'SCSI' bus found for device 'scsi-hd'")
    t.qmp("device_add", driver="virtio-scsi-pci", id="scsi0")
    t.expect_error("device_add", {**disk, "bus": "scsi1.0"}, error="Bus 'scsi1.0' not found")
    t.expect_error("device_add", {**disk, "bus": "pci.0"}, error="Device 'scsi-hd' can't go on PCI bus")
    t.expect_error("device_add", {**disk, "drive": "nope"}, error="Property 'scsi-hd.drive' can't find value 'nope'")
    t.expect_error("device_add", {**disk, "nope": 1}, error="Property 'scsi-hd.nope' not found")
    t.expect_error("device_add", {"driver": "scsi-hd", "id": "front0"}, error="drive property not set")
    t.expect_error("device_add", {**disk, "driver": "nope"}, error="'nope' is not a valid device model name")
    t.expect_error("device_add", {"id": "front0"}, error="Parameter 'driver' is missing")
    t.expect("devices", t.ask_list("query-block"), [])

    t.step("plugged in it has its node for itself")
    t.qmp("device_add", disk)
    t.expect_error("device_add", {**disk, "drive": "node1"})
    t.expect_error("device_add", {**disk, "id": "front1"})
    t.expect_error("blockdev-del", node_name="node0")
    t.expect_state("device", t.ask_list("query-block")[0], device="", qdev="front0", removable=False)
    t.hmp('qemu-io -d front0 "write -P 0x11 0 64k"')

    t.step("pulled out it is gone, and another takes the node")
    t.qmp("device_del", id="front0")
    t.wait_event("DEVICE_DELETED")
    t.expect_error("device_del", id="front0", error="Device 'front0' not found", error_class="DeviceNotFound")
    t.qmp("device_add", {**disk, "id": "front1"})
    t.qmp("device_del", id="front1")
    t.wait_event("DEVICE_DELETED")
    t.qmp("blockdev-del", node_name="node0")
    t.shutdown()
    node.image.expect_identical(node.content.written(0x11, offset=0, length=64 * KiB))
    other.image.expect_clean()
