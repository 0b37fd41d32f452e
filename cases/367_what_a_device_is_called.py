"""A device is meant by its id or its path; of a virtio device it is a part of it that has the drive."""

from backcheck import Case, KiB, MiB, case


@case(rules=["DEV-06"], groups=["device", "quick"])
def run(t: Case) -> None:
    disk, node = t.drive("disk0", size=MiB), t.node("node0", size=MiB)
    nameless = t.node("node1", size=MiB)
    devices = ("virtio-blk-pci,id=front0,drive=disk0", "virtio-scsi-pci,id=scsi0", "scsi-hd,id=front1,drive=node0")
    words = [word for device in (*devices, "virtio-blk-pci,drive=node1") for word in ("-device", device)]
    t.start("-machine", "pc", "-accel", "tcg", *words)
    part = "/machine/peripheral/front0/virtio-backend"

    t.step("in queries")
    found = {str(info["qdev"]): info["device"] for info in t.ask_list("query-block")}
    part_of_nameless = "/machine/peripheral-anon/device[0]/virtio-backend"
    t.expect("devices", found, {part: "disk0", "front1": "", part_of_nameless: ""})
    children = [child for child in t.ask_list("qom-list", path="/machine/peripheral") if child["name"] != "type"]
    t.record(
        "devices", {str(child["name"]): child["type"] for child in sorted(children, key=lambda one: str(one["name"]))}
    )
    for path in ("front0", part, "/machine/peripheral/front1", "peripheral/front1"):
        t.qmp("qom-get", path=path, property="drive")
    t.qmp("qom-get", path="front0", property="type")
    t.qmp("qom-get", path=part, property="type")
    t.qmp("qom-get", path="front1", property="parent_bus")

    t.step("in commands")
    t.hmp(f'qemu-io -d {part} "write -P 0x11 0 64k"')
    t.hmp('qemu-io -d front1 "write -P 0x22 0 64k"')
    t.hmp(f'qemu-io -d {part_of_nameless} "write -P 0x33 0 64k"')
    t.hmp('qemu-io -d front0 "write -P 0x44 0 64k"')
    t.hmp('qemu-io -d scsi0 "write -P 0x44 0 64k"')
    t.hmp('qemu-io -d node0 "write -P 0x44 0 64k"')
    t.hmp('qemu-io front1 "write -P 0x44 0 64k"')
    t.shutdown()
    for written, pattern in ((disk, 0x11), (node, 0x22), (nameless, 0x33)):
        written.image.expect_identical(written.content.written(pattern, offset=0, length=64 * KiB))
