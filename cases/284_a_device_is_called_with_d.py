"""qemu-io -d names that part of the guest's device which has the drive; what it writes is the guest's."""

from backcheck import Case, KiB, MiB, case


@case(rules=["HMP-04", "ARG-04", "CBW-01"], groups=["hmp", "cbw", "quick"])
def run(t: Case) -> None:
    node, other = t.node("source0", size=4 * MiB), t.drive("disk1", size=MiB)
    scsi = ("-device", "virtio-scsi-pci", "-device", f"scsi-hd,id=disk,drive={other.id}")
    virtio = ("-device", "virtio-blk-pci,id=front,drive=source0")
    t.start("-machine", "pc", "-accel", "tcg", *virtio, *scsi)

    t.step("a device with a drive, by its id and its path; one whose backend has it")
    for name in ("disk", "/machine/peripheral/disk", "/machine/peripheral/front/virtio-backend", "front"):
        t.hmp(f'qemu-io -d {name} "read -P 0 1020k 4k"')

    t.step("a node and a drive are no devices, and a device is no node")
    for rest in ("-d source0", "-d disk1", "front", "disk"):
        t.hmp(f'qemu-io {rest} "read 0 4k"')

    t.step("what the device writes during a backup of the node is copied before")
    job = t.drive_backup(node, "target.img", sync="none")
    front = "-d /machine/peripheral/front/virtio-backend"
    t.expect("answer", t.hmp(f'qemu-io {front} "write -P 0x22 1M 64k"'), "")
    t.expect("answer", t.hmp(f'qemu-io {front} "read -P 0x22 1M 64k"'), "")
    t.expect("offset", job.offset(), 64 * KiB)
    t.hmp('qemu-io source0 "write -P 0x33 2M 64k"')
    t.hmp("info block -n source0")
    job.cancel().wait().expect_cancelled().expect(offset=64 * KiB)
