"""A disk is plugged into a slot of PCI Express, and not beside it; the slot has room for one."""

from backcheck import Case, MiB, case


@case(rules=["DEV-07"], groups=["device", "error", "quick"])
def run(t: Case) -> None:
    node, other = t.node("node0", size=MiB), t.node("node1", size=MiB)
    slots = [f"-device pcie-root-port,id=slot{n},chassis={n},slot={n}" for n in (1, 2)]
    t.start(*f"-machine q35 -accel tcg {' '.join(slots)}".split())
    disk = {"driver": "virtio-blk-pci", "id": "front0", "drive": "node0"}

    t.step("only into a slot")
    fixed = "Bus 'pcie.0' does not support hotplugging"
    t.expect_error("device_add", disk, error=fixed)
    t.expect_error("device_add", {"driver": "virtio-scsi-pci"}, error=fixed)
    t.expect_error("device_add", {**disk, "driver": "scsi-hd", "bus": "slot1"})
    t.expect_error("device_del", id="slot1", error=fixed)

    t.step("one in each")
    t.qmp("device_add", {**disk, "bus": "slot1"})
    t.expect_error("device_add", {**disk, "id": "front1", "bus": "slot2"})
    t.exchange("device_add", {**disk, "id": "front1", "bus": "slot1", "drive": "node1"})
    t.expect("devices", len(t.ask_list("query-block")), 1 if t.release >= (8, 0) else 2)

    t.step("asked to go, and asked again")
    t.qmp("device_del", id="front0")
    t.expect_error("device_del", id="front0", error="Device front0 is already in the process of unplug")
    t.expect_error("blockdev-del", node_name="node0")
    t.shutdown()
    for image in (node.image, other.image):
        image.expect_clean()
