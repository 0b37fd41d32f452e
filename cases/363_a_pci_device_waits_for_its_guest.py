"""A device on the PCI bus stays until the guest lets it go or the machine is reset; its backup runs on as long."""

from backcheck import Case, KiB, MiB, between, case


@case(rules=["DEV-03", "JOB-19"], groups=["device", "job", "quick"])
def run(t: Case) -> None:
    disk = t.drive("disk0", size=4 * MiB)
    t.start("-machine", "pc", "-accel", "tcg", "-device", "virtio-blk-pci,id=front0,drive=disk0")
    disk.write(0x11, offset=0, length=4 * MiB)
    job = t.drive_backup(disk, "target.img", speed=64 * KiB)

    t.step("the guest is asked, and sleeps")
    t.qmp("device_del", id="front0")
    path = "/machine/peripheral/front0/virtio-backend"
    t.expect("devices", [info["qdev"] for info in t.ask_list("query-block")], [path])
    disk.write(0x22, offset=0, length=64 * KiB)
    job.expect_query(status="running")
    t.expect_error("device_add", driver="virtio-blk-pci", id="front0", drive="disk0")

    t.step("a reset needs no consent: device, drive and backup go")
    t.qmp("system_reset")
    t.wait_event("DEVICE_DELETED")
    t.wait_event("DEVICE_DELETED")
    job.wait().expect_cancelled().expect(offset=between(64 * KiB, 2 * MiB))
    t.expect("devices", t.ask_list("query-block"), [])
    t.expect_error("device_del", id="front0", error="Device 'front0' not found", error_class="DeviceNotFound")
